"""What it costs to tell all that happens: two webhooks that get every event, and a file, beside the relay without them.

BATON_BASELINE names another build of the relay, such as one of before there was a feed, for a third column.
"""
import http.server
import json
import os
import socketserver
import threading
import time

from bench.load import CountingSink, relayed
from bench.rate import BATON_MESSAGES, WARM_UP_MESSAGES, settings
from bench.table import median
from lab.relay import Relay, merged

SESSIONS = 50
# Accepted and delivered, for the one recipient of each message.
EVENTS_OF_A_MESSAGE = 2
WAIT_S = 120


class Receiver:
    """An endpoint that takes all, and counts the events by their names."""

    def __init__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                # Counted without being parsed, which would cost more than the relay's own work.
                receiver.events += body.count(b'"id":"evt_')
                receiver.posts += 1
                self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.events = self.posts = 0
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


def run(table, rounds):
    print("== all events told to two webhooks and a file", flush=True)
    sink = CountingSink().start()
    receivers = [Receiver(), Receiver()]
    told = merged(settings(sink.port), {"webhooks": {"allowed_networks": ["127.0.0.0/8"]}, "events": {"files": {"all": {"path": "events.jsonl"}}}})
    relays = {"without": Relay(settings(sink.port)), "with": Relay(told)}
    if os.environ.get("BATON_BASELINE"):
        relays["before"] = Relay(settings(sink.port), binary=os.environ["BATON_BASELINE"])
    try:
        for relay in relays.values():
            relay.start()
        for number, receiver in enumerate(receivers):
            relays["with"].admin(f"/v1/webhooks/all{number}", "PUT", json.dumps({"url": receiver.url}))
        measure(table, rounds, sink, relays, receivers)
    finally:
        for relay in relays.values():
            relay.close()
        for receiver in receivers:
            receiver.close()
        sink.close()


def measure(table, rounds, sink, relays, receivers):
    for relay in relays.values():
        relayed(relay, sink, WARM_UP_MESSAGES, SESSIONS)
    figures = {name: [] for name in relays}
    for number in range(rounds):
        for name, relay in relays.items():
            figures[name].append(relayed(relay, sink, BATON_MESSAGES, SESSIONS))
            one = figures[name][-1]
            print(f"  round {number + 1}, {name}: {one.rate:.0f}/s, CPU {one.cpu:.3f} s per 1,000", flush=True)
    expected = EVENTS_OF_A_MESSAGE * (WARM_UP_MESSAGES + rounds * BATON_MESSAGES)
    began = time.monotonic()
    while min(receiver.events for receiver in receivers) < expected and time.monotonic() - began < WAIT_S:
        time.sleep(0.1)
    late = time.monotonic() - began
    for number, receiver in enumerate(receivers):
        exact = receiver.events == expected
        table.add(f"events that webhook {number + 1} got, of {expected}", receiver.events, "", "all of them, once", exact)
    table.add("from the last message to its last post", late, "s")
    ratio = [after.rate / before.rate for after, before in zip(figures["with"], figures["without"])]
    table.add("rate with all events, two webhooks and a file, to the rate without webhooks and file", median(ratio), "×", "at least 0.85", median(ratio) >= 0.85, ratio)
    if "before" in figures:
        ratio = [after.rate / before.rate for after, before in zip(figures["with"], figures["before"])]
        table.add("the same, to the rate of the baseline build", median(ratio), "×", "at least 0.85", median(ratio) >= 0.85, ratio)
    for name, samples in figures.items():
        table.add(f"CPU {name}", median([one.cpu for one in samples]), "s per 1,000", samples=[one.cpu for one in samples])

#!/usr/bin/env python3
"""A bank's mail: 5,000 people ask for a one-time code while 50,000 confirmations of payments go out.

Sets up a tenant with its domain, two streams, a token, a webhook and templates, by the commands that a person would type;
sends all by the API, in batches; and lets a next hop refuse, defer and accept as real ones do. Then the next hop, the
webhook, the report and the list of those to whom nothing is sent any more are compared, to the last message.

    bank.py [--codes 5000] [--confirmations 50000]      after `make relay`
"""
import argparse
import base64
import collections
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import queue
import shlex
import socketserver
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bench.load import CountingSink
from lab.relay import Relay, program
from lab.verdict import Verdict

BATCH, CONNECTIONS = 100, 8
BRAND = {"name": "Acme Bank", "url": "https://acme.example/", "color": "#1f5fd6", "address": "1 Market Street, Springfield, 12345"}
# Of a hundred customers: those who closed their mailbox, whose mailbox is full for a while, whose host wants mail to come
# back later, whose host takes it for spam.
GONE, FULL, GREYLISTED, STRICT = 3, 2, 5, 1
RULES = """\
[[rule]]
phase = "rcpt"
recipient = "*@gone.example"
reply = "550 5.1.1 no such user here"
[[rule]]
phase = "rcpt"
recipient = "*@full.example"
reply = "452 4.2.2 mailbox full"
times = {full}
[[rule]]
phase = "rcpt"
recipient = "*@later.example"
reply = "451 4.7.1 greylisted, come back later"
times = {greylisted}
[[rule]]
phase = "message"
recipient = "*@strict.example"
reply = "554 5.7.1 this message looks like spam"
"""


def domain_of(number):
    """Where a customer has the mailbox."""
    place = number % 100
    for share, name in ((GONE, "gone"), (FULL, "full"), (GREYLISTED, "later"), (STRICT, "strict")):
        if place < share:
            return f"{name}.example"
        place -= share
    return f"provider{number % 9}.example"


def customer(number):
    return f"customer{number}@{domain_of(number)}"


class Webhook:
    """Takes events, after their signature (Standard Webhooks) was checked, and counts the last word about each copy."""

    def __init__(self):
        hook = self
        self.secret, self.final, self.forged, self.lock = b"", {}, 0, threading.Lock()
        self.repeated = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.take(self.headers, body)
                self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        with self.lock:
            if wanted not in headers["webhook-signature"].split():
                self.forged += 1
                return
            for event in json.loads(body)["data"]:
                if event.get("final"):
                    key = (event["message"], event["recipient"])
                    self.repeated += key in self.final
                    self.final[key] = (event["type"], event.get("stream"))

    def counts(self):
        with self.lock:
            return collections.Counter(self.final.values())


def say(relay, *words):
    """A command as a person types it."""
    print(f"$ baton {shlex.join(words)}", flush=True)
    done = subprocess.run([str(program()), *words, "-s", str(relay.settings_file)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
    return done.stdout


def set_up(relay, webhook):
    """The tenant and all that it has; returns its token."""
    say(relay, "tenant", "add", "bank", "--domain", "bank.example")
    say(relay, "stream", "add", "codes", "--tenant", "bank", "--priority", "6")
    say(relay, "stream", "add", "confirmations", "--tenant", "bank")
    added = say(relay, "webhook", "add", "all", "--tenant", "bank", "--url", webhook.url, "--json")
    webhook.secret = base64.b64decode(json.loads(added)["secret"].removeprefix("whsec_"))
    return json.loads(say(relay, "token", "add", "--tenant", "bank", "--scope", "send", "--json"))["token"]


def batches(codes, confirmations):
    """All messages in batches; a tenth of them codes, as both happen at once."""
    def message(number, data):
        return {"to": [customer(number)], "data": data, "headers": [{"name": "X-Mark-Id", "value": str(number)}]}

    def code(number):
        return message(number, {"code": f"{number * 7919 % 1_000_000:06}", "minutes": 10})

    def confirmation(number):
        order = {"number": f"T-{number}", "date": "2026-11-27", "paid_with": "Visa •••• 4242", "url": f"https://bank.example/payments/{number}"}
        data = {"name": "Jane", "currency": "EUR", "total": "54.40", "order": order, "lines": [{"name": "Payment", "quantity": 1, "amount": "54.40"}]}
        return message(codes + number, data)

    def common(stream, template):
        return {"from": "Acme Bank <service@bank.example>", "stream": stream, "template": template, "data": {"brand": BRAND}}

    kinds = ((codes, code, common("codes", "ready/one-time-code")), (confirmations, confirmation, common("confirmations", "ready/receipt")))
    made = []
    for count, make, shared in kinds:
        pieces = [range(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]
        made += [((place + 0.5) / len(pieces), {"common": shared, "messages": [make(number) for number in piece]}) for place, piece in enumerate(pieces)]
    return [batch for _, batch in sorted(made, key=lambda one: one[0])]


def send(address, token, all_batches):
    """Posts all batches over some connections; returns how many messages were taken, and what was refused."""
    work, taken, refused = queue.SimpleQueue(), [], []
    for batch in all_batches:
        work.put(json.dumps(batch).encode())

    def post():
        connection = http.client.HTTPConnection(*address, timeout=120)
        while True:
            try:
                body = work.get_nowait()
            except queue.Empty:
                return
            connection.request("POST", "/v1/messages/batch", body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status == 202:
                taken.append(told["accepted"])
                refused.extend(item["problem"] for item in told["messages"] if item.get("problem"))
            else:
                refused.append(told)

    posters = [threading.Thread(target=post) for _ in range(CONNECTIONS)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
    return sum(taken), refused


def compare(verdict, relay, hop, webhook, total):
    """All four tell the same."""
    seen = hop.summary()
    final = webhook.counts()
    by_type = collections.Counter()
    for (kind, _), count in final.items():
        by_type[kind] += count
    verdict.hold("webhook: one last word about each message", sum(final.values()), sum(final.values()) == total and webhook.repeated == 0 and webhook.forged == 0, f"{total}, none twice, none forged")
    # Reports about what failed came there too; they have no number.
    verdict.hold("next hop: messages taken", seen["distinct"], seen["distinct"] == by_type["delivered"], f"{by_type['delivered']} delivered by the webhook")
    verdict.hold("next hop: messages that came twice", seen["duplicates"], seen["duplicates"] == 0, "0")
    report = relay.admin("/v1/reports/mail?by=stream&tenant=bank")
    for stream in ("codes", "confirmations"):
        rows = [row for row in report["rows"] if row["stream"] == stream]
        told = {kind: sum(row["counts"].get(kind, 0) for row in rows) for kind in ("accepted", "delivered", "bounced")}
        wanted = {kind: final[kind, stream] for kind in ("delivered", "bounced")}
        verdict.hold(f"report: {stream}", told, told["delivered"] == wanted["delivered"] and told["bounced"] == wanted["bounced"], f"{wanted} by the webhook")
    listed = say(relay, "suppression", "export", "--tenant", "bank")
    gone = sum(1 for line in listed.splitlines() if "@gone.example" in line)
    bounced = {recipient for (_, recipient), (kind, _) in webhook.final.items() if kind == "bounced" and recipient.endswith("@gone.example")}
    verdict.hold("suppression list: mailboxes that are gone", gone, gone == len(bounced), len(bounced))
    spam = sum(1 for line in listed.splitlines() if "@strict.example" in line)
    verdict.hold("suppression list: those whose host took it for spam", spam, spam == 0, "0")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--codes", type=int, default=5_000)
    options.add_argument("--confirmations", type=int, default=50_000)
    options = options.parse_args()
    total = options.codes + options.confirmations
    verdict = Verdict(f"the bank: {options.codes:,} codes and {options.confirmations:,} confirmations by the API")
    webhook = Webhook()
    rules = RULES.format(full=total * FULL // 100, greylisted=total * GREYLISTED // 100)
    with CountingSink(rules) as hop:
        settings = {
            "hostname": "relay.bank.example",
            "api": {"listen": "127.0.0.1:0", "requests_per_minute": 100_000},
            "next_hops": {"hop": {"hosts": [f"127.0.0.1:{hop.port}"]}},
            "routes": [{"domain": "*", "next_hop": "hop"}],
            "webhooks": {"allowed_networks": ["127.0.0.0/8"]},
            "delivery": {"retry_first_s": 2.0, "retry_factor": 1.5, "retry_max_s": 5.0},
            # Minutes and hours in real life.
            "retry": {"class": {name: {"first_s": 2, "max_s": 5} for name in ("quota", "greylist")}},
            "log": {"filter": "warn"},
        }
        with Relay(settings) as relay:
            token = set_up(relay, webhook)
            made = batches(options.codes, options.confirmations)
            began = time.monotonic()
            taken, refused = send(relay.listener("api"), token, made)
            verdict.note(f"taken in {time.monotonic() - began:.1f} s")
            verdict.hold("messages taken by the API", taken, taken == total and not refused, f"{total}; refused: {refused[:2]}")
            relay.wait_until_empty(300)
            verdict.note(f"the queue is empty after {time.monotonic() - began:.1f} s")
            until = time.monotonic() + 60
            while sum(webhook.counts().values()) < total and time.monotonic() < until:
                time.sleep(0.2)
            time.sleep(1.5)
            compare(verdict, relay, hop, webhook, total)
            print(say(relay, "report", "--by", "stream,reason"))
    webhook.server.shutdown()
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

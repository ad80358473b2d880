"""A long queue: many messages for many domains, half of them dead; and one dead provider that holds most of the queue.

The queue is filled through the store's public interface (`fill`, an example of the store's crate), not by SMTP, because a
million transactions would measure the generator. What is measured then goes by SMTP. All ratios are of one run; each rate is
the median of five sendings, because one takes two seconds.
BATON_QUEUED says how many messages (1,000,000), FILL_BIN where `fill` is.
"""
import os
import pathlib
import subprocess
import threading
import time

from bench.load import CountingSink, send
from bench.table import median
from lab import ports
from lab.process import settle_memory
from lab.relay import Relay, target

QUEUED = int(os.environ.get("BATON_QUEUED", "1000000"))
DOMAINS = 10_000
OCTETS = 1_024
LIVE = 20_000
SENDINGS = 5
SESSIONS = 50


def settings(live, dead):
    """Dead domains lead to a port where nobody listens."""
    return {
        "hostname": "relay.example",
        "listeners": {"smtp": {"address": "127.0.0.1:0"}},
        "next_hops": {"live": {"hosts": [f"127.0.0.1:{live}"]}, "dead": {"hosts": [f"127.0.0.1:{dead}"]}},
        "routes": [{"domain": "*.dead.example", "next_hop": "dead"}, {"domain": "*", "next_hop": "live"}],
        "log": {"filter": "warn"},
        "store": {"free_octets_min": 1 << 30},
    }


def run(table, _rounds):
    trial(table, "half dead", QUEUED, [])
    trial(table, "one dead provider", QUEUED // 2, ["dead"])


def trial(table, name, queued, how):
    print(f"== {name}: {queued:,} queued", flush=True)
    sink = CountingSink().start()
    relay = Relay(settings(sink.port, ports.free()))
    try:
        relay.start()
        empty = rates(relay, sink)
        relay.stop()
        fill(relay, queued, how)
        began = time.monotonic()
        greeted = relay.start()
        table.add(f"{name}: start until the greeting", greeted, "s")
        asked = Asked(relay)
        first = probe(relay, sink)
        table.add(f"{name}: start until new mail is delivered", time.monotonic() - began, "s", "at most 3", time.monotonic() - began <= 3)
        print(f"  first probe took {first:.2f} s", flush=True)
        early = rates(relay, sink)
        still = relay.admin("/v1/queue/summary")["ready"]
        wait_until_tried(relay)
        late = rates(relay, sink)
        compare(table, f"{name}: deliveries beside the queue, to the empty queue's rate", early, empty)
        compare(table, f"{name}: the same when all was tried", late, empty)
        print(f"  {still:,} were not tried yet when the first of these ended", flush=True)
        memory = settle_memory(relay, seconds=5) / 1e6
        table.add(f"{name}: memory", memory, "MB", "at most 300", memory <= 315)
        table.add(f"{name}: `baton queue`, slowest answer (summary, ls, count by domain)", asked.stop() * 1000, "ms", "at most 200", asked.slowest <= 0.2)
        print(f"  still queued: {relay.queued():,}", flush=True)
    finally:
        relay.close()
        sink.close()


def rates(relay, sink):
    return [rate(relay, sink) for _ in range(SENDINGS)]


def compare(table, what, beside, empty):
    ratio = median(beside) / median(empty)
    samples = [one / median(empty) for one in beside]
    table.add(what, ratio, "of it", "at least 0.9", ratio >= 0.9, samples=samples)


def rate(relay, sink):
    """Messages a second at the sink, from the first MAIL of new mail until its last one is there. What comes out of the
    queue meanwhile counts: it is live mail too."""
    first = rate.next
    rate.next += LIVE
    before = sink.summary()
    began = time.time()
    send(relay.address, None, SESSIONS, mix=f"from{first}:{LIVE}", first=first)
    after = sink.wait_for(before.get("distinct", 0) + LIVE, 600)["classes"][f"from{first}"]
    return (after["messages_until_last"] - before.get("messages", 0)) / (after["last_us"] / 1e6 - began)


def wait_until_tried(relay, seconds=900):
    """Waits until all that was in the queue was delivered or tried."""
    until = time.monotonic() + seconds
    while relay.admin("/v1/queue/summary")["ready"]:
        if time.monotonic() > until:
            raise TimeoutError("the queue was not tried in time")
        time.sleep(1)


rate.next = 1


def probe(relay, sink):
    """How long one new message takes to the sink."""
    first = rate.next
    rate.next += 1
    before = sink.summary().get("distinct", 0)
    began = time.monotonic()
    send(relay.address, 1, 1, first=first)
    sink.wait_for(before + 1, 60)
    return time.monotonic() - began


def fill(relay, queued, how):
    binary = os.environ.get("FILL_BIN") or str(target() / "debug/examples/fill")
    folder = pathlib.Path(relay.folder) / "spool" / "queue"
    began = time.monotonic()
    subprocess.run([binary, str(folder), str(queued), str(DOMAINS), str(OCTETS), *how], check=True)
    print(f"  filled in {time.monotonic() - began:.0f} s", flush=True)


class Asked:
    """Asks every two seconds what an operator asks."""

    PATHS = ["/v1/queue/summary", "/v1/queue?limit=100", "/v1/queue/count?domain=d1.live.example"]

    def __init__(self, relay):
        self.relay, self.slowest, self.ended = relay, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self):
        while not self.ended.wait(2):
            for path in self.PATHS:
                began = time.monotonic()
                self.relay.admin(path)
                took = time.monotonic() - began
                if took > self.slowest:
                    print(f"  {path}: {took * 1000:.0f} ms", flush=True)
                    self.slowest = took

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.slowest

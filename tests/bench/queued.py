"""Memory of a long queue for a destination that is down."""
from bench.load import send
from bench.rate import settings
from lab import ports
from lab.process import settle_memory
from lab.relay import Relay, merged

MESSAGES = 100_000
SESSIONS = 50


def run(table, _rounds):
    print(f"== memory of {MESSAGES:,} messages for a dead destination", flush=True)
    # Nobody listens there; the first retry comes after the measurement.
    waiting = {"delivery": {"retry_first_s": 3600.0, "retry_max_s": 3600.0}, "log": {"filter": "warn"}}
    with Relay(merged(settings(ports.free()), waiting)) as relay:
        base = settle_memory(relay)
        half = fill(relay, 0, MESSAGES // 2)
        full = fill(relay, MESSAGES // 2, MESSAGES // 2)
        queued = relay.queued()
        if queued != MESSAGES:
            raise RuntimeError(f"{queued} of {MESSAGES} messages are in the queue")
        table.add("memory with the queue", full / 1e6, "MB")
        table.add("growth from an empty queue, caches included", (full - base) / MESSAGES, "octets per message")
        each = max(0.0, (full - half) / (MESSAGES - MESSAGES // 2))
        table.add("memory of a queued message, beyond the caches (second half)", each, "octets", "at most 512", each <= 512)
        relay.stop()
        took = relay.start()
        table.add("start with this queue, until the greeting", took, "s")
        table.add("memory after that start", settle_memory(relay) / 1e6, "MB")


def fill(relay, first, count):
    send(relay.address, count, SESSIONS, first=first)
    return settle_memory(relay, seconds=15)

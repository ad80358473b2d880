"""Memory of a long queue for a destination that is down."""
from bench.load import send
from bench.rate import settings
from lab import ports
from lab.process import settle_memory
from lab.relay import Relay, merged

MESSAGES = 100_000
SESSIONS = 50


def run(table, _rounds):
    print(f"== memory of {MESSAGES:,} messages for a dead destination, and of as many more", flush=True)
    # Nobody listens there; the first retry comes after the measurement.
    waiting = {"delivery": {"retry_first_s": 3600.0, "retry_max_s": 3600.0}, "log": {"filter": "warn"}}
    with Relay(merged(settings(ports.free()), waiting)) as relay:
        base = settle_memory(relay)
        send(relay.address, MESSAGES, SESSIONS, first=0)
        settled = settle_memory(relay, seconds=15)
        table.add("memory with the queue", settled / 1e6, "MB")
        table.add("growth from an empty queue, caches included", (settled - base) / MESSAGES, "octets per message")
        # Write buffers fill and are given back all the time, so only the peaks of full caches can be compared.
        full = relay.peak_octets()
        relay.forget_peak()
        send(relay.address, MESSAGES, SESSIONS, first=MESSAGES)
        each = max(0.0, (relay.peak_octets() - full) / MESSAGES)
        if (queued := relay.queued()) != 2 * MESSAGES:
            raise RuntimeError(f"{queued} of {2 * MESSAGES} messages are in the queue")
        table.add("memory of a queued message, beyond the caches (peak of the second half)", each, "octets", "at most 512", each <= 512)
        relay.stop()
        took = relay.start()
        table.add("start with both queues, until the greeting", took, "s")
        table.add("memory after that start", settle_memory(relay) / 1e6, "MB")

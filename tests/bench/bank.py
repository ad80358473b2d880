"""The headline: 5,000 people ask for a one-time code while 50,000 confirmations go out, over 50 sessions at once."""
import time

from bench.load import CountingSink, send
from bench.rate import settings
from bench.table import median
from lab.relay import Relay

CODES = 5_000
CONFIRMATIONS = 50_000
SESSIONS = 50


def run(table, rounds):
    print(f"== the bank: {CODES:,} codes among {CONFIRMATIONS:,} confirmations", flush=True)
    figures = [once() for _ in range(min(rounds, 3))]
    total = CODES + CONFIRMATIONS
    lost = sum(figure["lost"] for figure in figures)
    doubled = sum(figure["doubled"] for figure in figures)
    table.add("bank: messages lost", lost, f"of {total * len(figures):,}", "0", lost == 0)
    table.add("bank: messages doubled", doubled, f"of {total * len(figures):,}", "0", doubled == 0)
    for name, unit in (("last code", "s"), ("last message", "s"), ("p50 of the codes", "ms"), ("p99 of the codes", "ms")):
        samples = [figure[name] for figure in figures]
        table.add(f"bank: {name}", median(samples), unit, samples=samples)


def once():
    sink = CountingSink().start()
    relay = Relay(settings(sink.port))
    try:
        relay.start()
        began = time.time()
        send(relay.address, None, SESSIONS, mix=f"code:{CODES},confirmation:{CONFIRMATIONS}")
        seen = sink.wait_for(CODES + CONFIRMATIONS, 600)
        relay.wait_until_empty()
        time.sleep(1.5)
        seen = sink.summary()
        code = seen["classes"]["code"]
        return {
            "lost": CODES + CONFIRMATIONS - seen["distinct"],
            "doubled": seen["duplicates"],
            "last code": code["last_us"] / 1e6 - began,
            "last message": seen["last_us"] / 1e6 - began,
            "p50 of the codes": code["p50_ms"],
            "p99 of the codes": code["p99_ms"],
        }
    finally:
        relay.close()
        sink.close()

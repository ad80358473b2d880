"""The headline: 5,000 people ask for a one-time code while 50,000 confirmations go out.

Two clients of 25 sessions each offer them at once, as fast as they are taken: first to a quick next hop, and then to one
that takes its time, so that most of them must wait: in the order of their coming, and with the plugin that knows codes
and gives them priority.
"""
import concurrent.futures
import time

from bench.load import CountingSink, send, slow
from bench.rate import settings
from bench.table import median
from lab.relay import Relay, merged, plugin

CODES = 5_000
CONFIRMATIONS = 50_000
SESSIONS_OF_EACH = 25
# With the 20 connections of a site, about 4,000 messages a second: far fewer than come in.
SLOW_MS = 5


def run(table, rounds):
    print(f"== the bank: {CODES:,} codes among {CONFIRMATIONS:,} confirmations", flush=True)
    rounds = min(rounds, 3)
    report(table, "bank", [once() for _ in range(rounds)])
    pairs = [(once(SLOW_MS), once(SLOW_MS, codes_first=True)) for _ in range(rounds)]
    report(table, "bank, slow next hop", [in_order for in_order, _ in pairs])
    codes_first = [first for _, first in pairs]
    report(table, "bank, slow next hop, codes first", codes_first)
    before = median([figure["confirmations before the last code"] for figure in codes_first])
    table.add("bank, codes first: confirmations delivered before the last code", 100 * before / CONFIRMATIONS, "% of them", "at most 10", before <= CONFIRMATIONS / 10)
    share = median([figure["p99 of the codes"] / 10 / figure["last message"] for figure in codes_first])
    table.add("bank, codes first: p99 of the codes, to the time for all", share, "%", "at most 10", share <= 10)


def report(table, name, figures):
    total = CODES + CONFIRMATIONS
    lost = sum(figure["lost"] for figure in figures)
    doubled = sum(figure["doubled"] for figure in figures)
    table.add(f"{name}: messages lost", lost, f"of {total * len(figures):,}", "0", lost == 0)
    table.add(f"{name}: messages doubled", doubled, f"of {total * len(figures):,}", "0", doubled == 0)
    for what, unit in (("last code", "s"), ("confirmations before the last code", ""), ("last message", "s"), ("p50 of the codes", "ms"), ("p99 of the codes", "ms")):
        samples = [figure[what] for figure in figures]
        table.add(f"{name}: {what}", median(samples), unit, samples=samples)


def codes_known():
    source = str(plugin("baton-plugin-otp-priority"))
    return {"plugins": {"otp": {"source": source, "hooks": ["data"], "on_failure": "open"}}}


def once(delay_ms=0, codes_first=False):
    sink = CountingSink(slow(delay_ms) if delay_ms else "").start()
    relay = Relay(merged(settings(sink.port), codes_known() if codes_first else {}))
    try:
        relay.start()
        began = time.time()
        offer(relay.address)
        sink.wait_for(CODES + CONFIRMATIONS, 600)
        relay.wait_until_empty()
        time.sleep(1.5)
        seen = sink.summary()
        code = seen["classes"]["code"]
        return {
            "lost": CODES + CONFIRMATIONS - seen["distinct"],
            "doubled": seen["duplicates"],
            "last code": code["last_us"] / 1e6 - began,
            "last message": seen["last_us"] / 1e6 - began,
            "confirmations before the last code": code["messages_until_last"] - CODES,
            "p50 of the codes": code["p50_ms"],
            "p99 of the codes": code["p99_ms"],
        }
    finally:
        relay.close()
        sink.close()


def offer(address):
    """Both clients at once."""
    with concurrent.futures.ThreadPoolExecutor() as clients:
        codes = clients.submit(send, address, None, SESSIONS_OF_EACH, mix=f"code:{CODES}")
        confirmations = clients.submit(send, address, None, SESSIONS_OF_EACH, mix=f"confirmation:{CONFIRMATIONS}", first=CODES)
        codes.result(), confirmations.result()

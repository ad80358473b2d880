"""What plugins cost: six that do nothing, and one call by itself."""
import re
import subprocess

from bench.load import CountingSink, relayed
from bench.rate import BATON_MESSAGES, WARM_UP_MESSAGES, settings
from bench.table import median
from lab.relay import Relay, merged, plugin, target

HOOKS = ("connect", "auth", "rcpt", "data", "route", "bounce")
SESSIONS = 50


def run(table, rounds):
    print("== six plugins that do nothing, one for each hook", flush=True)
    sink = CountingSink().start()
    source = str(plugin("baton-plugin-noop"))
    plugins = {"plugins": {f"noop-{hook}": {"source": source, "hooks": [hook]} for hook in HOOKS}}
    bare, asked = Relay(settings(sink.port)), Relay(merged(settings(sink.port), plugins))
    try:
        bare.start()
        asked.start()
        without, with_six = [], []
        for relay in (bare, asked):
            relayed(relay, sink, WARM_UP_MESSAGES, SESSIONS)
        for number in range(rounds):
            without.append(relayed(bare, sink, BATON_MESSAGES, SESSIONS))
            with_six.append(relayed(asked, sink, BATON_MESSAGES, SESSIONS))
            print(f"  round {number + 1}: without {without[-1][0]:.0f}/s, with six {with_six[-1][0]:.0f}/s", flush=True)
        rates = [one[0] / other[0] for one, other in zip(with_six, without)]
        costs = [one[1] - other[1] for one, other in zip(with_six, without)]
        table.add("rate with six no-op plugins", median(rates), "of the rate without", "at least 0.85", median(rates) >= 0.85, rates)
        table.add("CPU of six no-op plugins", median(costs), "s per 1,000 more", samples=costs)
    finally:
        bare.close()
        asked.close()
        sink.close()
    call_cost(table)


def call_cost(table):
    """One call with two host calls on a fresh instance, as the host's own example measures it."""
    example = target() / "bench/call_cost"
    if not example.exists():
        print("  the example call_cost is not built: `make bench-relay` does it", flush=True)
        return
    command = [str(example), str(plugin("baton-plugin-noop")), "rcpt", '{"host_calls": true}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r"median[^0-9]*([0-9.]+)", done.stdout)
    if done.returncode != 0 or not found:
        raise RuntimeError(f"call_cost: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    cost = float(found.group(1))
    table.add("one hook call, two host calls, fresh instance, median", cost, "µs", "at most 20 µs", cost <= 20)

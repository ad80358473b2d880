"""What plugins cost: six that do nothing, and one call by itself."""
import re
import subprocess

from bench.load import CountingSink, relayed
from bench.rate import BATON_MESSAGES, WARM_UP_MESSAGES, settings
from bench.table import median
from lab.relay import Relay, merged, plugin, target

HOOKS = ("connect", "auth", "rcpt", "data", "route", "bounce")
SESSIONS = 50


# How long an instance lives, and the share of the rate that six plugins may leave.
INSTANCES = {"fresh": None, "session": 0.85, "pool": 0.9}


def run(table, rounds):
    print("== six plugins that do nothing, one for each hook", flush=True)
    sink = CountingSink().start()
    relays = {"without": Relay(settings(sink.port))}
    for instances in INSTANCES:
        relays[instances] = Relay(merged(settings(sink.port), {"plugins": six(instances)}))
    measured = {name: [] for name in relays}
    try:
        for relay in relays.values():
            relay.start()
            relayed(relay, sink, WARM_UP_MESSAGES, SESSIONS)
        for number in range(rounds):
            for name, relay in relays.items():
                measured[name].append(relayed(relay, sink, BATON_MESSAGES, SESSIONS))
            rates = ", ".join(f"{name} {samples[-1][0]:.0f}/s" for name, samples in measured.items())
            print(f"  round {number + 1}: {rates}", flush=True)
    finally:
        for relay in relays.values():
            relay.close()
        sink.close()
    for instances, least in INSTANCES.items():
        rates = [one[0] / other[0] for one, other in zip(measured[instances], measured["without"])]
        costs = [one[1] - other[1] for one, other in zip(measured[instances], measured["without"])]
        bound, holds = (f"at least {least}", median(rates) >= least) if least else (None, None)
        table.add(f"rate with six no-op plugins, {instances} instances", median(rates), "of the rate without", bound, holds, rates)
        table.add(f"CPU of six no-op plugins, {instances} instances", median(costs), "s per 1,000 more", samples=costs)
    call_cost(table)


def six(instances):
    source = str(plugin("baton-plugin-noop"))
    return {f"noop-{hook}": {"source": source, "hooks": [hook], "instances": instances} for hook in HOOKS}


# What is measured by itself: instances, guard, the bound in µs.
CALLS = (
    ("one hook call, two host calls, fresh instance", "fresh", [], 15),
    ("one hook call, two host calls, session's instance", "session", [], 3),
    ("one hook call, two host calls, pooled instance", "pool", [], 3),
    ("one hook whose guard is false", "fresh", ['rcpt.domain == "other.example" && client in cidr("10.0.0.0/8")'], 1),
)


def call_cost(table):
    """One call by itself, as the host's own example measures it."""
    example = target() / "bench/call_cost"
    if not example.exists():
        print("  the example call_cost is not built: `make bench-relay` does it", flush=True)
        return
    for what, instances, guard, most in CALLS:
        command = [str(example), str(plugin("baton-plugin-noop")), "rcpt", '{"host_calls": true}', "20000", instances, *guard]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        found = re.search(r"median[^0-9]*([0-9.]+)", done.stdout)
        if done.returncode != 0 or not found:
            raise RuntimeError(f"call_cost: {done.stdout[-1000:]} {done.stderr[-1000:]}")
        cost = float(found.group(1))
        table.add(f"{what}, median", cost, "µs", f"at most {most} µs", cost <= most)

"""What plugins cost: six that do nothing, and one call by itself."""
import pathlib
import re
import subprocess

from bench.load import CountingSink, relayed
from bench.rate import BATON_MESSAGES, WARM_UP_MESSAGES, settings
from bench.table import median
from lab.relay import Relay, merged, plugin, target

HOOKS = ("connect", "auth", "rcpt", "data", "route", "bounce")
SESSIONS = 50
EXAMPLE = target() / "bench/call_cost"


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
            rates = ", ".join(f"{name} {samples[-1].rate:.0f}/s" for name, samples in measured.items())
            print(f"  round {number + 1}: {rates}", flush=True)
    finally:
        for relay in relays.values():
            relay.close()
        sink.close()
    for instances, least in INSTANCES.items():
        rates = [one.rate / other.rate for one, other in zip(measured[instances], measured["without"])]
        costs = [one.cpu - other.cpu for one, other in zip(measured[instances], measured["without"])]
        bound, holds = (f"at least {least}", median(rates) >= least) if least else (None, None)
        table.add(f"rate with six no-op plugins, {instances} instances", median(rates), "of the rate without", bound, holds, rates)
        table.add(f"CPU of six no-op plugins, {instances} instances", median(costs), "s per 1,000 more", samples=costs)
    call_cost(table)


def six(instances):
    source = str(plugin("baton-plugin-noop"))
    return {f"noop-{hook}": {"source": source, "hooks": [hook], "instances": instances} for hook in HOOKS}


POLICIES = pathlib.Path(__file__).resolve().parent / "policies"
SUBJECT_RULE = '{"rules": [{"name": "lottery", "match": {"header": "subject", "contains": "lottery"}, "then": {"score": 1}}]}'
FALSE_GUARD = 'rcpt.domain == "other.example" && client in cidr("10.0.0.0/8")'


def call_cost(table):
    """One call by itself, as the host's own example measures it."""
    if not EXAMPLE.exists():
        print("  the example call_cost is not built: `make bench-relay` does it", flush=True)
        return
    print("== one hook call by itself", flush=True)
    noop, kinds = plugin("baton-plugin-noop"), (("fresh instance", "fresh"), ("kept instance", "pool"))
    for what, file, config, bounds in (
        ("rcpt hook, two host calls, Rust", noop, '{"host_calls": true}', (15, 3)),
        ("rcpt hook, two host calls, script of five lines", POLICIES / "five_lines.js", "{}", (25, 15)),
        ("rcpt hook, three host calls, script of thirty lines", POLICIES / "thirty_lines.js", "{}", (60, 15)),
    ):
        for (kind, instances), most in zip(kinds, bounds):
            cost = one_call(file, "rcpt", config, instances)
            table.add(f"{what}, {kind}, median", cost, "µs", f"at most {most} µs", cost <= most)
    cost = one_call(noop, "rcpt", "{}", "fresh", FALSE_GUARD)
    table.add("a hook whose guard is false, median", cost, "µs", "at most 1 µs", cost <= 1)
    pairs = [[one_call(plugin("baton-plugin-header-rules"), "data", SUBJECT_RULE, "fresh", "", octets) for octets in (4 << 10, 25 << 20)] for _ in range(5)]
    ratios = [large / small for small, large in pairs]
    table.add("data hook that reads a header field, 25 MiB to 4 KiB", median(ratios), "×", "at most 1.1 ×", median(ratios) <= 1.1, ratios)


def one_call(file, hook, config, instances, guard="", octets=4 << 10):
    """Microseconds of the median call."""
    command = [str(EXAMPLE), str(file), hook, config, "20000", instances, guard, str(octets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r"median[^0-9]*([0-9.]+)", done.stdout)
    if done.returncode != 0 or not found:
        raise RuntimeError(f"call_cost: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return float(found.group(1))

"""Relayed messages per second, and what they cost, beside Postfix."""
import collections

from bench.load import CountingSink, relayed
from bench.table import median
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay

BATON_MESSAGES, POSTFIX_MESSAGES = 20_000, 4_000
# A kind of load: its octets, sessions and messages (enough for some seconds each), and the promises.
Load = collections.namedtuple("Load", "size sessions baton postfix rate_min cpu_max")
LOADS = [
    Load(4_096, 50, BATON_MESSAGES, POSTFIX_MESSAGES, 10, 0.1),
    Load(4_096, 200, BATON_MESSAGES, POSTFIX_MESSAGES, 10, 0.1),
    Load(102_400, 50, 4_000, 2_000, 3, None),
]
WARM_UP_MESSAGES = 1_000


def settings(port):
    """The relay's defaults; only where mail goes is said."""
    return {
        "hostname": "relay.example",
        "listeners": {"smtp": {"address": "127.0.0.1:0"}},
        "next_hops": {"sink": {"hosts": [f"127.0.0.1:{port}"]}},
        "routes": [{"domain": "*", "next_hop": "sink"}],
    }


def run(table, rounds):
    print("== relay rate and CPU, both syncing before 250", flush=True)
    sink = CountingSink().start()
    baton = Relay(settings(sink.port))
    postfix = None
    try:
        baton.start()
        try:
            postfix = Postfix(sink.port)
            postfix.start()
        except Unavailable as reason:
            postfix = None
            print(f"  without Postfix: {reason}", flush=True)
        for load in LOADS:
            measure(table, rounds, sink, baton, postfix, load)
    finally:
        baton.close()
        if postfix:
            postfix.close()
        sink.close()


def measure(table, rounds, sink, baton, postfix, load):
    name = f"{load.size // 1024} KiB, {load.sessions} sessions"
    ours, theirs = [], []
    for relay in filter(None, (baton, postfix)):
        relayed(relay, sink, WARM_UP_MESSAGES, load.sessions, size=load.size)
    for number in range(rounds):
        ours.append(relayed(baton, sink, load.baton, load.sessions, size=load.size))
        line = f"  round {number + 1}, {name}: Baton {ours[-1].rate:.0f}/s, CPU {ours[-1].cpu:.3f} s per 1,000"
        if postfix:
            theirs.append(relayed(postfix, sink, load.postfix, load.sessions, size=load.size))
            line += f"; Postfix {theirs[-1].rate:.0f}/s, {theirs[-1].cpu:.3f} s"
        print(line, flush=True)
    add(table, "Baton", name, ours)
    replies = [one.reply_ms for one in ours]
    table.add(f"from MAIL to the 250 of Baton, {name}, p99", median(replies), "ms", "at most 30,000 ms (RFC 5321, 4.5.3.2.6: clients wait 10 minutes)", median(replies) <= 30_000, replies)
    if not theirs:
        return
    add(table, "Postfix", name, theirs)
    rates = [one.rate / other.rate for one, other in zip(ours, theirs)]
    table.add(f"rate, Baton to Postfix, {name}", median(rates), "×", f"at least {load.rate_min} ×", median(rates) >= load.rate_min, rates)
    costs = [one.cpu / other.cpu for one, other in zip(ours, theirs)]
    promise = (f"at most {load.cpu_max}", median(costs) <= load.cpu_max) if load.cpu_max else ()
    table.add(f"CPU per message, Baton to Postfix, {name}", median(costs), "×", *promise, samples=costs)


def add(table, who, name, figures):
    rates, costs = [one.rate for one in figures], [one.cpu for one in figures]
    table.add(f"relayed by {who}, {name}", median(rates), "messages/s", samples=rates)
    table.add(f"CPU of {who}, {name}", median(costs), "s per 1,000", samples=costs)

"""Relayed messages per second, and what they cost, beside Postfix."""
from bench.load import CountingSink, relayed
from bench.table import median
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay

# Enough for some seconds each, whatever the rate.
BATON_MESSAGES = 20_000
POSTFIX_MESSAGES = 4_000
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
    print("== relay rate and CPU, 4 KiB messages, both syncing before 250", flush=True)
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
        for sessions in (50, 200):
            measure(table, rounds, sink, baton, postfix, sessions)
    finally:
        baton.close()
        if postfix:
            postfix.close()
        sink.close()


def measure(table, rounds, sink, baton, postfix, sessions):
    ours, theirs = [], []
    relayed(baton, sink, WARM_UP_MESSAGES, sessions)
    if postfix:
        relayed(postfix, sink, WARM_UP_MESSAGES, sessions)
    for number in range(rounds):
        ours.append(relayed(baton, sink, BATON_MESSAGES, sessions))
        line = f"  round {number + 1}, {sessions} sessions: Baton {ours[-1].rate:.0f}/s, CPU {ours[-1].cpu:.3f} s per 1,000"
        if postfix:
            theirs.append(relayed(postfix, sink, POSTFIX_MESSAGES, sessions))
            line += f"; Postfix {theirs[-1].rate:.0f}/s, {theirs[-1].cpu:.3f} s"
        print(line, flush=True)
    name = f"{sessions} sessions"
    add(table, "Baton", name, ours)
    replies = [one.reply_ms for one in ours]
    table.add(f"from MAIL to the 250 of Baton, {name}, p99", median(replies), "ms", "at most 30,000 ms (RFC 5321, 4.5.3.2.6: clients wait 10 minutes)", median(replies) <= 30_000, replies)
    if not theirs:
        return
    add(table, "Postfix", name, theirs)
    rates = [one.rate / other.rate for one, other in zip(ours, theirs)]
    costs = [one.cpu / other.cpu for one, other in zip(ours, theirs)]
    table.add(f"rate, Baton to Postfix, {name}", median(rates), "×", "at least 5 ×", median(rates) >= 5, rates)
    table.add(f"CPU per message, Baton to Postfix, {name}", median(costs), "×", "at most 1/6 (0.167)", median(costs) <= 1 / 6, costs)


def add(table, who, name, figures):
    rates, costs = [one.rate for one in figures], [one.cpu for one in figures]
    table.add(f"relayed by {who}, {name}", median(rates), "messages/s", samples=rates)
    table.add(f"CPU of {who}, {name}", median(costs), "s per 1,000", samples=costs)

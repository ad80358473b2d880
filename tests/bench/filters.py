"""What it costs to be asked: a filter that does nothing, in Baton, in Postfix as a milter, in Haraka as a plugin."""
from bench.hooks import six
from bench.load import CountingSink, relayed
from bench.rate import BATON_MESSAGES, POSTFIX_MESSAGES, WARM_UP_MESSAGES, settings
from bench.table import median
from lab.haraka import Haraka
from lab.milter import Milter
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay, merged

SESSIONS = 50
HARAKA_MESSAGES = 2_000


class PostfixWithMilter:
    """Postfix and its milter as one: what either costs is the cost."""

    def __init__(self, next_hop):
        self.milter = Milter()
        self.postfix = Postfix(next_hop, extra=f"smtpd_milters = inet:127.0.0.1:{self.milter.port}\nmilter_protocol = 6")
        self.address = self.postfix.address

    def start(self):
        self.milter.start()
        self.postfix.start()

    def cpu_seconds(self):
        return self.milter.cpu_seconds() + self.postfix.cpu_seconds()

    def close(self):
        self.postfix.close()
        self.milter.stop()


# Messages of a round, a server without the filter, and one with it.
SERVERS = {
    "Baton, six plugins, kept instances": (BATON_MESSAGES, lambda port: Relay(settings(port)), lambda port: Relay(merged(settings(port), {"plugins": six("pool")}))),
    "Postfix, a milter in C": (POSTFIX_MESSAGES, Postfix, PostfixWithMilter),
    "Haraka, a plugin": (HARAKA_MESSAGES, Haraka, lambda port: Haraka(port, noop=True)),
}


def run(table, rounds):
    print("== a filter that does nothing, beside Postfix and Haraka", flush=True)
    sink = CountingSink().start()
    try:
        for name, (count, without, with_filter) in SERVERS.items():
            try:
                compare(table, rounds, sink, name, count, without(sink.port), with_filter(sink.port))
            except Unavailable as reason:
                print(f"  without {name.split(',')[0]}: {reason}", flush=True)
    finally:
        sink.close()


def compare(table, rounds, sink, name, count, *servers):
    pairs = []
    try:
        for server in servers:
            server.start()
            relayed(server, sink, WARM_UP_MESSAGES, SESSIONS)
        for _ in range(rounds):
            pairs.append([relayed(server, sink, count, SESSIONS) for server in servers])
    finally:
        for server in servers:
            server.close()
    rates = [after.rate / before.rate for before, after in pairs]
    costs = [after.cpu - before.cpu for before, after in pairs]
    table.add(f"{name}: rate with the filter", median([after.rate for _, after in pairs]), "messages a second", samples=[after.rate for _, after in pairs])
    table.add(f"{name}: rate with the filter, to the one without", median(rates), "", samples=rates)
    table.add(f"{name}: CPU of the filter", median(costs), "s per 1,000 more", samples=costs)

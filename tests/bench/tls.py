"""What TLS costs: handshakes beside OpenSSL's own server, the relay rate with STARTTLS on both sides, idle connections.

Handshakes are counted in CPU seconds of the server, which do not depend on what else the machine does: one core does as
many in a second as fit into a CPU second. Both servers have the same key and certificate.
"""
import re
import ssl
import subprocess
import time

from bench.idle import open_files_allowed
from bench.load import CountingSink, relayed
from bench.rate import settings
from bench.table import median
from lab import ports
from lab.process import Process, settle_memory
from lab.relay import Relay, merged
from lab.smtp import Client

HANDSHAKE_S = 5
SESSIONS = 50
MESSAGES = 20_000
WARM_UP_MESSAGES = 1_000
IDLE_KIB_MAX = 40
# Full handshakes of TLS 1.3, and sessions that are taken up again. The tool takes up sessions of TLS 1.2 only: those of
# TLS 1.3 come behind the handshake, where it no longer listens.
KINDS = {"full, TLS 1.3": ["-new", "-cipher", "ALL"], "resumed, TLS 1.2": ["-reuse", "-tls1_2"]}


def run(table, rounds):
    handshakes(table, rounds)
    rate(table, rounds)
    idle(table)


def implicit_tls():
    """A relay whose TLS begins with the connection. The log would tell of each handshake that nothing follows."""
    return merged(settings(1), {"listeners": {"smtp": {"kind": "submissions", "connections_per_address_max": 100_000}}, "log": {"filter": "error"}})


class OpenSslServer(Process):
    """`openssl s_server`, which takes connections one after the other."""

    def start(self, chain, key):
        self.port = ports.free()
        command = ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", str(chain), "-key", str(key), "-quiet", "-naccept", "1000000000"]
        self.launch(command)
        until = time.monotonic() + 10
        while subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}"], input=b"", capture_output=True).returncode != 0:
            if time.monotonic() > until:
                raise RuntimeError(f"openssl s_server does not listen: {self.log_tail()}")
            time.sleep(0.05)
        return self


def handshakes(table, rounds):
    print("== TLS handshakes, CPU seconds of the server per 1,000", flush=True)
    relay = Relay(implicit_tls())
    theirs = OpenSslServer()
    try:
        relay.start_without_greeting()
        chain, key = relay.folder / "spool/tls/self-signed.crt", relay.folder / "spool/tls/self-signed.key"
        theirs.start(chain, key)
        for kind, options in KINDS.items():
            costs = [(per_thousand(relay, relay.address[1], options), per_thousand(theirs, theirs.port, options)) for _ in range(rounds)]
            ratios = [other / one for one, other in costs]
            table.add(f"handshakes of Baton on one core, {kind}", median([1000 / one for one, _ in costs]), "per CPU second", samples=[1000 / one for one, _ in costs])
            table.add(f"handshakes, Baton to openssl s_server, {kind}", median(ratios), "×", "at least 0.8 ×", median(ratios) >= 0.8, ratios)
    finally:
        theirs.stop()
        relay.close()


def per_thousand(server, port, options):
    """CPU seconds of the server for 1,000 handshakes of `openssl s_time`."""
    before = server.cpu_seconds()
    done = subprocess.run(["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-time", str(HANDSHAKE_S), *options], capture_output=True, text=True)
    counted = re.search(r"(\d+) connections in \d+ real seconds", done.stdout)
    if not counted or int(counted[1]) < 100:
        raise RuntimeError(f"openssl s_time: {done.stdout[-500:]} {done.stderr[-500:]}")
    return (server.cpu_seconds() - before) / int(counted[1]) * 1000


def rate(table, rounds):
    print("== relay rate with STARTTLS on both sides, 4 KiB messages, 50 sessions", flush=True)
    plain_sink, sink = CountingSink().start(), CountingSink(tls="starttls").start()
    plain = Relay(merged(settings(plain_sink.port), {"listeners": {"smtp": {"tls": "off"}}}))
    # Nothing goes on in plain text, whatever happens.
    needed = {"tls": "required", "tls_verify": False}
    protected = Relay(merged(settings(sink.port), {"next_hops": {"sink": needed}}))
    try:
        plain.start()
        protected.start()
        relayed(plain, plain_sink, WARM_UP_MESSAGES, SESSIONS)
        relayed(protected, sink, WARM_UP_MESSAGES, SESSIONS, tls="starttls")
        ratios, costs = [], []
        for number in range(rounds):
            one = relayed(plain, plain_sink, MESSAGES, SESSIONS)
            other = relayed(protected, sink, MESSAGES, SESSIONS, tls="starttls")
            print(f"  round {number + 1}: plain {one.rate:.0f}/s, CPU {one.cpu:.3f} s per 1,000; STARTTLS {other.rate:.0f}/s, {other.cpu:.3f} s", flush=True)
            ratios.append(other.rate / one.rate)
            costs.append(other.cpu / one.cpu)
        table.add("relay rate, STARTTLS on both sides to plain", median(ratios), "×", "at least 0.8 ×", median(ratios) >= 0.8, ratios)
        table.add("CPU per message, STARTTLS on both sides to plain", median(costs), "×", samples=costs)
    finally:
        for process in (plain, protected, plain_sink, sink):
            process.close()


def idle(table):
    many = open_files_allowed()
    print(f"== memory of {many:,} idle TLS connections", flush=True)
    relay = Relay(implicit_tls())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = []
    try:
        relay.start_without_greeting()
        base = settle_memory(relay)
        while len(clients) < many:
            client = Client(relay.address, tls=context)
            code, text = client.greet()
            if code != 250:
                raise RuntimeError(f"connection {len(clients)}: {code} {text}")
            clients.append(client)
        each = (settle_memory(relay) - base) / many / 1024
        table.add(f"memory of an idle TLS connection, {many:,} open", each, "KiB", f"at most {IDLE_KIB_MAX} KiB", each <= IDLE_KIB_MAX)
    finally:
        for client in clients:
            client.close()
        relay.close()

#!/usr/bin/env python3
"""Postfix and Exim as the mail hosts of domains that publish what their TLS must be: by DANE (RFC 7672) and by MTA-STS (RFC
8461). What is proven goes, what is not waits with the reason. Needs root, as both start only so; what can not be had is a
failure, not a skip."""
import contextlib
import json
import pathlib
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bars.peers import readable_by_postfix
from lab import ports
from lab.exim import Exim
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay, merged, program, quick, target
from lab.smtp import Sink, header
from lab.verdict import Verdict

PROVEN = {"key.test": "a key in its TLSA record", "authority.test": "an authority in its TLSA record", "policy.unsigned.test": "an enforced policy"}
REFUSED = {
    "stranger.test": "none of the host's TLSA records is about it",
    "misnamed.test": "certificate not accepted",
    "other.unsigned.test": "the MTA-STS policy of other.unsigned.test lists none of its mail hosts",
    "name.unsigned.test": "not valid for name",
}


@contextlib.contextmanager
def published(port):
    """Serves what the domains publish about the mail host at this port; tells where."""
    server = subprocess.Popen([str(target() / "debug/published"), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield json.loads(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(10)


def settings(port, names):
    return {
        "hostname": "relay.example",
        "listeners": {"smtp": {"address": "127.0.0.1:0"}},
        "dns": {"servers": [names["dns"]], "trust_anchor_file": names["anchor"]},
        "http": {"ca_file": names["authority"], "allowed_networks": ["127.0.0.0/8"]},
        "delivery": merged(quick(port)["delivery"], {
            "smtp_port": port, "tls_ca_file": names["authority"], "allow_loopback": True, "host_failure_ms": 300,
            "mta_sts": {"port": names["policies"], "check_ms": 200},
        }),
        "checks": {"enabled": False},
        "log": {"filter": "warn"},
    }


def send(relay, domain):
    """Sends a message to somebody in the domain; tells its id."""
    with smtplib.SMTP(*relay.address) as client:
        client.ehlo()
        client.mail("ada@sender.example")
        client.rcpt(f"bo@{domain}")
        _, said = client.data(f"X-Trial-Id: {domain}\r\nSubject: x\r\n\r\nbody\r\n")
    return said.decode().split("queued as ")[1].strip()


def explained(relay, message, word, seconds=30):
    """The story of a message, once it has this word in it, or as it is after this time."""
    until = time.monotonic() + seconds
    while True:
        done = subprocess.run([str(program()), "explain", message, "-s", str(relay.settings_file)], capture_output=True, text=True)
        if word in done.stdout or time.monotonic() > until:
            return done.stdout
        time.sleep(0.2)


def behind(verdict, name, host, names, sink):
    with host, Relay(settings(host.port, names)) as relay:
        sent = {domain: send(relay, domain) for domain in (*PROVEN, *REFUSED)}
        for domain, proof in PROVEN.items():
            told = explained(relay, sent[domain], "verified")
            holds = "delivered" in told and "verified" in told and "not verified" not in told
            verdict.hold(f"{name}: mail goes by {proof}", "verified" if holds else told[-400:], holds, "delivered, verified")
        for domain, reason in REFUSED.items():
            told = explained(relay, sent[domain], reason)
            verdict.hold(f"{name}: {domain} waits", reason if reason in told else told[-400:], reason in told, "deferred with the reason")
    arrived = sorted(header(content, b"X-Trial-Id") for _, _, content in sink.messages)
    verdict.hold(f"{name}: nothing else arrived", ", ".join(arrived), arrived == sorted(PROVEN), "the proven ones")


def main():
    verdict = Verdict("Postfix and Exim as mail hosts with DANE and MTA-STS")
    try:
        # Names of TLSA records hold the port, so it is chosen first.
        port = ports.free()
        with Sink() as sink, published(port) as names, readable_by_postfix(pathlib.Path(names["chain"]), pathlib.Path(names["key"])) as (chain, key):
            host = Postfix(sink.port, extra=f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}", port=port)
            behind(verdict, "Postfix", host, names, sink)
        port = ports.free()
        with Sink() as sink, published(port) as names:
            behind(verdict, "Exim", Exim(sink.port, chain=names["chain"], key=names["key"], port=port), names, sink)
    except Unavailable as reason:
        verdict.hold("the mail host", str(reason), False, "to be had")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Exim before and behind the relay: TLS, AUTH, CHUNKING, DSN, SMTPUTF8 and 8 bits both ways, and the twelve ambiguous ends of
data sent through one into the other. Needs root, as Exim starts only so; what can not be had is a failure, not a skip."""
import pathlib
import smtplib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bars.peers import certificate, reported
from bars.smuggling import cases, evidence, flood
from lab.exim import PASSWORD, USER, Exim
from lab.postfix import Unavailable
from lab.relay import Relay, merged, program, quick
from lab.smtp import Sink, header
from lab.verdict import Verdict

SENDER = f"{USER}@one.example"
EIGHT_BIT = "X-Trial-Id: {trial}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße aus Köln\r\n"


def sent(address, trial, options=(), rcpt_options=(), sender=SENDER, recipient="bo@dest.example"):
    """Sends a message of 8 bits with these parameters."""
    with smtplib.SMTP(*address) as client:
        client.ehlo()
        client.sendmail(sender, [recipient], EIGHT_BIT.format(trial=trial).encode(), mail_options=["BODY=8BITMIME", *options], rcpt_options=rcpt_options)


def arrived(sink, trial):
    """The message of this trial as it left the last relay; empty when it does not come."""
    def found():
        return next((content for _, _, content in sink.messages if header(content, b"X-Trial-Id") == trial), b"")

    with sink.changed:
        sink.changed.wait_for(found, 60)
    return found()


def all_trials(verdict, sink, address, name, protocol, reporter, action):
    """The same trials for both directions. `protocol` tells what the trace field of the receiver must say."""
    sent(address, f"{name}-plain")
    content = arrived(sink, f"{name}-plain")
    verdict.hold(f"{name}: over TLS, verified", "yes" if protocol in content else content[:300].decode("latin-1"), protocol in content, protocol.decode())
    verdict.hold(f"{name}: 8 bits stay", "yes" if "Grüße".encode() in content else "no", "Grüße".encode() in content, "unchanged")
    sent(address, f"{name}-dsn", [f"ENVID={name}", "RET=HDRS"], ["NOTIFY=SUCCESS", "ORCPT=rfc822;bo@dest.example"])
    verdict.hold(f"{name}: DSN goes on, and the last one reports", "sent", reported(sink, name.encode(), reporter, action), "one report")
    sent(address, f"{name}-utf8", ["SMTPUTF8"], sender="jürgen@one.example", recipient="山田@dest.example")
    arrived(sink, f"{name}-utf8")
    there = any(sender == "jürgen@one.example" and "山田@dest.example" in recipients for sender, recipients, _ in sink.messages)
    verdict.hold(f"{name}: SMTPUTF8", "arrived" if there else "missing", there, "addresses unchanged")


def exim_to_relay(verdict, sink, work):
    """Exim submits as a user: STARTTLS, the certificate verified, AUTH PLAIN."""
    chain, key = certificate(work)
    with Relay(merged(quick(sink.port), {
        "tls": {"certificates": [{"chain": str(chain), "key": str(key)}]},
        "listeners": {"smtp": {"kind": "submission"}},
        "accounts": {"hash_memory_kib": 64, "hash_passes": 1},
        "session": {"relay_networks": []},
    })) as relay:
        secret = work / "password"
        secret.write_text(PASSWORD)
        subprocess.run([str(program()), "user", "add", USER, "--sender", "*", "--password-file", str(secret), "-s", str(relay.settings_file)], check=True, capture_output=True)
        transport = "hosts_require_tls = *\nhosts_require_auth = *\ntls_verify_certificates = {0}/ca.crt\ntls_verify_hosts = *\ntls_verify_cert_hostnames = :"
        with Exim(relay.address[1], authority=chain, transport=transport) as exim:
            all_trials(verdict, sink, exim.address, "exim-to-baton", b"SA (TLSv1.3)", b"relay.example", b"relayed")
            verdict.hold("exim-to-baton: by BDAT", "BDAT" if " L K " in exim.told() else exim.told()[-300:], " L K " in exim.told(), "BDAT")


def relay_to_exim(verdict, sink, work):
    """The relay verifies Exim's certificate."""
    chain, key = certificate(work)
    with Exim(sink.port, chain=chain, key=key) as exim:
        with Relay(merged(quick(exim.port), {"next_hops": {"sink": {"tls": "required", "tls_ca_file": str(chain), "tls_name": "localhost"}}})) as relay:
            # Exim calls it delivered, and says beside it that it was relayed.
            all_trials(verdict, sink, relay.address, "baton-to-exim", b"by exim.bench.example with ", b"exim.bench.example", b"delivered")
            log = exim.told()
            verdict.hold("baton-to-exim: by BDAT over TLS", "both" if " P=esmtps " in log and " K " in log else log[-300:], " P=esmtps " in log and " K " in log, "BDAT, TLS")


def until_still(sink, seconds=30):
    """Waits until nothing arrives any more."""
    count, until = -1, time.monotonic() + seconds
    while count != len(sink.messages) and time.monotonic() < until:
        count = len(sink.messages)
        time.sleep(3)


def smuggled_through(verdict, name, first, sink):
    done = flood(first, [case for case in cases(["data", "bdat"], True)])
    until_still(sink)
    smuggled, lone, arrived_count = evidence(sink)
    verdict.note(f"{name}: {len(done)} sessions, {arrived_count} messages passed")
    verdict.hold(f"{name}: smuggled messages", len(smuggled), not smuggled, "0")
    verdict.hold(f"{name}: lone CR or LF at the end", lone, lone == 0, "0")


def smuggling(verdict):
    crowded = {"listeners": {"smtp": {"connections_per_address_max": 1000}}}
    # What is refused never comes to Exim: here it is repaired and goes on.
    repairing = merged(crowded, {"session": {"bare_line_endings": "repair"}})
    with Sink() as sink, Exim(sink.port) as exim, Relay(merged(quick(exim.port), repairing)) as relay:
        smuggled_through(verdict, "baton, then Exim", relay.address, sink)
    many = "smtp_accept_max = 200\nsmtp_accept_max_per_host = 200\nsmtp_accept_queue_per_connection = 0"
    with Sink() as sink, Relay(merged(quick(sink.port), crowded)) as relay, Exim(relay.address[1], extra=many) as exim:
        smuggled_through(verdict, "Exim, then baton", exim.address, sink)


def main():
    verdict = Verdict("Exim before and behind the relay")
    with Sink() as sink, tempfile.TemporaryDirectory() as folder:
        try:
            exim_to_relay(verdict, sink, pathlib.Path(folder))
            relay_to_exim(verdict, sink, pathlib.Path(folder))
            smuggling(verdict)
        except Unavailable as reason:
            verdict.hold("Exim", str(reason), False, "to be had")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Postfix before and behind the relay: TLS verified, AUTH, DSN, SMTPUTF8 and 8 bits both ways, and CHUNKING towards it (as a
client it has none). Needs root, as Postfix starts only so; what can not be had is a failure, not a skip."""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bars.exim import all_trials
from bars.peers import certificate, readable_by_postfix
from lab.dovecot import Authenticator
from lab.exim import PASSWORD, USER
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay, merged, program, quick
from lab.smtp import Sink
from lab.verdict import Verdict


def postfix_to_relay(verdict, sink, work, mechanism):
    """Postfix submits as a user: STARTTLS, the certificate verified, AUTH."""
    chain, key = certificate(work)
    settings = {
        "tls": {"certificates": [{"chain": str(chain), "key": str(key)}]},
        "listeners": {"smtp": {"kind": "submission"}},
        "accounts": {"hash_memory_kib": 64, "hash_passes": 1},
        "session": {"relay_networks": []},
    }
    secret = work / "password"
    secret.write_text(PASSWORD)
    with readable_by_postfix(chain) as (authority,), Relay(merged(quick(sink.port), settings)) as relay:
        subprocess.run([str(program()), "user", "add", USER, "--sender", "*", "--password-file", str(secret), "-s", str(relay.settings_file)], check=True, capture_output=True)
        port = relay.address[1]
        extra = "\n".join((
            f"smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = localhost\nsmtp_tls_CAfile = {authority}",
            f"smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{{ {{ [127.0.0.1]:{port} = {USER}:{PASSWORD} }} }}",
            f"smtp_sasl_mechanism_filter = {mechanism}\nsmtp_sasl_tls_security_options = noanonymous",
        ))
        with Postfix(port, extra=extra) as postfix:
            all_trials(verdict, sink, postfix.address, f"postfix-to-baton-by-{mechanism}", b"SA (TLSv1.3)", b"relay.example", b"relayed")


def relay_to_postfix(verdict, sink, work):
    """The relay verifies Postfix's certificate, and logs in."""
    chain, key = certificate(work)
    secret = work / "next-hop-password"
    secret.write_text(PASSWORD)
    hop = {"tls": "required", "tls_ca_file": str(chain), "tls_name": "localhost", "login": {"user": USER, "password": {"file": str(secret)}}}
    authenticator = Authenticator(USER, PASSWORD)
    with readable_by_postfix(chain, key) as copies:
        extra = "\n".join((
            f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {copies[0]}\nsmtpd_tls_key_file = {copies[1]}\nsmtpd_tls_received_header = yes",
            f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:127.0.0.1:{authenticator.port}",
            "smtpd_tls_auth_only = yes\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_sasl_authenticated_header = yes",
            # It tells the commands of who it is about.
            "debug_peer_list = 127.0.0.1",
        ))
        with Postfix(sink.port, extra=extra) as postfix, Relay(merged(quick(postfix.port), {"next_hops": {"sink": hop}})) as relay:
            all_trials(verdict, sink, relay.address, "baton-to-postfix", f"(Authenticated sender: {USER})".encode(), b"postfix.bench.example", b"relayed")
            log = (postfix.home / "mail.log").read_text(errors="replace")
            verdict.hold("baton-to-postfix: by BDAT", "BDAT" if ": BDAT " in log else log[-300:], ": BDAT " in log, "BDAT")
    authenticator.close()


def main():
    verdict = Verdict("Postfix before and behind the relay")
    with Sink() as sink, tempfile.TemporaryDirectory() as folder:
        try:
            for mechanism in ("plain", "scram-sha-256"):
                postfix_to_relay(verdict, sink, pathlib.Path(folder), mechanism)
            relay_to_postfix(verdict, sink, pathlib.Path(folder))
        except Unavailable as reason:
            verdict.hold("Postfix", str(reason), False, "to be had")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

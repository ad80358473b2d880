#!/usr/bin/env python3
"""Other people's programs, with a message of 10 MiB: nodemailer, swaks and smtplib send to the relay; Postfix relays to
it and receives from it. Needs npm for nodemailer and root for Postfix; what can not be had is a failure, not a skip."""
import contextlib
import os
import pathlib
import shutil
import smtplib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab import postfix as peer
from lab.relay import Relay, merged, quick
from lab.smtp import Sink, header
from lab.verdict import Verdict

LARGE_OCTETS = 10 << 20
NODEMAILER = """
const { createTransport } = require('nodemailer');
const [, , port, path] = process.argv;
const transport = createTransport({ host: '127.0.0.1', port: Number(port), secure: false, ignoreTLS: true, pool: true, maxConnections: 5 });
const one = (number) => transport.sendMail({ from: 'ada@sender.example', to: 'bo@dest.example', subject: `pooled ${number}`, text: 'Tere, maailm: ä.\\n.\\nend' });
(async () => {
  await Promise.all([...Array(20).keys()].map(one));
  await transport.sendMail({ envelope: { from: 'ada@sender.example', to: ['bo@dest.example'] }, raw: { path } });
  transport.close();
})().catch((error) => { console.error(error); process.exit(1); });
"""


def large(trial):
    line = b"abcdefghijklmnopqrstuvwxyz0123456789" * 2 + b"\r\n"
    head = b"X-Trial-Id: " + trial.encode() + b"\r\nFrom: ada@sender.example\r\nTo: bo@dest.example\r\nSubject: large\r\n\r\n"
    return head + line * (LARGE_OCTETS // len(line))


def arrived(sink, trial, whole):
    """True when the large message of this trial arrived, its body unchanged."""
    def there():
        return any(header(content, b"X-Trial-Id") == trial and content.rstrip().endswith(whole.split(b"\r\n\r\n", 1)[1].rstrip()) for _, _, content in sink.messages)

    with sink.changed:
        return sink.changed.wait_for(there, 60)


def node_modules():
    """The folder with nodemailer in it; installed into the cache the first time."""
    folder = peer.cache().parent / "node"
    if not (folder / "node_modules/nodemailer").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print("==> installing nodemailer into the cache", flush=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), "nodemailer"], check=True, capture_output=True)
    return folder


def by_nodemailer(verdict, relay, sink, work):
    if not shutil.which("npm"):
        verdict.hold("nodemailer", "npm is missing", False, "21 messages")
        return
    whole = large("nodemailer")
    (work / "nodemailer.eml").write_bytes(whole)
    script = node_modules() / "send.js"
    script.write_text(NODEMAILER)
    done = subprocess.run(["node", str(script), str(relay.address[1]), str(work / "nodemailer.eml")], capture_output=True, text=True, timeout=120)
    pooled = lambda: sum(1 for _, _, content in sink.messages if (header(content, b"Subject") or "").startswith("pooled"))
    with sink.changed:
        sink.changed.wait_for(lambda: pooled() == 20, 60)
    holds = done.returncode == 0 and pooled() == 20 and arrived(sink, "nodemailer", whole)
    verdict.hold("nodemailer, pool of 5", f"{pooled()} and the large one; exit {done.returncode} {done.stderr[-200:]}", holds, "20 and the large one")


def by_smtplib(verdict, relay, sink):
    whole = large("smtplib")
    with smtplib.SMTP(*relay.address) as client:
        client.sendmail("ada@sender.example", ["bo@dest.example"], whole)
    verdict.hold("smtplib", "sent", arrived(sink, "smtplib", whole), "arrived unchanged")


def by_swaks(verdict, relay, sink, work):
    whole = large("swaks")
    (work / "swaks.eml").write_bytes(whole.replace(b"\r\n", b"\n"))
    host, port = relay.address
    done = subprocess.run(
        ["swaks", "--server", f"{host}:{port}", "--from", "ada@sender.example", "--to", "bo@dest.example", "--data", f"@{work / 'swaks.eml'}", "--silent", "3"],
        capture_output=True, text=True, timeout=120,
    )
    verdict.hold("swaks", f"exit {done.returncode} {done.stderr[-200:]}", done.returncode == 0 and arrived(sink, "swaks", whole), "arrived unchanged")


def postfix_to_baton(verdict, relay, sink):
    with peer.Postfix(relay.address[1], extra="message_size_limit = 20480000") as postfix:
        whole = large("from-postfix")
        with smtplib.SMTP(*postfix.address) as client:
            client.sendmail("ada@sender.example", ["bo@dest.example"], whole)
        verdict.hold("Postfix relays to Baton", "sent", arrived(sink, "from-postfix", whole), "arrived unchanged")


def baton_to_postfix(verdict, sink):
    with peer.Postfix(sink.port, extra="message_size_limit = 20480000") as postfix, Relay(quick(postfix.port)) as relay:
        whole = large("to-postfix")
        with smtplib.SMTP(*relay.address) as client:
            client.sendmail("ada@sender.example", ["bo@dest.example"], whole)
        verdict.hold("Postfix receives from Baton", "sent", arrived(sink, "to-postfix", whole), "arrived unchanged")


def reported(sink, envelope_id, reporter, action=b"relayed"):
    """True when a report about this envelope came, written by this system, and no other did."""
    def reports():
        # Names of fields have no case (RFC 5322 2.2).
        return [content for _, _, content in sink.messages if b"original-envelope-id: " + envelope_id.lower() in content.lower()]

    with sink.changed:
        sink.changed.wait_for(reports, 60)
    found = reports()
    return len(found) == 1 and b"Reporting-MTA: dns; " + reporter in found[0] and b"Action: " + action in found[0] and b"Original-Recipient: rfc822;" in found[0]


def certificate(work):
    """A self-signed certificate for localhost; tells the files of certificate and key."""
    chain, key = work / "peer.crt", work / "peer.key"
    if not chain.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(chain)],
            check=True, capture_output=True,
        )
        # Postfix's own processes read it after they gave their privileges up.
        os.chmod(key, 0o644)
    return chain, key


@contextlib.contextmanager
def readable_by_postfix(*files):
    """Copies where Postfix's own processes, which gave their privileges up, can read them."""
    copies = [pathlib.Path("/var/tmp") / f"baton-peer-{os.getpid()}{source.suffix}" for source in files]
    try:
        for source, copy in zip(files, copies):
            shutil.copy(source, copy)
            os.chmod(copy, 0o644)
        yield copies
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def main():
    verdict = Verdict("other people's programs, 10 MiB")
    with Sink() as sink, tempfile.TemporaryDirectory() as folder, Relay(merged(quick(sink.port), {"session": {"size_octets_max": 50 << 20}})) as relay:
        work = pathlib.Path(folder)
        try:
            by_smtplib(verdict, relay, sink)
            by_swaks(verdict, relay, sink, work)
            by_nodemailer(verdict, relay, sink, work)
            postfix_to_baton(verdict, relay, sink)
            baton_to_postfix(verdict, sink)
        except peer.Unavailable as reason:
            verdict.hold("Postfix", str(reason), False, "to be had")
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

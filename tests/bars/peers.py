#!/usr/bin/env python3
"""Other people's programs, with a message of 10 MiB: nodemailer, swaks and smtplib send to the relay; Postfix relays to
it and receives from it. Needs npm for nodemailer and root for Postfix; what can not be had is a failure, not a skip."""
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
    postfix = peer.Postfix(relay.address[1], extra="message_size_limit = 20480000")
    try:
        postfix.start()
        whole = large("from-postfix")
        with smtplib.SMTP(*postfix.address) as client:
            client.sendmail("ada@sender.example", ["bo@dest.example"], whole)
        verdict.hold("Postfix relays to Baton", "sent", arrived(sink, "from-postfix", whole), "arrived unchanged")
    finally:
        postfix.close()


def baton_to_postfix(verdict, sink):
    postfix = peer.Postfix(sink.port, extra="message_size_limit = 20480000")
    try:
        postfix.start()
        relay = Relay(quick(postfix.port))
        try:
            relay.start()
            whole = large("to-postfix")
            with smtplib.SMTP(*relay.address) as client:
                client.sendmail("ada@sender.example", ["bo@dest.example"], whole)
            verdict.hold("Postfix receives from Baton", "sent", arrived(sink, "to-postfix", whole), "arrived unchanged")
        finally:
            relay.close()
    finally:
        postfix.close()


def main():
    verdict = Verdict("other people's programs, 10 MiB")
    sink = Sink()
    relay = Relay(merged(quick(sink.port), {"session": {"size_octets_max": 50 << 20}}))
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        try:
            relay.start()
            by_smtplib(verdict, relay, sink)
            by_swaks(verdict, relay, sink, work)
            by_nodemailer(verdict, relay, sink, work)
            postfix_to_baton(verdict, relay, sink)
            baton_to_postfix(verdict, sink)
        except peer.Unavailable as reason:
            verdict.hold("Postfix", str(reason), False, "to be had")
        finally:
            relay.close()
            sink.close()
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

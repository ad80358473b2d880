#!/usr/bin/env python3
"""Errors of the system: a sync that fails, and no more files. Nothing unsynced is acknowledged, and the relay says so."""
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.relay import Relay, merged, quick
from lab.smtp import Client, Sink
from lab.verdict import Verdict

MESSAGES = 40
FILES_MAX = 96
# The first syncs are those of the start.
SYNCS_BEFORE = 30


def send(relay, trial):
    try:
        with Client(relay.address, seconds=30) as client:
            if client.greet()[0] != 250:
                return 421, ""
            return client.send("a@sender.example", "b@dest.example", b"X-Trial-Id: %s\r\nSubject: fault\r\n\r\nx\r\n" % trial.encode())
    except (OSError, ValueError) as error:
        return 0, repr(error)


def failing_sync(verdict):
    """Every sync after the first ones fails with EIO; the relay must refuse mail until somebody looks."""
    if not shutil.which("strace"):
        verdict.hold("a sync that fails", "strace is missing", False, "strace to make it fail")
        return
    sink = Sink(lambda *_: "451 4.3.0 later")
    inject = f"inject=fdatasync,fsync,sync_file_range:error=EIO:when={SYNCS_BEFORE}+"
    relay = Relay(quick(sink.port), wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync,sync_file_range", "-e", inject])
    try:
        relay.start()
        answers = {f"sync-{number}": send(relay, f"sync-{number}") for number in range(MESSAGES)}
        acknowledged = {trial for trial, (code, _) in answers.items() if code == 250}
        refused = [f"{code} {text}" for code, text in answers.values() if code != 250]
        verdict.note(f"{len(acknowledged)} acknowledged before the fault, {len(refused)} refused after it: {sorted(set(refused))[:3]}")
        verdict.hold("mail is refused after a failed sync", len(refused), len(refused) > 0, "some")
        last = answers[f"sync-{MESSAGES - 1}"][0]
        verdict.hold("and stays refused", last, last != 250, "no 250")
        transient = [reply for reply in refused if not reply.startswith(("4", "0"))]
        verdict.hold("refusals that are not transient", transient or 0, not transient, "0")
        verdict.hold("the log names it", "in the log" if "sync" in relay.log_tail(20000).lower() else "not in the log", "sync" in relay.log_tail(20000).lower(), "in the log")
        relay.kill()
        relay.wrapper = []
        sink.judge = None
        relay.start()
        lost = sink.missing(acknowledged, 30)
        verdict.hold("acknowledged and lost", len(lost), not lost, "0")
    finally:
        relay.close()
        sink.close()


def no_more_files(verdict):
    """More connections than files: those beyond wait or are refused; nobody spins, nobody dies, and it passes."""
    sink = Sink()
    limited = merged(quick(sink.port), {"store": {"write_buffer_octets": 4 << 20}})
    relay = Relay(limited, wrapper=["sh", "-c", f"ulimit -n {FILES_MAX}; exec \"$@\"", "sh"])
    clients = []
    try:
        relay.start()
        for _ in range(FILES_MAX * 2):
            clients.append(Client(relay.address, seconds=5))
        time.sleep(1)
        before = relay.cpu_seconds()
        time.sleep(2)
        busy = relay.cpu_seconds() - before
        verdict.hold("CPU while no file can be opened", f"{busy:.2f} s in 2 s", busy < 0.5, "no spinning")
        verdict.hold("the relay lives", relay.exit_code() is None, relay.exit_code() is None, "yes")
        for client in clients:
            client.close()
        until = time.monotonic() + 10
        code, text = send(relay, "files")
        while code != 250 and time.monotonic() < until:
            time.sleep(0.2)
            code, text = send(relay, "files")
        verdict.hold("mail passes again", f"{code} {text}", code == 250 and sink.wait_for(1, 20), "250 and delivered")
    finally:
        relay.close()
        sink.close()


def main():
    verdict = Verdict("errors of the system")
    failing_sync(verdict)
    no_more_files(verdict)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Bar 2: the disk fills, by octets or by inodes; then there is room again.

While it is full: every refusal is 452 4.3.1, nothing acknowledged is lost, and what is queued goes on being delivered.
With room again: mail is taken and delivered within 10 s, without a restart. Inodes run out twice: with the reserve that
the settings keep by default, and without one, so that the database itself meets the end of them.

    disk_full.py [--short]      short: inodes without reserve only

The full disk is a small tmpfs in a mount namespace of its own: as root, or where users may have namespaces.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bars.kill9 import Forgetful
from lab.relay import Relay, merged, quick
from lab.smtp import Client, Sink
from lab.verdict import Verdict

ROOM_OCTETS = 64 << 20
RECOVERY_S_MAX = 10.0
# Messages of 128 KiB that fill the disk, or a write buffer of 4 MiB, at most.
MESSAGES_MAX = 600
MESSAGE_OCTETS = 128 << 10


def message(number):
    # Octets that do not compress: a queue that compresses must fill up too.
    body = os.urandom(MESSAGE_OCTETS * 3 // 8).hex().encode()
    lines = b"".join(body[at:at + 76] + b"\r\n" for at in range(0, len(body), 76))
    return b"X-Trial-Id: %d\r\nSubject: trial\r\n\r\n" % number + lines


class SmallDisk:
    """A tmpfs of 64 MiB in this process's own mount namespace."""

    def __init__(self, options):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="baton-small-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)], check=True)

    def fill_octets(self, leave):
        stat = os.statvfs(self.path)
        with open(self.path / "ballast", "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(1, stat.f_bavail * stat.f_frsize - leave))

    def fill_inodes(self, leave):
        (self.path / "ballast").mkdir()
        for number in range(max(0, os.statvfs(self.path).f_favail - leave)):
            (self.path / "ballast" / str(number)).touch()

    def keep_inodes_full(self):
        """Takes also the inodes that the relay gives back."""
        for number in range(os.statvfs(self.path).f_favail):
            (self.path / "ballast" / f"more-{time.monotonic_ns()}-{number}").touch()

    def free(self):
        subprocess.run(["rm", "-rf", str(self.path / "ballast")], check=True)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        self.path.rmdir()


def settings(port, inodes_min):
    small = {"free_octets_min": 8 << 20, "free_inodes_min": inodes_min, "write_buffer_octets": 4 << 20, "memory_body_octets_max": 1 << 20}
    return merged(quick(port), {"store": small})


class Trial:
    def __init__(self, relay, sink):
        self.relay = relay
        self.sink = sink
        self.number = 0
        self.acknowledged = set()
        self.refusals = []

    def send(self):
        """One message over a session of its own; true when it was acknowledged."""
        self.number += 1
        with Client(self.relay.address) as client:
            client.greet()
            code, text = client.send("a@sender.example", "b@dest.example", message(self.number))
        if code == 250:
            self.acknowledged.add(str(self.number))
            return True
        self.refusals.append(f"{code} {text}")
        return False

    def send_until_refused(self, at_most):
        for _ in range(at_most):
            if not self.send():
                return True
        return False


def on_disk(inodes_min):
    return lambda port, disk: Relay(settings(port, inodes_min), folder=disk.path)


def forgetful(port, _disk):
    return Forgetful(port)


def run(kind, options, make):
    """Fills the disk while the next hop refuses, then lets it accept, then makes room. Returns what was seen."""
    seen = {}
    open_now = {"yes": False}
    sink = Sink(lambda *_: None if open_now["yes"] else "451 4.3.0 later")
    disk = SmallDisk(options)
    relay = make(sink.port, disk)
    trial = Trial(relay, sink)
    try:
        relay.start()
        for _ in range(20):
            trial.send()
        if kind == "octets":
            disk.fill_octets(leave=16 << 20)
        else:
            disk.fill_inodes(leave=0)
        seen["refused"] = trial.send_until_refused(MESSAGES_MAX)
        if kind != "octets":
            disk.keep_inodes_full()
        for _ in range(20):
            trial.send()
        seen["delivered_before"] = len(sink.messages)
        open_now["yes"] = True
        seen["delivered_while_full"] = sink.wait_for(seen["delivered_before"] + 1, 20)
        disk.free()
        began = time.monotonic()
        while not trial.send() and time.monotonic() - began < 60:
            time.sleep(0.2)
        seen["recovery_s"] = time.monotonic() - began
        seen["lost"] = sink.missing(trial.acknowledged, max(1, RECOVERY_S_MAX - seen["recovery_s"]))
        seen["delivery_s"] = time.monotonic() - began
        seen["alive"] = relay.exit_code() is None
        seen["refusals"] = trial.refusals
        seen["acknowledged"] = len(trial.acknowledged)
        return seen
    finally:
        relay.close()
        disk.close()
        sink.close()


def judge(verdict, kind, seen):
    wrong = sorted({refusal for refusal in seen["refusals"] if not refusal.startswith("452 4.3.1")})
    verdict.note(f"{kind}: {seen['acknowledged']} acknowledged, {len(seen['refusals'])} refused")
    verdict.hold(f"{kind}: mail is refused when full", seen["refused"], seen["refused"], "yes")
    verdict.hold(f"{kind}: refusals other than 452 4.3.1", wrong or 0, not wrong, "0")
    verdict.hold(f"{kind}: acknowledged and not delivered", f"{len(seen['lost'])} after {seen['delivery_s']:.1f} s", not seen["lost"], "0")
    verdict.hold(f"{kind}: deliveries while full", seen["delivered_while_full"], seen["delivered_while_full"], "go on")
    verdict.hold(f"{kind}: accepts again after", f"{seen['recovery_s']:.1f} s", seen["recovery_s"] <= RECOVERY_S_MAX, f"{RECOVERY_S_MAX} s")
    verdict.hold(f"{kind}: the same process", seen["alive"], seen["alive"], "yes")


def main():
    if os.environ.get("BATON_OWN_MOUNTS") != "yes":
        # Mounts are made where nobody else sees them, and vanish with this process.
        os.environ["BATON_OWN_MOUNTS"] = "yes"
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--mount", "--propagation", "private", sys.executable, *sys.argv])
    octets, inodes = f"size={ROOM_OCTETS}", f"size={ROOM_OCTETS},nr_inodes=400"
    verdict = Verdict("disk full")
    if "--short" not in sys.argv:
        judge(verdict, "octets", run("octets", octets, on_disk(100)))
        judge(verdict, "inodes, 100 in reserve", run("inodes", inodes, on_disk(100)))
    judge(verdict, "inodes, none in reserve", run("inodes", inodes, on_disk(0)))
    seen = run("octets", octets, forgetful)
    verdict.must_fail("a relay that acknowledges from memory", f"refused {seen['refused']}, lost {len(seen['lost'])}", bool(seen["lost"]) or not seen["refused"])
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

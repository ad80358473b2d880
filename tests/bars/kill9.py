#!/usr/bin/env python3
"""Bar 1: kill -9 under load, again and again. What was acknowledged must arrive; after a start mail is taken within 2 s.

    kill9.py [--kills 200] [--seconds-between 2.0]
"""
import argparse
import asyncio
import collections
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.relay import Relay, quick
from lab.smtp import Sink
from lab.verdict import Verdict

SESSIONS = 20
MESSAGE = b"Subject: trial\r\n\r\n" + (b"y" * 70 + b"\r\n") * 42
REFUSED_PART = 0.05
# Outcomes that are not synced yet when the power goes (README, settle).
SETTLE_WINDOW_S = 0.05
RESTART_S_MAX = 2.0


class Load:
    """Sessions that send without pause, and remember what they were promised."""

    def __init__(self, address):
        self.address = address
        self.acknowledged = set()
        self.unknown = set()
        self.sent = 0
        self.errors = collections.Counter()
        self.last_acknowledged = 0.0
        self.stopping = False

    async def session(self, number):
        count = 0
        while not self.stopping:
            trial = None
            try:
                reader, writer = await asyncio.open_connection(*self.address())
                await reply(reader)
                writer.write(b"EHLO client.example\r\n")
                await reply(reader)
                for _ in range(10):
                    if self.stopping:
                        break
                    count += 1
                    trial = None
                    for line in (b"MAIL FROM:<a@sender.example>\r\n", b"RCPT TO:<b@dest.example>\r\n", b"DATA\r\n"):
                        writer.write(line)
                        expect(await reply(reader), b"23")
                    trial = f"{number}-{count}"
                    self.sent += 1
                    writer.write(b"X-Trial-Id: " + trial.encode() + b"\r\n" + MESSAGE + b".\r\n")
                    answer = await reply(reader)
                    if answer.startswith(b"250"):
                        self.acknowledged.add(trial)
                        self.last_acknowledged = time.monotonic()
                    else:
                        self.errors[answer[:12]] += 1
                    trial = None
                writer.close()
            except (OSError, EOFError, asyncio.TimeoutError, ValueError) as error:
                if trial:
                    self.unknown.add(trial)
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(0.02)


async def reply(reader):
    while True:
        line = await asyncio.wait_for(reader.readline(), 30)
        if not line:
            raise EOFError
        if line[3:4] != b"-":
            return line


def expect(answer, classes):
    if answer[:1] not in [bytes([octet]) for octet in classes]:
        raise ValueError(answer)


async def trial(relay, sink, kills, pause):
    """Loads the relay while it is killed; returns what was promised and how long each restart took."""
    load = Load(lambda: relay.address)
    relay.start()
    sessions = [asyncio.create_task(load.session(number)) for number in range(SESSIONS)]
    restarts = []
    for _ in range(kills):
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        relay.kill()
        await asyncio.sleep(random.uniform(0, 0.3))
        began = time.monotonic()
        await asyncio.to_thread(relay.start)
        while load.last_acknowledged < began and time.monotonic() - began < 30:
            await asyncio.sleep(0.005)
        restarts.append(time.monotonic() - began)
    await asyncio.sleep(pause)
    load.stopping = True
    await asyncio.gather(*sessions)
    return load, restarts


class Forgetful:
    """The control: acknowledges at once and keeps the mail in memory only."""

    def __init__(self, next_hop):
        self.next_hop = next_hop
        self.child = None
        self.address = None

    def start(self):
        own = pathlib.Path(__file__).resolve().parent / "forgetful.py"
        self.child = subprocess.Popen([sys.executable, str(own), str(self.next_hop)], stdout=subprocess.PIPE, text=True)
        self.address = ("127.0.0.1", int(self.child.stdout.readline()))

    def exit_code(self):
        return self.child.poll()

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    close = kill


def refuse_some(*_):
    return "451 4.3.0 later" if random.random() < REFUSED_PART else None


def run(kills, pause, drain_s):
    verdict = Verdict(f"kill -9, {kills} times under load of {SESSIONS} sessions")
    sink = Sink(refuse_some)
    relay = Relay(quick(sink.port))
    try:
        load, restarts = asyncio.run(trial(relay, sink, kills, pause))
        lost = sink.missing(load.acknowledged, drain_s)
        arrived = sink.counts()
        extra = sum(count - 1 for count in arrived.values())
        verdict.note(f"sent {load.sent}, acknowledged {len(load.acknowledged)}, unknown {len(load.unknown)}, arrived {len(arrived)}, errors {dict(load.errors.most_common(5))}")
        verdict.hold("acknowledged and lost", len(lost), not lost, "0")
        verdict.hold("acknowledged at all", len(load.acknowledged), len(load.acknowledged) >= 10 * kills, f"at least {10 * kills}")
        # Each kill may repeat what was delivered within the settle window; kills in quick succession meet more of the mail.
        part = 0.01 if pause >= 2 else SETTLE_WINDOW_S / pause
        bound = max(int(len(arrived) * part), SESSIONS * kills // 4)
        verdict.hold("extra copies", extra, extra <= bound, f"{part:.0%} of the mail, or what was on its way at each kill: {bound}")
        slowest = max(restarts)
        verdict.hold("slowest restart until mail is acknowledged", f"{slowest:.2f} s", slowest <= RESTART_S_MAX, f"{RESTART_S_MAX} s")
        if lost:
            verdict.note(f"lost, for example: {sorted(lost)[:5]}; log: {relay.log_tail()}")
    finally:
        relay.close()
        sink.close()
    control(verdict)
    return verdict.end()


def control(verdict):
    sink = Sink()
    relay = Forgetful(sink.port)
    try:
        load, _ = asyncio.run(trial(relay, sink, 3, 0.7))
        time.sleep(1.0)
        lost = load.acknowledged - set(sink.counts())
        verdict.must_fail("a relay that acknowledges from memory", f"{len(lost)} of {len(load.acknowledged)} acknowledged messages lost", bool(lost))
    finally:
        relay.close()
        sink.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds-between", type=float, default=2.0)
    parser.add_argument("--drain-seconds", type=float, default=120.0)
    options = parser.parse_args()
    return run(options.kills, options.seconds_between, options.drain_seconds)


if __name__ == "__main__":
    sys.exit(main())

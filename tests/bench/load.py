"""The generator and the sink of the relay's own program, used alike for every relay that is measured."""
import collections
import json
import pathlib
import subprocess
import tempfile
import time

from lab.process import Process
from lab.relay import program


def slow(delay_ms):
    """Rules of a sink that takes its time for each message."""
    return f'[[rule]]\nphase = "message"\ndelay_ms = {delay_ms}\n'


class CountingSink(Process):
    """`baton sink --count`: counts messages, and knows each by its number. It answers by `rules`, a text of TOML."""

    def __init__(self, rules="", tls=None):
        super().__init__()
        self.rules = rules
        self.tls = tls
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="baton-sink-"))
        self.port = None

    def start(self):
        ports = self.folder / "ports"
        command = [str(program()), "sink", "--count", "--listen", "127.0.0.1:0", "--ports-file", str(ports), "--summary-file", str(self.folder / "summary")]
        if self.tls:
            command += ["--tls", self.tls]
        if self.rules:
            (self.folder / "rules.toml").write_text(self.rules)
            command += ["--replies", str(self.folder / "rules.toml")]
        self.launch(command, log=self.folder / "log")
        until = time.monotonic() + 30
        while not ports.exists():
            if time.monotonic() > until or self.exit_code() is not None:
                raise RuntimeError(f"the sink does not listen: {self.log_tail()}")
            time.sleep(0.01)
        self.port = int(ports.read_text().split()[1].rsplit(":", 1)[1])
        return self

    def summary(self):
        path = self.folder / "summary"
        return json.loads(path.read_text()) if path.exists() else {}

    def wait_for(self, count, seconds):
        """Waits until `count` different messages came; the summary is written once a second, so this polls as often."""
        until = time.monotonic() + seconds
        while (seen := self.summary()).get("distinct", 0) < count:
            if time.monotonic() > until or self.exit_code() is not None:
                raise TimeoutError(f"{seen.get('distinct', 0)} of {count} messages reached the sink")
            time.sleep(0.2)
        return seen

    def close(self):
        self.stop()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


def send(address, count, sessions, size=4096, mix=None, first=0, seconds=600, tls=None, auth=None):
    """Sends made-up messages; returns the generator's own figures."""
    command = [str(program()), "send", "--to", f"{address[0]}:{address[1]}", "--sessions", str(sessions), "--size", str(size), "--first-id", str(first), "--json"]
    command += ["--class-mix", mix] if mix else ["--count", str(count)]
    command += ["--tls", tls] if tls else []
    command += ["--auth", auth] if auth else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise RuntimeError(f"the generator ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


# Messages per second until the last one is at the sink; CPU seconds per 1,000; from MAIL to the reply to the content, p99.
Relayed = collections.namedtuple("Relayed", "rate cpu reply_ms")


def relayed(relay, sink_of, count, sessions, seconds=600, tls=None, size=4096):
    """Sends `count` messages through a relay that is running."""
    before = sink_of.summary().get("distinct", 0)
    cpu = relay.cpu_seconds()
    began = time.time()
    sent = send(relay.address, count, sessions, size=size, first=before, seconds=seconds, tls=tls)
    seen = sink_of.wait_for(before + count, seconds)
    ended = seen["last_us"] / 1e6
    # What is still to be done for these messages (queue files, outcomes) belongs to them.
    time.sleep(1.0)
    cpu = relay.cpu_seconds() - cpu
    reply_ms = max(spans["p99_ms"] for spans in sent["classes"].values())
    return Relayed(count / (ended - began), cpu / count * 1000, reply_ms)

#!/usr/bin/env python3
"""The clock jumps: a day back, a day forward, past the year 2038. Nothing is lost, nothing expires before its time."""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.postfix import Unavailable, cache, fetch
from lab.relay import Relay, merged, quick
from lab.smtp import Client, Sink
from lab.verdict import Verdict

MESSAGES = 50


def faked(offset):
    """The command in front of a program that makes it believe in another time; the library is unpacked, not installed."""
    tree = cache().parent / "faketime"
    library = next(tree.glob("usr/lib/*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        tree.mkdir(parents=True, exist_ok=True)
        fetch("libfaketime", tree)
        library = next(tree.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
    # Timers go on as they are: only the time of day is another one.
    return ["env", f"LD_PRELOAD={library}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]


def send(relay, trial):
    with Client(relay.address) as client:
        client.greet()
        return client.send("a@sender.example", "b@dest.example", b"X-Trial-Id: %s\r\nSubject: clock\r\n\r\nx\r\n" % trial.encode())


def main():
    verdict = Verdict("clock jumps")
    open_now = {"yes": False}
    sink = Sink(lambda *_: None if open_now["yes"] else "451 4.3.0 later")
    relay = Relay(merged(quick(sink.port), {"delivery": {"retry_first_s": 1.0, "retry_max_s": 1.0}}))
    try:
        relay.start()
        taken = [send(relay, f"before-{number}")[0] for number in range(MESSAGES)]
        verdict.hold("accepted", taken.count(250), taken.count(250) == MESSAGES, MESSAGES)
        time.sleep(1.5)
        relay.stop()

        relay.wrapper = faked("-1d")
        relay.start()
        verdict.hold("a day earlier: in the queue", relay.queued(), relay.queued() == MESSAGES, MESSAGES)
        verdict.hold("a day earlier: accepts", send(relay, "earlier")[0], send(relay, "earlier-2")[0] == 250, 250)
        relay.kill()

        open_now["yes"] = True
        relay.wrapper = faked("+1d")
        relay.start()
        wanted = {f"before-{number}" for number in range(MESSAGES)} | {"earlier", "earlier-2"}
        missing = sink.missing(wanted, 30)
        verdict.hold("a day later: not delivered", len(missing), not missing, 0)
        arrived = sink.counts()
        doubled = sum(count - 1 for count in arrived.values())
        verdict.hold("doubled", doubled, doubled == 0, 0)
        relay.stop()

        relay.wrapper = faked("@2038-02-01 00:00:00")
        relay.start()
        verdict.hold("in 2038: accepts", send(relay, "2038")[0], sink.wait_for(MESSAGES + 3, 30), "250 and delivered")
        relay.stop()
    except (Unavailable, subprocess.SubprocessError) as reason:
        verdict.hold("libfaketime", str(reason), False, "to be had")
    finally:
        relay.close()
        sink.close()
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

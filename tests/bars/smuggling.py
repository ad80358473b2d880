#!/usr/bin/env python3
"""Bar 3: twelve ambiguous ends of data, by five ways in, cut at every position: no second message may come out.

    smuggling.py [--short]         short: each form whole, octet by octet, and cut around the ambiguous place only
"""
import argparse
import concurrent.futures
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.postfix import Postfix, Unavailable
from lab.relay import Relay, merged, plugin, quick
from lab.smtp import Client, Sink, bare_line_ends, header
from lab.verdict import Verdict

FORMS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r.\r\n", b"\r\n.\r",
    b"\r\r\n.\r\r\n", b"\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n",
]
BEFORE = b"From: a@sender.example\r\nTo: b@dest.example\r\nSubject: outer\r\nX-Trial-Id: %d\r\n\r\nouter text"
INSIDE = b"MAIL FROM:<smuggled@sender.example>\r\nRCPT TO:<victim@dest.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled text"
SESSIONS = 16
# Long enough for the first piece to be read by itself, short enough for thousands of cases.
PAUSE_S = 0.002


class Case:
    """One session: what is sent, how it is cut, by which way in."""

    def __init__(self, number, form, way, cut):
        self.number = number
        self.form = form
        self.way = way
        self.cut = cut
        self.replies = []

    def content(self):
        return BEFORE % self.number + self.form + INSIDE

    def wire(self):
        """All octets after EHLO that are sent in pieces."""
        envelope = b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\n"
        if self.way == "bdat":
            return envelope + b"BDAT %d LAST\r\n" % len(self.content()) + self.content()
        return envelope + b"DATA\r\n", self.content() + b"\r\n.\r\n"

    def run(self, address):
        client = Client(address, source="127.0.0.2" if self.way == "stranger" else None, seconds=20)
        try:
            client.greet()
            wire = self.wire()
            if isinstance(wire, tuple):
                commands, content = wire
                if self.way == "pipelined":
                    client.write(commands)
                    self.replies += [client.reply()[0] for _ in range(3)]
                else:
                    self.replies += [client.command(line.decode())[0] for line in commands.split(b"\r\n") if line]
                if self.replies[-1] != 354:
                    return self
            else:
                content = wire
            self.write_cut(client, content)
            client.write(b"QUIT\r\n")
            while True:
                code, _ = client.reply()
                self.replies.append(code)
                if code in (0, 221):
                    return self
        except (OSError, ValueError) as error:
            self.replies.append(type(error).__name__)
            return self
        finally:
            client.close()

    def write_cut(self, client, content):
        try:
            if self.cut == "octets":
                for octet in content:
                    client.write(bytes([octet]))
            elif self.cut is None:
                client.write(content)
            else:
                client.write(content[:self.cut])
                time.sleep(PAUSE_S)
                client.write(content[self.cut:])
        except ConnectionError:
            # The server has seen enough and closed; its replies are still to be read.
            pass


def cases(ways, short):
    """Every form by every way, cut at every position (or at those around the form)."""
    number = 0
    for way in ways:
        for form in FORMS:
            content = Case(0, form, way, None).content()
            place = content.index(form, len(BEFORE) - 4)
            everywhere = range(1, len(content) + (0 if way == "bdat" else 5))
            around = range(place - 1, place + len(form) + 2)
            for cut in [None, "octets", *(around if short else everywhere)]:
                number += 1
                yield Case(number, form, way, cut)


def flood(address, chosen):
    with concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
        return list(pool.map(lambda case: case.run(address), chosen))


def evidence(sink):
    """Smuggled messages, and lone CRs and LFs that left the relay."""
    with sink.changed:
        messages = list(sink.messages)
    smuggled = [content for sender, _, content in messages if "smuggled" in sender or header(content, b"Subject") == "smuggled"]
    return smuggled, sum(bare_line_ends(content) for _, _, content in messages), len(messages)


def settings(port, bare):
    rewriting = {
        "source": str(plugin("baton-plugin-header-rules")),
        "grants": {"edit": ["headers"]},
        "config": {"rules": [{"name": "rewrite", "then": {"set": {"X-Rewritten": "yes"}}}]},
    }
    return merged(quick(port), {
        "session": {"relay_networks": ["127.0.0.1/32"], "bare_line_endings": bare, "transactions_max": 100000},
        "local_domains": ["dest.example"],
        "plugins": {"rewrite": rewriting},
        # The strangers are as many as they can be; what bounds them otherwise is not what is tried here.
        "listeners": {"smtp": {"networks": [{"members": ["127.0.0.0/8"], "exempt": True}]}},
    })


def through_relay(verdict, bare, short):
    sink = Sink()
    relay = Relay(settings(sink.port, bare))
    try:
        relay.start()
        done = flood(relay.address, list(cases(["data", "pipelined", "bdat", "stranger"], short)))
        relay.wait_until_empty()
        smuggled, lone, arrived = evidence(sink)
        odd = [case for case in done if any(isinstance(code, str) for code in case.replies)]
        verdict.note(f"{bare}: {len(done)} sessions, {arrived} messages passed, all through a rewriting plugin")
        verdict.hold(f"{bare}: smuggled messages", len(smuggled), not smuggled, "0")
        verdict.hold(f"{bare}: lone CR or LF sent on", lone, lone == 0, "0")
        verdict.hold(f"{bare}: sessions without an answer", len(odd), not odd, "0")
        more = [case for case in done if case.replies.count(250) > (3 if case.way != "bdat" else 3)]
        verdict.hold(f"{bare}: sessions with more than one message acknowledged", len(more), not more, "0")
    finally:
        relay.close()
        sink.close()


def control(verdict, short):
    """Debian's Postfix 3.7 as it comes: its protection exists and is off."""
    sink = Sink()
    try:
        postfix = Postfix(sink.port)
    except Unavailable as reason:
        verdict.must_fail("Postfix 3.7 as it comes", str(reason), False)
        return
    try:
        postfix.start()
        chosen = [case for case in cases(["data"], True) if case.cut is None]
        flood(postfix.address, chosen)
        until = time.monotonic() + 30
        while postfix.queued_or_gone() and time.monotonic() < until:
            time.sleep(0.2)
        smuggled, _, arrived = evidence(sink)
        verdict.must_fail("Postfix 3.7 as it comes", f"{len(smuggled)} smuggled among {arrived} messages", bool(smuggled))
    finally:
        postfix.close()
        sink.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    verdict = Verdict("smuggling matrix")
    for bare in ("refuse", "repair"):
        through_relay(verdict, bare, options.short)
    if not options.short:
        control(verdict, options.short)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Bar 7: messages made to hurt who parses them. The relay must live, stay quick and small, and serve others meanwhile.

    bombs.py [--short]        short: a tenth of each size
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.bystander import Bystander
from lab.relay import Relay, merged, plugin, quick, target
from lab.smtp import Client, Sink
from lab.verdict import Verdict

CPU_S_PER_MIB = 0.25
# Below a mebibyte the clock ticks and the wakeups of the process weigh more than the message.
CPU_S_FLOOR = 0.15
MEMORY_FACTOR = 8
MEMORY_OCTETS_FLOOR = 64 << 20
# Other mail is "twice as slow" only beyond what the scheduler of a busy machine does by itself.
LATENCY_S_FLOOR = 0.2


def lines(text):
    return text.encode().replace(b"\n", b"\r\n")


def nested_messages(size):
    return lines("Subject: x\n") + lines("Content-Type:message/rfc822\n\n") * (60_000 * size // 10) + b"x\r\n"


def nested_multiparts(size):
    depth = 5_000 * size // 10
    opened = "".join(f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}\n' for level in range(depth))
    return lines("Subject: x\n" + opened + "\nx\n")


def unclosed_multiparts(size):
    return lines('Subject: x\nContent-Type: multipart/mixed; boundary="b"\n\n' + '--b\nContent-Type: multipart/mixed; boundary="b"\n\n' * (20_000 * size // 10))


def tiny_parts(size):
    return lines('Subject: x\nContent-Type: multipart/mixed; boundary="b"\n\n') + b"--b\r\n\r\n" * (700_000 * size // 10) + b"--b--\r\n"


def header_lines(size):
    return b"X: y\r\n" * (1_000_000 * size // 10) + b"\r\nx\r\n"


def large_header(size):
    return b"Subject: " + (b"a" * 900 + b"\r\n ") * (5_500 * size // 10) + b"\r\n\r\nx\r\n"


def large_header_name(size):
    return b"N" * (65_536 * size // 10) + b": 1\r\nSubject: x\r\n\r\nx\r\n"


def parameter_sections(size):
    sections = ";\r\n".join(f" name*{number}=a" for number in range(100_000 * size // 10))
    return b"Subject: x\r\nContent-Type: text/plain;\r\n" + sections.encode() + b"\r\n\r\nx\r\n"


def parameters(size):
    return b"Subject: x\r\nContent-Type: text/plain;\r\n" + b";\r\n".join(b" p%d=v" % number for number in range(200_000 * size // 10)) + b"\r\n\r\nx\r\n"


def encoded_words(size):
    return b"Subject:" + b" =?utf-8?q?=C3=A9=C3=A9=C3=A9=C3=A9?=\r\n" * (60_000 * size // 10) + b"\r\nx\r\n"


def encoded_bombs(size):
    return b"Subject:" + b" =?utf-8?b?" + b"QUFB" * (600_000 * size // 10) + b"?=\r\n\r\nx\r\n"


def many_addresses(size):
    return b"Subject: x\r\nTo: " + b",\r\n ".join(b"a%d@b.example" % number for number in range(250_000 * size // 10)) + b"\r\n\r\nx\r\n"


def nested_comments(size):
    depth = 500_000 * size // 10
    return b"Subject: x\r\nFrom: " + b"(" * depth + b")" * depth + b" a@b.example\r\n\r\nx\r\n"


def folded_lines(size):
    return b"Subject: x\r\n" + b" \r\n" * (1_000_000 * size // 10) + b"\r\nx\r\n"


def long_boundary(size):
    boundary = b"b" * (1_000_000 * size // 10)
    return b'Subject: x\r\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + (b"--" + boundary + b"\r\n\r\n") * 3


def near_boundaries(size):
    return lines('Subject: x\nContent-Type: multipart/mixed; boundary="bbbbbbbbbbbbbbbbbbbb"\n\n') + b"--bbbbbbbbbbbbbbbbbbb\r\n" * (200_000 * size // 10)


def false_base64(size):
    return lines("Subject: x\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n") + b"=!=!" * 18 + (b"=!" * 36 + b"\r\n") * (60_000 * size // 10)


def soft_breaks(size):
    return lines("Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n") + b"=\r\n" * (1_500_000 * size // 10)


def odd_names(size):
    return lines("__proto__: 1\nconstructor: 2\n: 3\nSubject : 4\nSubject: x\n") + b"\xff\xfe: \x80\x81\r\n" * (100_000 * size // 10) + b"\r\nx\r\n"


GENERATORS = [
    nested_messages, nested_multiparts, unclosed_multiparts, tiny_parts, header_lines, large_header, large_header_name,
    parameter_sections, parameters, encoded_words, encoded_bombs, many_addresses, nested_comments, folded_lines,
    long_boundary, near_boundaries, false_base64, soft_breaks, odd_names,
]


def settings(port):
    looking = {
        "source": str(plugin("baton-plugin-header-rules")),
        "grants": {"edit": ["headers"]},
        # How long the guest looks depends on the machine; what the relay does around it is what counts here.
        "limits": {"cpu_ms": 1_000},
        "config": {"rules": [{"name": "look", "match": {"header": "Subject", "regex": "(?i)bomb"}, "then": {"set": {"X-Seen": "yes"}}}]},
    }
    return merged(quick(port), {"plugins": {"look": looking}, "session": {"size_octets_max": 32 << 20}})


def reset_peak(process):
    pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def throw(verdict, relay, sink, name, bomb):
    """Sends one bomb; judges its reply, its cost and what became of it."""
    reset_peak(relay)
    resident = relay.resident_octets()
    cpu = relay.cpu_seconds()
    with Client(relay.address, seconds=120) as client:
        client.greet()
        code, text = client.send("a@sender.example", f"{name}@dest.example", bomb)
    arrived = code != 250 or sink.wait_for_recipient(f"{name}@dest.example", 30)
    cpu = relay.cpu_seconds() - cpu
    grown = max(0, relay.peak_octets() - resident)
    mib = len(bomb) / (1 << 20)
    cpu_max = max(CPU_S_FLOOR, mib * CPU_S_PER_MIB)
    grown_max = MEMORY_FACTOR * len(bomb) + MEMORY_OCTETS_FLOOR
    alive = relay.exit_code() is None
    holds = alive and arrived and cpu <= cpu_max and grown <= grown_max and (code == 250 or 500 <= code < 600)
    figure = f"{code} {text}"[:200] if code != 250 else "250"
    figure += f", {mib:.1f} MiB, CPU {cpu:.2f} s, memory +{grown >> 20} MiB"
    verdict.hold(name, figure, holds, f"250 or 5xx, CPU {cpu_max:.2f} s, +{grown_max >> 20} MiB")
    return alive


def control(verdict):
    """The parser that the relay keeps behind its own bounds, alone with the worst message."""
    parser = os.environ.get("BATON_BARE_PARSER") or target() / "debug/bare-parser"
    done = subprocess.run([str(parser)], input=nested_messages(10), capture_output=True)
    verdict.must_fail("a bare parser and nested messages", f"exit {done.returncode}", done.returncode in (-6, -11, 134, 139))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--short", action="store_true")
    size = 1 if options.parse_args().short else 10
    verdict = Verdict(f"MIME and header bombs, {len(GENERATORS)} generators")
    sink = Sink()
    relay = Relay(settings(sink.port))
    try:
        relay.start()
        bystander = Bystander(relay.address)
        bystander.start()
        time.sleep(3)
        quiet = bystander.p99()
        for generator in GENERATORS:
            if not throw(verdict, relay, sink, generator.__name__.replace("_", "-"), generator(size)):
                break
        busy = bystander.p99()
        bystander.stopping = True
        bystander.join(30)
        bound = max(2 * quiet, LATENCY_S_FLOOR)
        verdict.hold("p99 of other mail", f"{busy * 1000:.0f} ms, quiet {quiet * 1000:.0f} ms", busy <= bound, f"{bound * 1000:.0f} ms")
        verdict.hold("other mail refused", bystander.failures[:3] or 0, not bystander.failures, "0")
    finally:
        relay.close()
        sink.close()
    control(verdict)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

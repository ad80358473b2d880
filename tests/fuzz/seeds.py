"""Writes what the fuzzer starts from: the messages of tests/corpus, the dialogues, and records as they are published.

Usage: seeds.py FOLDER
"""

import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).parent.parent

RECORDS = {
    "spf": [
        "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx/24//64 include:%{d2}.example exists:%{ir}.%{l1r+-}.%{o}.example ?all",
        "v=spf1 ptr redirect=_spf.%{d} exp=why.%{h}",
    ],
    "dmarc": ["v=DMARC1; p=reject; sp=none; np=quarantine; psd=n; t=y; adkim=s; aspf=r; rua=mailto:a@b.example!10m,mailto:c@d.example"],
    "address": ["a@b.example", '"a b\\"c"@[192.0.2.1]', "<a@b.example>", "<>", "gr\u00fc\u00dfe@b\u00fccher.example", "a@[IPv6:2001:db8::1]"],
    "proxy": ["PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n", "PROXY UNKNOWN\r\n"],
    "sasl": [
        "\x00n,,n=user,r=rOprNGfwEbeRWgbNEkqO\nc=biws,r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "\x03p=tls-exporter,a=a=2Cb,n=a=2Cb,r=x,e=y\nc=cD10bHMtZXhwb3J0ZXI=,r=x3rfcNHYJY1ZVvWVs7j,x=y,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "\x00y,,m=x,n=\u2168\u00ad,r=x",
        "\x00n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
        "\x00user=someuser@example.com\x01auth=Bearer ya29.vF9dft4q\x01\x01",
    ],
    "reply": ["\x00\x07220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 10\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n250 ok\r\n"],
    "results": ["Authentication-Results: mx.example; spf=pass\r\nAuthentication-Results: (a) \"mx\".example 1; none\r\nFrom: a@b.example\r\n\r\n"],
    "report": [
        "<feedback><report_metadata><org_name>a &amp; b</org_name><report_id>1</report_id><date_range><begin>1</begin></date_range></report_metadata>"
        "<policy_published><domain>a.example</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.1</source_ip><count>1</count>"
        "</row><auth_results><dkim><domain>a.example</domain><result>pass</result></dkim></auth_results></record></feedback>",
        '{"date-range":{"start-datetime":"2026-11-26T00:00:00Z","end-datetime":""},"report-id":"t","policies":[{"policy":{"policy-domain":"a.example"}}]}',
    ],
}
BINARY_PROXY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 156, 64, 0, 25])
SIGNED = (
    "v=DKIM1; k=rsa; p=YWI=\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=b.example; s=s; t=1; x=9; l=5; i=a@b.example;\r\n"
    "\th=From:To:Subject; bh=YWI=; b=YWI=\r\nFrom: a@b.example\r\nTo: c@d.example\r\n\r\nbody \r\n\r\n"
)
CHAIN = "".join(
    f"ARC-Seal: i={number}; a=rsa-sha256; cv={state}; d=a.example; s=s; t=1; b=YWI=\r\n"
    f"ARC-Message-Signature: i={number}; a=rsa-sha256; c=relaxed/relaxed; d=a.example; s=s; h=from; bh=YWI=; b=YWI=\r\n"
    f"ARC-Authentication-Results: i={number}; a.example; none\r\n"
    for number, state in [(2, "pass"), (1, "none")]
)


def raw(text):
    """`"octets" * 3` of a dialogue, with its escapes."""
    inner, _, times = text.strip().rpartition('"')
    octets = re.sub(rb"\\x([0-9a-f]{2})", lambda one: bytes([int(one[1], 16)]), inner[1:].encode())
    for escape, octet in ((rb"\r", b"\r"), (rb"\n", b"\n"), (rb"\t", b"\t"), (rb"\0", b"\0"), (rb'\"', b'"')):
        octets = octets.replace(escape, octet)
    return octets * min(int(times.strip(" *") or 1), 8)


def dialogue(path):
    """What the client sends in a dialogue."""
    sent = b"\x18\x40"
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("C: "):
            sent += line[3:].encode() + b"\r\n"
        elif line.startswith("C+ "):
            sent += raw(line[3:])
    return sent


def seeds():
    """Each target with its seeds."""
    messages = [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in (TESTS / "corpus").glob("*.eml")]
    for message in messages:
        yield from (("header", message), ("mime", message), ("data", b"\0\x20" + message + b"\r\n.\r\n"))
        yield from (("convert", b"\0" + message), ("convert", b"\1" + message.replace(b"\r\n\r\n", b"\r\n\r\n\0\n", 1)))
        yield "dkim", SIGNED.encode() + message
        yield "chain", CHAIN.encode() + message
    for path in (TESTS / "dialogs").glob("*.smtp"):
        yield "command", dialogue(path)
    for target, texts in RECORDS.items():
        yield from ((target, text.encode()) for text in texts)
    yield "proxy", BINARY_PROXY


def main():
    folder = pathlib.Path(sys.argv[1])
    for number, (target, octets) in enumerate(seeds()):
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / f"seed-{number}").write_bytes(octets)


if __name__ == "__main__":
    main()

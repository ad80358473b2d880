"""SCRAM-SHA-256(-PLUS) over `openssl s_client`, which prints what the connection exports (RFC 9266).

argv: port, version of TLS, user, password, and the way: bound, other (bound to another connection), downgraded (`y`), unbound.
"""

import base64, hashlib, hmac, subprocess, sys

port, version, user, password, way = sys.argv[1:6]
peer = subprocess.Popen(
    ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-crlf", "-ign_eof",
     "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
exported = None


def line():
    global exported
    while True:
        text = peer.stdout.readline()
        assert text, "the connection ended"
        text = text.decode("utf-8", "replace").rstrip("\r\n")
        if "Keying material:" in text:
            exported = bytes.fromhex(text.split("Keying material:")[1].strip())
        if len(text) > 3 and text[:3].isdigit() and text[3] in " -":
            return text


def reply():
    lines = [line()]
    while lines[-1][3] == "-":
        lines.append(line())
    return lines


def say(text):
    peer.stdin.write((text + "\n").encode())
    peer.stdin.flush()
    return reply()


def coded(octets):
    return base64.b64encode(octets).decode()


def sign(key, octets):
    return hmac.new(key, octets, hashlib.sha256).digest()


reply()
offer = next(text for text in say("EHLO client.example") if text[4:].startswith("AUTH"))
print(offer)
mechanism, header, channel = {
    "bound": ("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,", exported),
    "other": ("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,", bytes(32)),
    "downgraded": ("SCRAM-SHA-256", b"y,,", b""),
    "unbound": ("SCRAM-SHA-256", b"n,,", b""),
}[way]
bare = b"n=" + user.encode() + b",r=fyko+d2lbbFgONRv9qkxdawL"
answer = say("AUTH " + mechanism + " " + coded(header + bare))
if answer[-1].startswith("334 "):
    server = base64.b64decode(answer[-1][4:])
    fields = dict(field.split(b"=", 1) for field in server.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    client_key = sign(salted, b"Client Key")
    last = b"c=" + base64.b64encode(header + channel) + b",r=" + fields[b"r"]
    message = bare + b"," + server + b"," + last
    signature = sign(hashlib.sha256(client_key).digest(), message)
    proof = bytes(one ^ other for one, other in zip(client_key, signature))
    answer = say(coded(last + b",p=" + base64.b64encode(proof)))
    if answer[-1].startswith("334 "):
        proof = b"v=" + base64.b64encode(sign(sign(salted, b"Server Key"), message))
        assert base64.b64decode(answer[-1][4:]) == proof, "the server proves nothing"
        answer = say("")
print(answer[-1])
peer.kill()

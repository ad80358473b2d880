"""A small ACME authority (RFC 8555) for tests: it checks nonces and signatures, proves names by http-01 or tls-alpn-01 at one port of
loopback, and signs what it is asked to. Names are not looked up. `--refuse N` fails the first N orders."""
import argparse
import base64
import hashlib
import http.server
import json
import pathlib
import secrets
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.request

# The critical extension id-pe-acmeIdentifier up to the digest in it (RFC 8737 3).
IDENTIFIER = bytes.fromhex("06082b0601050507011f0101ff04220420")
# SubjectPublicKeyInfo of a P-256 key, up to its point (RFC 5480).
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04"


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*words, feed=None):
    return subprocess.run(["openssl", *words], input=feed, capture_output=True, check=True).stdout


def thumbprint(jwk):
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    return encoded(hashlib.sha256(text.encode()).digest())


def der_integer(octets):
    octets = octets.lstrip(b"\0") or b"\0"
    if octets[0] & 0x80:
        octets = b"\0" + octets
    return b"\x02" + bytes([len(octets)]) + octets


class Refused(Exception):
    """What the client did wrong, by its ACME error type."""


class Authority:
    def __init__(self, folder, ports_file, refuse, days, challenge):
        self.folder, self.ports_file, self.refuse, self.days, self.challenge = pathlib.Path(folder), ports_file, refuse, days, challenge
        self.lock = threading.Lock()
        self.nonces, self.accounts, self.orders = set(), {}, []
        self.base = ""
        for name, subject, constraint in (("ca", "/CN=test authority", "CA:TRUE"), ("server", "/CN=localhost", "CA:FALSE")):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", subject, "-addext", f"basicConstraints=critical,{constraint}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.pem"))

    def nonce(self):
        nonce = secrets.token_urlsafe(16)
        self.nonces.add(nonce)
        return nonce

    def verified(self, body, url):
        """The protected header and the payload of a signed request (RFC 8555 6)."""
        envelope = json.loads(body)
        protected = json.loads(decoded(envelope["protected"]))
        if protected["nonce"] not in self.nonces:
            raise Refused("badNonce")
        self.nonces.discard(protected["nonce"])
        if protected["url"] != url or protected["alg"] != "ES256":
            raise Refused("malformed")
        jwk = protected.get("jwk") or self.accounts.get(protected.get("kid"))
        if jwk is None:
            raise Refused("accountDoesNotExist")
        signature = decoded(envelope["signature"])
        integers = der_integer(signature[:32]) + der_integer(signature[32:])
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            (work / "signature").write_bytes(b"\x30" + bytes([len(integers)]) + integers)
            (work / "key").write_bytes(SPKI + decoded(jwk["x"]) + decoded(jwk["y"]))
            signed = f"{envelope['protected']}.{envelope['payload']}".encode()
            done = subprocess.run(["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", str(work / "key"), "-signature", str(work / "signature")], input=signed, capture_output=True)
        if done.returncode != 0:
            raise Refused("unauthorized")
        payload = decoded(envelope["payload"])
        return protected, jwk, json.loads(payload) if payload else None

    def challenge_port(self):
        for line in pathlib.Path(self.ports_file).read_text().splitlines():
            name, _, address = line.replace("=", " ").partition(" ")
            if name == "acme":
                return int(address.rsplit(":", 1)[1])
        raise FileNotFoundError("no port named acme")

    def prove(self, order, name):
        """Asks for the answer to the challenge of a name, as the client promised it."""
        promised = f"{order['token']}.{thumbprint(order['jwk'])}"
        try:
            is_proved = (self.proved_by_text if self.challenge == "http-01" else self.proved_by_certificate)(order["token"], name, promised)
        except OSError:
            is_proved = False
        order["proved"].add(name)
        if not is_proved:
            order["status"] = "invalid"
        elif order["status"] == "pending" and order["proved"] == set(order["names"]):
            order["status"] = "ready"

    def proved_by_text(self, token, _, promised):
        url = f"http://127.0.0.1:{self.challenge_port()}/.well-known/acme-challenge/{token}"
        return urllib.request.urlopen(url, timeout=10).read().decode() == promised

    def proved_by_certificate(self, _, name, promised):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        with socket.create_connection(("127.0.0.1", self.challenge_port()), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as protected:
            shown, protocol = protected.getpeercert(binary_form=True), protected.selected_alpn_protocol()
        text = openssl("x509", "-inform", "DER", "-noout", "-ext", "subjectAltName", feed=shown).decode().split()
        return protocol == "acme-tls/1" and text[-1] == f"DNS:{name}" and IDENTIFIER + hashlib.sha256(promised.encode()).digest() in shown

    def sign(self, order, csr):
        request = self.folder / f"{order['id']}.csr"
        request.write_bytes(csr)
        asked = openssl("req", "-inform", "DER", "-in", str(request), "-noout", "-text").decode()
        for name in order["names"]:
            if f"DNS:{name}" not in asked:
                raise Refused("badCSR")
        extensions = self.folder / f"{order['id']}.ext"
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in order["names"]) + "\nbasicConstraints=critical,CA:FALSE\n")
        chain = openssl("x509", "-req", "-inform", "DER", "-in", str(request), "-CA", str(self.folder / "ca.pem"), "-CAkey", str(self.folder / "ca.key"), "-set_serial", str(secrets.randbits(64)),
                        "-days", str(self.days), "-extfile", str(extensions))
        order["certificate"] = chain + (self.folder / "ca.pem").read_bytes()
        order["status"] = "valid"

    def shown(self, order):
        view = {"status": order["status"], "identifiers": [{"type": "dns", "value": name} for name in order["names"]],
                "authorizations": [f"{self.base}/authorization/{order['id']}/{index}" for index in range(len(order["names"]))], "finalize": f"{self.base}/finalize/{order['id']}"}
        if order["status"] == "valid":
            view["certificate"] = f"{self.base}/certificate/{order['id']}"
        return view

    def answer(self, path, body):
        """Status, location and content for a signed request."""
        protected, jwk, payload = self.verified(body, self.base + path)
        kind, *rest = path.strip("/").split("/")
        if kind == "account":
            kid = f"{self.base}/account/{thumbprint(jwk)}"
            known = kid in self.accounts
            self.accounts[kid] = jwk
            return 200 if known else 201, kid, {"status": "valid"}
        if kind == "new-order":
            if self.refuse > 0:
                self.refuse -= 1
                raise Refused("rateLimited")
            order = {"id": len(self.orders), "status": "pending", "jwk": jwk, "token": secrets.token_urlsafe(16), "proved": set(), "names": [one["value"] for one in payload["identifiers"]]}
            self.orders.append(order)
            return 201, f"{self.base}/order/{order['id']}", self.shown(order)
        order = self.orders[int(rest[0])]
        if kind == "challenge":
            self.prove(order, order["names"][int(rest[1])])
        elif kind == "finalize":
            if order["status"] != "ready":
                raise Refused("orderNotReady")
            self.sign(order, decoded(payload["csr"]))
        elif kind == "certificate":
            return 200, None, order["certificate"]
        if kind in ("challenge", "authorization"):
            name = order["names"][int(rest[1])]
            status = "invalid" if order["status"] == "invalid" else "valid" if name in order["proved"] else "pending"
            challenge = {"type": self.challenge, "url": f"{self.base}/challenge/{order['id']}/{rest[1]}", "token": order["token"], "status": status}
            if kind == "challenge":
                return 200, None, challenge
            return 200, None, {"status": status, "identifier": {"type": "dns", "value": name}, "challenges": [challenge]}
        return 200, f"{self.base}/order/{order['id']}", self.shown(order)


def handler(authority):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, status, content, location=None):
            kind = "application/pem-certificate-chain" if isinstance(content, bytes) else "application/json"
            octets = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Replay-Nonce", authority.nonce())
            self.send_header("Content-Type", kind if status < 400 else "application/problem+json")
            self.send_header("Content-Length", str(len(octets)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(octets)

        def do_HEAD(self):
            self.reply(200, b"")

        def do_GET(self):
            base = authority.base
            self.reply(200, {"newNonce": f"{base}/nonce", "newAccount": f"{base}/account", "newOrder": f"{base}/new-order", "revokeCert": f"{base}/revoke", "keyChange": f"{base}/key"})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with authority.lock:
                try:
                    status, location, content = authority.answer(self.path, body)
                except Refused as refused:
                    status, location, content = 400, None, {"type": f"urn:ietf:params:acme:error:{refused}", "detail": str(refused), "status": 400}
            self.reply(status, content, location)

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True, help="where ca.pem is written, and then address")
    parser.add_argument("--ports-file", required=True, help="of the relay: where its answers to challenges are")
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--days", type=int, default=90, help="how long a certificate is valid")
    parser.add_argument("--challenge", default="http-01", choices=["http-01", "tls-alpn-01"])
    options = parser.parse_args()
    authority = Authority(options.folder, options.ports_file, options.refuse, options.days, options.challenge)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority.base = f"https://localhost:{server.server_address[1]}"
    fresh = authority.folder / "address.new"
    fresh.write_text(authority.base)
    fresh.rename(authority.folder / "address")
    server.serve_forever()


if __name__ == "__main__":
    main()

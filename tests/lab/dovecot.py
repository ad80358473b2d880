"""Dovecot's side of authentication, as Postfix asks it (Dovecot's "Auth protocol" 1.x): PLAIN, for one user."""
import base64
import socketserver
import threading

GREETING = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000001\nDONE\n"


class Authenticator:
    """Answers on a port of loopback until it is closed."""

    def __init__(self, user, password):
        expected = f"\0{user}\0{password}".encode()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(GREETING.encode())
                for line in self.rfile:
                    command, *words = line.decode().rstrip("\n").split("\t")
                    if command == "AUTH":
                        response = next((word.removeprefix("resp=") for word in words if word.startswith("resp=")), "")
                        known = base64.b64decode(response) == expected
                        self.wfile.write((f"OK\t{words[0]}\tuser={user}\n" if known else f"FAIL\t{words[0]}\tuser={user}\n").encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

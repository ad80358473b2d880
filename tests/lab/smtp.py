"""SMTP for trials, sharing no code with the relay: a sink that keeps or counts, and clients that send exact octets."""
import asyncio
import collections
import socket
import threading
import time


class Sink:
    """A next hop on a thread of its own. `judge(sender, recipients, content)` may return another reply line."""

    def __init__(self, judge=None, port=0, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING")):
        self.judge = judge
        self.extensions = extensions
        self.messages = []
        self.changed = threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.wanted_port = port
        self.port = None
        self.server = None
        self.connections = set()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)

        async def begin():
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.wanted_port, limit=1 << 26, backlog=1024)
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()

        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    def close(self):
        def end():
            self.server.close()
            for writer in self.connections:
                writer.transport.abort()
            self.loop.call_later(0.05, self.loop.stop)

        self.loop.call_soon_threadsafe(end)
        self.thread.join(10)

    async def serve(self, reader, writer):
        self.connections.add(writer)
        try:
            await self.converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    async def converse(self, reader, writer):
        sender, recipients, chunks = None, [], b""
        writer.write(b"220 sink.example ESMTP\r\n")
        while True:
            if not reader._buffer:
                await writer.drain()
            line = await reader.readuntil(b"\r\n")
            verb = line[:4].upper()
            if verb in (b"EHLO", b"HELO"):
                names = ["sink.example", *self.extensions]
                text = "".join(f"250{' ' if name == names[-1] else '-'}{name}\r\n" for name in names)
                writer.write(text.encode())
            elif verb == b"MAIL":
                sender, recipients, chunks = path_of(line), [], b""
                writer.write(b"250 2.1.0 ok\r\n")
            elif verb == b"RCPT":
                recipients.append(path_of(line))
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                content = await read_content(reader)
                self.finish(writer, sender, recipients, content)
            elif verb == b"BDAT":
                words = line.split()
                chunks += await reader.readexactly(int(words[1]))
                if len(words) > 2:
                    self.finish(writer, sender, recipients, chunks)
                    chunks = b""
                else:
                    writer.write(b"250 2.0.0 chunk\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                await writer.drain()
                return
            elif verb in (b"RSET", b"NOOP"):
                writer.write(b"250 2.0.0 ok\r\n")
            else:
                writer.write(b"500 5.5.1 unknown\r\n")

    def finish(self, writer, sender, recipients, content):
        reply = self.judge(sender, recipients, content) if self.judge else None
        if reply is None or reply.startswith("2"):
            with self.changed:
                self.messages.append((sender, recipients, content))
                self.changed.notify_all()
        writer.write((reply or "250 2.0.0 kept").encode() + b"\r\n")

    def wait_for(self, count, seconds):
        with self.changed:
            return self.changed.wait_for(lambda: len(self.messages) >= count, seconds)

    def wait_for_recipient(self, recipient, seconds):
        """True when a message for this recipient arrives in time."""
        with self.changed:
            return self.changed.wait_for(lambda: any(recipient in recipients for _, recipients, _ in self.messages), seconds)

    def missing(self, trials, seconds):
        """Those of the trials that did not arrive in time."""
        until = time.monotonic() + seconds
        while not trials <= set(self.counts()) and time.monotonic() < until:
            time.sleep(0.1)
        return trials - set(self.counts())

    def counts(self, field=b"X-Trial-Id"):
        """How often each trial id arrived."""
        with self.changed:
            return collections.Counter(header(content, field) for _, _, content in self.messages)


async def read_content(reader):
    """Content up to CRLF.CRLF, and only that; doubled dots made single."""
    content = []
    while True:
        line = await reader.readuntil(b"\r\n")
        if line == b".\r\n":
            return b"".join(content)
        content.append(line[1:] if line.startswith(b".") else line)


def path_of(line):
    text = line.decode("utf-8", "replace")
    return text[text.find("<") + 1:text.rfind(">")]


def header(content, name):
    head = content.split(b"\r\n\r\n", 1)[0]
    for line in head.split(b"\r\n"):
        if line.lower().startswith(name.lower() + b":"):
            return line.split(b":", 1)[1].strip().decode("utf-8", "replace")
    return None


def bare_line_ends(octets):
    """CRs and LFs that stand alone."""
    pairs = octets.count(b"\r\n")
    return octets.count(b"\r") + octets.count(b"\n") - 2 * pairs


class Client:
    """A blocking client that writes what it is told."""

    def __init__(self, address, source=None, seconds=60, tls=None):
        self.socket = socket.create_connection(address, timeout=seconds, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket)
        self.buffer = b""

    def write(self, octets):
        self.socket.sendall(octets)

    def reply(self):
        """Code and text of one reply; (0, "") when the connection ended."""
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    piece = self.socket.recv(1 << 16)
                except ConnectionError:
                    piece = b""
                if not piece:
                    return 0, ""
                self.buffer += piece
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            lines.append(line[4:].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(lines)

    def command(self, line):
        self.write(line.encode() + b"\r\n")
        return self.reply()

    def greet(self):
        self.reply()
        return self.command("EHLO client.example")

    def send(self, sender, recipient, message):
        """Sends one message by DATA; returns the last reply: of the end of data, or the first refusal."""
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            code, text = self.command(line)
            if code // 100 not in (2, 3):
                return code, text
        body = message.replace(b"\r\n.", b"\r\n..")
        self.write((b"." if body.startswith(b".") else b"") + body + b".\r\n")
        return self.reply()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

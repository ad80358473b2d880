#!/usr/bin/env python3
"""The control of bar 1: a relay that says 250 while the message is only in its memory, and delivers when it finds time.

    forgetful.py NEXT-HOP-PORT        prints the port it listens on
"""
import asyncio
import sys

waiting = asyncio.Queue()


async def serve(reader, writer):
    try:
        writer.write(b"220 forgetful.example\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                content = []
                while (line := await reader.readline()) != b".\r\n":
                    if not line:
                        return
                    content.append(line)
                waiting.put_nowait(b"".join(content))
            writer.write(b"250 2.0.0 ok\r\n" if verb != b"QUIT" else b"221 2.0.0 bye\r\n")
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def deliver(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()

    async def command(line):
        writer.write(line)
        while (await reader.readline())[3:4] == b"-":
            pass

    await command(b"EHLO forgetful.example\r\n")
    while True:
        content = await waiting.get()
        await asyncio.sleep(0.05)
        for line in (b"MAIL FROM:<a@sender.example>\r\n", b"RCPT TO:<b@dest.example>\r\n", b"DATA\r\n", content + b".\r\n"):
            await command(line)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await deliver(int(sys.argv[1]))


asyncio.run(main())

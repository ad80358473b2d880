"""A milter that does nothing, in C over Debian's libmilter, which is unpacked and not installed."""
import pathlib
import shutil
import socket
import subprocess
import time

from lab import ports
from lab.postfix import Unavailable, cache, fetch
from lab.process import Process

SOURCE = pathlib.Path(__file__).resolve().parent / "milter.c"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def program():
    """The built milter and the folder of its library."""
    tree = cache().parent / "milter"
    built = tree / "noop"
    if not (tree / "usr/include/libmilter").exists():
        tree.mkdir(parents=True, exist_ok=True)
        for package in ("libmilter-dev", "libmilter1.0.1"):
            fetch(package, tree)
    if not built.exists() or built.stat().st_mtime < SOURCE.stat().st_mtime:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise Unavailable("there is no C compiler for the milter")
        command = [compiler, "-O2", "-D_GNU_SOURCE", f"-I{tree}/usr/include", "-o", str(built), str(SOURCE), f"-L{tree}/{LIBRARIES}", "-lmilter", "-lpthread"]
        subprocess.run(command, check=True)
    return built, tree / LIBRARIES


class Milter(Process):
    """The milter, listening on loopback."""

    def __init__(self):
        super().__init__()
        self.port = ports.free()

    def start(self):
        built, libraries = program()
        self.launch([str(built), f"inet:{self.port}@127.0.0.1"], env={"LD_LIBRARY_PATH": str(libraries)}, log=None)
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.monotonic() > until or self.exit_code() is not None:
                    raise Unavailable("the milter does not listen")
                time.sleep(0.05)

"""Haraka from npm, in the cache and never installed, forwarding everything to a port on loopback."""
import pathlib
import shutil
import subprocess
import tempfile

from lab import ports
from lab.postfix import Unavailable, cache
from lab.process import Process

# The newest line that Node 20 runs.
VERSION = "3.1"
# Its forwarding keeps a client waiting until the next hop has the message: nothing is queued, and nothing synced.
PLUGINS = "everybody\nqueue/smtp_forward\n"
# Takes mail for everywhere; the one of its own that does so is in a package apart.
EVERYBODY = """\
exports.hook_connect = (next, connection) => {
  connection.relaying = true;
  next();
};
"""
NOOP = """\
exports.register = function () {
  for (const hook of ['connect', 'helo', 'ehlo', 'mail', 'rcpt', 'data', 'data_post']) this.register_hook(hook, 'next');
};
exports.next = (next) => next();
"""


def program():
    folder = cache().parent / "haraka"
    built = folder / "node_modules/Haraka/bin/haraka"
    if not built.exists():
        if not shutil.which("npm"):
            raise Unavailable("npm is not there to fetch Haraka")
        folder.mkdir(parents=True, exist_ok=True)
        print("==> fetching Haraka for comparison (into the cache, not installed)", flush=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--omit=optional", "--prefix", str(folder), f"Haraka@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"npm install Haraka failed: {done.stderr[-500:]}")
    return built


class Haraka(Process):
    """One instance with a process for each of two cores, with or without a plugin that does nothing."""

    def __init__(self, next_hop, noop=False):
        super().__init__()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="haraka-", dir="/var/tmp"))
        self.port = ports.free()
        for folder in ("config", "plugins", "queue"):
            (self.home / folder).mkdir()
        # Without these defaults it does not start.
        shutil.copy(program().parent.parent / "config/connection.ini", self.home / "config")
        files = {
            "config/smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=2\nuser=root\ngroup=root\n",
            "config/plugins": ("noop\n" if noop else "") + PLUGINS,
            "config/smtp_forward.ini": f"host=127.0.0.1\nport={next_hop}\nenable_outbound=true\n",
            "config/log.ini": "[main]\nlevel=ERROR\n",
            "config/me": "haraka.bench.example\n",
            "plugins/everybody.js": EVERYBODY,
            "plugins/noop.js": NOOP,
        }
        for name, text in files.items():
            (self.home / name).write_text(text)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self):
        self.launch([str(program()), "-c", str(self.home)], log=self.home / "log")
        try:
            ports.wait_for_greeting(self.address, self)
        except (RuntimeError, TimeoutError) as reason:
            raise Unavailable(f"Haraka does not start: {reason}") from reason

    def close(self):
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

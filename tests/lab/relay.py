"""The relay under trial: the program with a settings file in a folder of its own."""
import json
import os
import pathlib
import shutil
import socket
import tempfile
import time

from lab import ports
from lab.process import Process


def target():
    chosen = os.environ.get("CARGO_TARGET_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(chosen or os.path.join(cache, "baton", "target"))


def program():
    """The relay: BATON_BIN, or the program of this build."""
    path = pathlib.Path(os.environ.get("BATON_BIN") or target() / "debug/baton")
    if not path.is_file():
        raise SystemExit(f"there is no relay at {path}: run `make relay` first")
    return path


def plugin(name):
    """A plugin by its name: in BATON_PLUGIN_DIR, or as this build made it."""
    folder = pathlib.Path(os.environ.get("BATON_PLUGIN_DIR") or target() / "wasm32-wasip2/plugin")
    path = folder / f"{name.replace('-', '_')}.wasm"
    if not path.is_file():
        raise SystemExit(f"there is no plugin at {path}: run `make guests` first")
    return path


def toml(settings):
    """Settings as TOML: nested dictionaries are tables, lists of dictionaries are arrays of tables."""
    lines = []

    def write(table, path):
        for key, value in table.items():
            if not is_table(value):
                lines.append(f"{key} = {json.dumps(value)}")
        for key, value in table.items():
            inner = path + (key,)
            if isinstance(value, dict):
                lines.append(f"[{'.'.join(inner)}]")
                write(value, inner)
            elif is_table(value):
                for entry in value:
                    lines.append(f"[[{'.'.join(inner)}]]")
                    write(entry, inner)

    write(settings, ())
    return "\n".join(lines) + "\n"


def is_table(value):
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def merged(one, other):
    result = dict(one)
    for key, value in other.items():
        both = isinstance(result.get(key), dict) and isinstance(value, dict)
        result[key] = merged(result[key], value) if both else value
    return result


def quick(next_hop):
    """Everything to one next hop on loopback, retried within seconds."""
    return {
        "hostname": "relay.example",
        "listeners": {"smtp": {"address": "127.0.0.1:0"}},
        "next_hops": {"sink": {"hosts": [f"127.0.0.1:{next_hop}"]}},
        "routes": [{"domain": "*", "next_hop": "sink"}],
        "delivery": {"retry_first_s": 0.5, "retry_factor": 1.5, "retry_max_s": 2.0, "retry_jitter": 0.1},
        "log": {"filter": "warn"},
    }


class Relay(Process):
    """One relay. `folder` may be given to put the queue on another file system."""

    def __init__(self, settings, binary=None, folder=None, wrapper=()):
        super().__init__()
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="baton-", dir="/var/tmp"))
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="baton-work-"))
        self.binary = binary or program()
        self.wrapper = list(wrapper)
        self.settings_file = self.work / "baton.toml"
        self.write_settings(settings)

    def write_settings(self, settings):
        self.settings = merged(settings, {"store": {"path": str(self.folder / "spool")}, "api": {"admin_socket": str(self.work / "admin.sock")}})
        self.settings_file.write_text(toml(self.settings))

    @property
    def ports_file(self):
        return self.work / "ports"

    @property
    def address(self):
        return self.listener("smtp")

    def listener(self, name):
        for line in self.ports_file.read_text().splitlines():
            listener, address = line.split(" ", 1)
            if listener == name:
                host, port = address.strip().rsplit(":", 1)
                return (host, int(port))
        raise LookupError(f"no listener {name}")

    def start(self, seconds=60.0):
        """Starts the program; returns how long it took until it greeted."""
        began = time.monotonic()
        self.start_without_greeting(seconds)
        ports.wait_for_greeting(self.address, self, seconds)
        return time.monotonic() - began

    def start_without_greeting(self, seconds=60.0):
        """Starts the program; returns when it listens."""
        self.ports_file.unlink(missing_ok=True)
        began = time.monotonic()
        self.launch(
            [*self.wrapper, str(self.binary), "serve", "--settings", str(self.settings_file), "--ports-file", str(self.ports_file)],
            log=self.work / "baton.log",
        )
        while not (self.ports_file.exists() and self.ports_file.read_text().endswith("\n")):
            if self.exit_code() is not None:
                raise RuntimeError(f"the relay ended with {self.exit_code()}: {self.log_tail()}")
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"the relay does not listen: {self.log_tail()}")
            time.sleep(0.005)

    def admin(self, path, method="GET", body=""):
        """The answer of the admin interface; an error when it is none of success."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.work / "admin.sock"))
            head = f"{method} {path} HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall((head + body).encode())
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        head, body = answer.split(b"\r\n\r\n", 1)
        if not any(status in head.split(b"\r\n", 1)[0] for status in (b" 200 ", b" 201 ")):
            raise RuntimeError(f"{path}: {head!r} {body[:500]!r}")
        return json.loads(body)

    def queued(self):
        summary = self.admin("/v1/queue/summary")
        return sum(summary[state] for state in ("ready", "waiting", "held", "claimed"))

    def wait_until_empty(self, seconds=60.0):
        until = time.monotonic() + seconds
        while self.queued():
            if time.monotonic() > until:
                raise TimeoutError(f"{self.queued()} jobs are left in the queue")
            time.sleep(0.1)

    def close(self):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)

"""A child process and what it costs: CPU of its whole tree, memory."""
import os
import pathlib
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Process:
    """Started, measured and ended by its id. Who inherits has `start` and `close`; `with` calls both."""

    def __init__(self):
        self.child = None
        self.log = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def launch(self, command, env=None, log=None, cwd=None):
        self.log = log
        output = open(log, "ab") if log else subprocess.DEVNULL
        self.child = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        if log:
            output.close()

    @property
    def pid(self):
        return self.child.pid

    def exit_code(self):
        return self.child.poll() if self.child else None

    def log_tail(self, octets=2000):
        if not self.log or not os.path.exists(self.log):
            return ""
        data = pathlib.Path(self.log).read_bytes()
        return data[-octets:].decode("utf-8", "replace")

    def kill(self):
        """SIGKILL to the child and what it started: nothing is said and nothing is flushed."""
        if self.child and self.child.poll() is None:
            for pid in self.tree():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait()

    def stop(self, seconds=60):
        """SIGTERM; SIGKILL when that is not heard. Returns the exit code."""
        if not self.child or self.child.poll() is not None:
            return self.exit_code()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.child.returncode

    def tree(self):
        """Process ids of the child and all its descendants."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                stat = read_stat(int(entry))
                if stat:
                    parents.setdefault(stat["parent"], []).append(int(entry))
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting.extend(parents.get(pid, ()))
        return found

    def cpu_seconds(self):
        """User and system time of the tree, those included that ended and were waited for."""
        stats = (read_stat(pid) for pid in self.tree())
        return sum(stat["cpu"] for stat in stats if stat)

    def memory_octets(self):
        """Memory of the tree, shared pages divided among who shares them (PSS)."""
        return sum(read_pss(pid) for pid in self.tree())

    def resident_octets(self):
        """Resident memory of the child alone."""
        try:
            return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE
        except OSError:
            return 0

    def forget_peak(self):
        """The peak is counted from now on."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_octets(self):
        """The most resident memory the child had, ever or since `forget_peak`."""
        try:
            for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0


def read_stat(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold spaces; what follows does not.
    fields = text.rsplit(")", 1)[1].split()
    return {"parent": int(fields[1]), "cpu": sum(int(field) for field in fields[11:15]) / TICKS}


def read_pss(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def settle_memory(process, seconds=3.0):
    """Waits until the memory no longer grows, at most so long."""
    last = process.memory_octets()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        now = process.memory_octets()
        if abs(now - last) < 64 * 1024:
            return now
        last = now
    return last

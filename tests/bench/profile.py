"""Where the relay's processor time goes while it relays: a profile by `perf`, by what the innermost telling frame belongs to."""
import collections
import re
import shutil
import subprocess
import tempfile

from bench.load import CountingSink, relayed
from bench.rate import settings
from lab.relay import Relay

MESSAGES, SESSIONS = 40_000, 50
FREQUENCY_HZ = 499
STACK_OCTETS = 8_192

# In this order: what any frame of the stack tells.
KINDS = [
    ("waiting for the disk: write and sync of the log", r"vfs_fsync|fdatasync|ext4_sync|ext4_file_write|blkdev_issue_flush|generic_perform_write"),
    ("sockets: system calls that send, receive, connect, close", r"\btcp_|\binet_|sock_|__sys_(send|recv|connect|accept)|tcp_v4|__x64_sys_(send|recv)|inet6?_stream"),
    ("waking and waiting: epoll, futex, scheduler", r"epoll|futex|schedule|sched_yield|eventfd|try_to_wake_up"),
    ("other system calls", r"entry_SYSCALL_64|do_syscall_64|asm_exc|asm_sysvec"),
    ("TLS", r"rustls|aws_lc"),
    ("RocksDB: memtables, log, reads, compaction", r"rocksdb"),
    ("sessions (baton_inbound, baton_smtp)", r"baton_inbound|baton_smtp.*server"),
    ("delivery (baton_outbound, baton_smtp)", r"baton_outbound|baton_smtp"),
    ("the queue (baton_store)", r"baton_store"),
    ("plugins and scripts (baton_hooks)", r"baton_hooks|wasmtime"),
    ("the async runtime", r"tokio|mio::"),
]
# The innermost frame alone tells these, whoever asked for them.
LEAVES = [
    ("copies: memmove, memcpy, memset", r"mem(move|cpy|set|cmp)"),
    ("allocation", r"\b(je_|malloc|calloc|realloc|free|cfree|posix_memalign|sdallocx|mallocx)|tcache|arena_|jemalloc"),
]


def run(table, _rounds):
    if shutil.which("perf") is None:
        print("  no profile: `perf` (Debian's linux-perf) is not there", flush=True)
        return
    print(f"== profile: {MESSAGES:,} messages of 4 KiB, {SESSIONS} sessions", flush=True)
    sink = CountingSink().start()
    relay = Relay(settings(sink.port))
    try:
        relay.start()
        relayed(relay, sink, 2_000, SESSIONS)
        with tempfile.NamedTemporaryFile(prefix="baton-perf-") as data:
            record = ["perf", "record", "-q", "-F", str(FREQUENCY_HZ), "--call-graph", f"dwarf,{STACK_OCTETS}", "-p", str(relay.pid), "-o", data.name]
            perf = subprocess.Popen(record, stderr=subprocess.DEVNULL)
            relayed(relay, sink, MESSAGES, SESSIONS)
            perf.terminate()
            perf.wait(timeout=60)
            counts = count_kinds(data.name)
    finally:
        relay.close()
        sink.close()
    total = sum(counts.values())
    for kind, count in counts.most_common():
        table.add(f"of the processor time: {kind}", 100 * count / total, "%")


def count_kinds(path):
    """Reads the samples one by one: each is some lines of frames, the innermost first, and an empty line."""
    script = subprocess.Popen(["perf", "script", "--no-inline", "-i", path, "-F", "comm,ip,sym"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    counts, frames = collections.Counter(), []
    for line in script.stdout:
        if line.strip():
            frames.append(line.strip())
        elif frames:
            counts[kind_of(frames[1:])] += 1
            frames = []
    script.wait()
    return counts


def kind_of(frames):
    if not frames:
        return "not known"
    for kind, pattern in LEAVES:
        if re.search(pattern, frames[0]):
            return kind
    stack = "\n".join(frames)
    for kind, pattern in KINDS:
        if re.search(pattern, stack):
            return kind
    return "not known"

"""Memory of idle connections."""
import resource

from bench.hooks import six
from bench.rate import settings
from lab.process import settle_memory
from lab.relay import Relay, merged
from lab.smtp import Client

CONNECTIONS = 1_000
# Memory comes in steps of some MiB: only many connections show what one costs.
MANY = 10_000
INSTANCES = ("fresh", "pool")
# What else this process and the relay hold open.
OTHER_FILES = 512


def run(table, _rounds):
    many = open_files_allowed()
    print(f"== memory of {CONNECTIONS:,} and {many:,} idle connections", flush=True)
    base, thousand, each = measure(settings(1), many)
    table.add("memory at rest", base / 1e6, "MB", "at most 60 MB", base <= 60e6)
    table.add("memory with 1,000 idle connections", thousand / 1e6, "MB")
    table.add("memory of an idle connection", each, "KiB", "at most 12 KiB", each <= 12)
    for instances in INSTANCES:
        *_, with_plugins = measure(merged(settings(1), {"plugins": six(instances)}), many)
        more = with_plugins - each
        table.add(f"memory that six plugins add to an idle connection, {instances} instances", more, "KiB", "at most 1 KiB: no instance", more <= 1)


def measure(configured, many):
    """Octets at rest and with a thousand connections; KiB of one connection."""
    relay = Relay(configured)
    clients = []
    try:
        relay.start()
        base = settle_memory(relay)
        open_connections(relay, clients, CONNECTIONS)
        thousand = settle_memory(relay)
        open_connections(relay, clients, many)
        full = settle_memory(relay)
        return base, thousand, max((thousand - base) / CONNECTIONS, (full - base) / many) / 1024
    finally:
        for client in clients:
            client.close()
        relay.close()


def open_connections(relay, clients, count):
    while len(clients) < count:
        client = Client(relay.address)
        code, text = client.greet()
        if code != 250:
            raise RuntimeError(f"connection {len(clients)}: {code} {text}")
        clients.append(client)


def open_files_allowed():
    """Raises the limit of open files, which the relay inherits; returns how many connections fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY + OTHER_FILES
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(CONNECTIONS, limit - OTHER_FILES)

"""Memory of idle connections."""
from bench.rate import settings
from lab.process import settle_memory
from lab.relay import Relay
from lab.smtp import Client

CONNECTIONS = 1_000


def run(table, _rounds):
    print(f"== memory of {CONNECTIONS} idle connections", flush=True)
    relay = Relay(settings(1))
    clients = []
    try:
        relay.start()
        base = settle_memory(relay)
        for _ in range(CONNECTIONS):
            client = Client(relay.address)
            client.greet()
            clients.append(client)
        each = (settle_memory(relay) - base) / CONNECTIONS / 1024
        table.add("memory at rest", base / 1e6, "MB", "at most 60 MB", base <= 60e6)
        table.add("memory of an idle connection", each, "KiB", "at most 12 KiB", each <= 12)
    finally:
        for client in clients:
            client.close()
        relay.close()

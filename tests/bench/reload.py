"""How long new plugins and edited scripts take until they decide, and what mail notices of it."""
import shutil
import time

from bench.load import CountingSink
from bench.rate import settings
from bench.table import median
from lab.bystander import Bystander, p99
from lab.relay import Relay, merged, plugin
from lab.smtp import Client

UNCHANGED = 20
SENDERS = 4
QUIET_S = 5.0
RELOADS_A_ROUND = 5


def run(table, rounds):
    print(f"== reload of {UNCHANGED} unchanged plugins and one that changed, and an edited script", flush=True)
    sink = CountingSink().start()
    relay = Relay(with_plugins(sink.port))
    files = Files(relay)
    relay.write_settings(merged(with_plugins(sink.port), files.settings()))
    senders = []
    try:
        relay.start(seconds=600)
        time.sleep(QUIET_S)
        senders = [Bystander(relay.address, f"sender-{number}") for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        time.sleep(QUIET_S)
        quiet = latency(senders)
        swaps, edits = [], []
        for number in range(rounds * RELOADS_A_ROUND):
            swaps.append(swap(relay, files, number))
            edits.append(edit(relay, files, number))
        busy = latency(senders)
        refused = sum(len(sender.failures) for sender in senders)
    finally:
        for sender in senders:
            sender.stopping = True
        relay.close()
        sink.close()
    table.add(f"reload of {UNCHANGED} unchanged plugins and one changed component, until the swap", median(swaps), "ms", "at most 500 ms", median(swaps) <= 500, swaps)
    table.add(f"an edited script beside {UNCHANGED + 1} plugins, from the wish to reload until it decides", median(edits), "ms", "at most 50 ms", median(edits) <= 50, edits)
    table.add("messages refused meanwhile", refused, f"of {sum(len(sender.taken) for sender in senders):,}", "0", refused == 0)
    more = (busy - quiet) * 1000
    table.add("p99 of a session meanwhile, more than at rest", more, "ms", "at most 20 ms", more <= 20)


def latency(senders):
    """The p99 of all sessions since this was asked last, in seconds."""
    took = []
    for sender in senders:
        took += sender.took
        sender.took = []
    return p99(took)


def with_plugins(port):
    noop = str(plugin("baton-plugin-noop"))
    unchanged = {f"noop-{number}": {"source": noop, "hooks": ["rcpt"], "instances": "pool"} for number in range(UNCHANGED)}
    return merged(settings(port), {"plugins": unchanged, "log": {"filter": "warn"}})


class Files:
    """The component and the script that change."""

    def __init__(self, relay):
        self.component = relay.work / "changing.wasm"
        self.script = relay.work / "changing.js"
        self.original = plugin("baton-plugin-header-rules").read_bytes()
        shutil.copy(plugin("baton-plugin-header-rules"), self.component)
        self.write_script("0")

    def settings(self):
        rules = [{"name": "lottery", "match": {"header": "subject", "contains": "lottery"}, "then": {"score": 1}}]
        changing = {"source": str(self.component), "config": {"rules": rules}, "grants": {"edit": ["headers"]}}
        return {"plugins": {"changing": changing, "script": {"source": str(self.script), "hooks": ["rcpt"]}}}

    def change_component(self, number):
        """A custom section more: another digest, nothing compiled before fits it."""
        name = b"turn"
        content = bytes([len(name)]) + name + str(number).encode()
        self.component.write_bytes(self.original + b"\0" + bytes([len(content)]) + content)

    def write_script(self, mark):
        fresh = self.script.with_suffix(".new")
        fresh.write_text(f'export function onRcpt(rcpt) {{ return rcpt.local === "probe" ? reject(550, "5.7.1", "mark {mark}") : next(); }}\n')
        fresh.replace(self.script)


def generation(relay):
    return relay.admin("/v1/plugins")["generation"]


def swap(relay, files, number):
    """Milliseconds from the wish to reload until the new generation serves."""
    files.change_component(number)
    before = generation(relay)
    began = time.monotonic()
    relay.admin("/v1/reload", "POST", "{}")
    took = time.monotonic() - began
    if generation(relay) == before:
        raise RuntimeError("the reload changed nothing")
    return took * 1000


def edit(relay, files, number):
    """Milliseconds from the wish to reload until a client hears what the script says now."""
    mark = f"edit-{number}"
    files.write_script(mark)
    began = time.monotonic()
    relay.admin("/v1/reload", "POST", "{}")
    while f"mark {mark}" not in (text := probe(relay)):
        if time.monotonic() - began > 30:
            raise TimeoutError(f"the script still says {text}")
    return (time.monotonic() - began) * 1000


def probe(relay):
    """What the script says to a new session: a session keeps the generation that it began with."""
    with Client(relay.address) as client:
        client.greet()
        client.command("MAIL FROM:<a@sender.example>")
        return client.command("RCPT TO:<probe@dest.example>")[1]

#!/usr/bin/env python3
"""Bar 10: hostile plugins, at each hook, under each failure policy, while other mail goes on.

    hostile.py [--short]        short: a few of the behaviours and reloads, and times are told but not judged

Each hostile plugin is the zoo (tests/plugins/zoo) with one behaviour and one policy. It is asked about clients of an
address of its own and about nobody else; a tame one is asked about everybody, so that others share with it all that
plugins share. Whatever they do, the answer of the policy must come within their time, and other mail must go on.
"""
import argparse
import concurrent.futures
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lab.bystander import Bystander
from lab.relay import Relay, merged, plugin, quick
from lab.smtp import Client, Sink
from lab.verdict import Verdict

HOOKS = ("connect", "auth", "rcpt", "data", "route", "bounce")
POLICIES = ("tempfail", "open", "closed", "quarantine")
BEHAVIOURS = (
    "loop", "trap", "panic", "memory", "stack", "handles", "flood", "stuff", "big", "sleep", "wrong-class",
    "edit-then-trap", "invalid-text", "false-length", "huge-answer", "logs",
)
SHORT = ("loop", "memory", "handles", "sleep", "edit-then-trap", "logs")
# Sessions of hostile clients at once.
PARALLEL = 4
BYSTANDERS = 3
QUIET_S = 4.0
WALL_S = 0.3
# The rest of a session, and the scheduler of a busy machine.
ANSWER_S_FLOOR = 0.3
LATENCY_S_FLOOR = 0.2
# Compiling takes all processors for a while.
RELOAD_LATENCY_S_FLOOR = 0.5
MEMORY_OCTETS = 16 << 20
GROWN_OCTETS_MAX = 64 << 20
# The store keeps three buffers, and one bucket is stuffed.
BUCKET_OCTETS = BUFFER_OCTETS = 8 << 20
STORE_OCTETS = 3 * BUFFER_OCTETS + BUCKET_OCTETS
# Compiled functions that are kept for the next reload: engine.functions_octets_max.
FUNCTIONS_OCTETS_MAX = 32 << 20
LOG_LINES_PER_S = 100
# Seconds of the clock that one call may lie in.
SECONDS_PER_CALL = 2
ZOO = {"kv": ["zoo"], "edit": ["headers", "recipients", "sender"], "route": ["*"]}


def source(behaviour, policy, hook):
    """The address of the clients that one plugin is asked about at one hook."""
    return f"127.{BEHAVIOURS.index(behaviour) + 1}.{POLICIES.index(policy) + 1}.{HOOKS.index(hook) + 1}"


def zoo(behaviour, limits):
    return {
        "source": str(plugin("baton-plugin-zoo")),
        "grants": ZOO,
        "hooks": list(HOOKS),
        "limits": limits,
        "breaker": {"failures": 100_000},
        "config": {hook: behaviour for hook in HOOKS},
    }


def hostile(behaviour, policy):
    when = {hook: f'client in cidr("{source(behaviour, policy, hook)}/32")' for hook in HOOKS}
    limits = {"wall_ms": int(WALL_S * 1000), "memory_octets": MEMORY_OCTETS, "log_lines_per_s": LOG_LINES_PER_S}
    return merged(zoo(behaviour, limits), {"on_failure": policy, "when": when})


def settings(port, plugins):
    return merged(quick(port), {
        "plugins": plugins,
        # What they put into the store is bounded by itself; what they cost beside it is measured.
        "store": {"kv_octets_per_bucket_max": BUCKET_OCTETS, "write_buffer_octets": BUFFER_OCTETS},
        "listeners": {"smtp": {"auth_without_tls": True}},
        "session": {"auth_failure_delay_ms": 1, "errors_max": 1000},
        "log": {"filter": "warn,hooks::plugin=info"},
    })


def expected(hook, policy, behaviour):
    """What the client, or the queue, must see: the table of the documentation, written down once more."""
    if behaviour == "logs":
        policy = "open"
    if behaviour == "huge-answer" and hook == "bounce":
        # Its answers have no text; it says `fail`.
        policy = "closed"
    return {
        "connect": {"open": 220, "closed": 554}.get(policy, 421),
        "auth": {"open": 535, "closed": 550}.get(policy, 454),
        "rcpt": {"tempfail": 451, "closed": 550, "quarantine": "held", "open": "delivered"}[policy],
        "data": {"tempfail": 451, "closed": 550, "quarantine": "held", "open": "delivered"}[policy],
        "route": {"tempfail": "deferred", "closed": "failed", "quarantine": "held", "open": "delivered"}[policy],
        "bounce": {"tempfail": "deferred", "quarantine": "deferred"}.get(policy, "failed"),
    }[hook]


def ask(relay, hook, address):
    """One session up to the answer of that hook: its code and text, and how long that answer took."""
    with Client(relay.address, source=address) as client:
        began = time.monotonic()
        code, text = client.reply()
        if hook == "connect" or code != 220:
            return code, text, time.monotonic() - began
        client.command("EHLO client.example")
        began = time.monotonic()
        if hook == "auth":
            code, text = client.command("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==")
        else:
            recipient = "gone@dest.example" if hook == "bounce" else "b@dest.example"
            code, text = client.send("", recipient, f"Subject: from {address}\r\n\r\nx\r\n".encode())
        return code, text, time.monotonic() - began


def end_of(relay, text, seconds=60):
    """Where a message went that was taken with that reply."""
    message = text.split("queued as ", 1)[1].split()[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kinds = {kind for event in relay.admin(f"/v1/messages/{message}")["events"] for kind in event["what"]}
        for kind in ("held", "deferred", "failed", "delivered"):
            if kind in kinds:
                return kind
        time.sleep(0.05)
    return f"nowhere: {kinds}"


def trial(relay, behaviour, policy, hook):
    """What came of one hostile plugin at one hook, what should have, and how long the answer took."""
    code, text, took = ask(relay, hook, source(behaviour, policy, hook))
    seen = end_of(relay, text) if code == 250 and hook not in ("connect", "auth") else code
    wanted = expected(hook, policy, behaviour)
    return f"{behaviour} at {hook}, {policy}", seen, wanted, took


def run_trials(relay, behaviours):
    jobs = [(behaviour, policy, hook) for policy in POLICIES for hook in HOOKS for behaviour in behaviours]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda job: trial(relay, *job), jobs))


def judge_trials(verdict, results, quiet, short):
    wrong = [f"{what}: {seen}, not {wanted}" for what, seen, wanted, _ in results if seen != wanted]
    verdict.hold(f"answers of {len(results)} hostile calls that are not the policy's", wrong[:5] or 0, not wrong, 0)
    slowest = max(results, key=lambda result: result[3])
    bound = WALL_S + max(ANSWER_S_FLOOR, 2 * quiet)
    figure = f"{slowest[3]:.2f} s ({slowest[0]})"
    verdict.hold("slowest answer", figure, short or slowest[3] <= bound, f"{bound:.2f} s")


def judge_others(verdict, what, bystanders, bound, short):
    """How long other mail took since this was asked last."""
    busy = max(bystander.p99() for bystander in bystanders)
    verdict.hold(f"p99 of other mail {what}", f"{busy * 1000:.0f} ms", short or busy <= bound, f"{bound * 1000:.0f} ms")


def judge_logs(verdict, relay, calls):
    lines = (relay.work / "baton.log").read_bytes().count(b"chatter")
    bound = calls * SECONDS_PER_CALL * LOG_LINES_PER_S
    verdict.hold(f"lines of {calls} calls that wrote 1000 each", lines, 0 < lines <= bound, bound)


def judge_mail(verdict, sink, bystanders):
    for bystander in bystanders:
        bystander.stopping = True
    for bystander in bystanders:
        bystander.join(60)
    failures = [failure for bystander in bystanders for failure in bystander.failures]
    verdict.hold("other mail refused", failures[:3] or 0, not failures, 0)
    taken = set().union(*(bystander.taken for bystander in bystanders))
    missing = sink.missing(taken, 60)
    verdict.hold(f"lost of {len(taken)} others", len(missing), not missing, 0)
    halves = [content for _, _, content in sink.messages if b"X-Zoo" in content]
    verdict.hold("half-changed messages", len(halves), not halves, 0)


def reload_often(verdict, relay, plugins, times):
    """Half of the new generations can not be loaded: then the old one goes on, and says so."""
    broken = relay.work / "broken.wasm"
    broken.write_bytes(plugin("baton-plugin-zoo").read_bytes()[:100_000])
    before, wrong = relay.admin("/v1/plugins")["generation"], []
    for number in range(times):
        if number == times // 3:
            # What compiling takes at most is there by now.
            resident = relay.resident_octets()
        is_good = number % 2 == 1
        changed = {"config": {"turn": number}} if is_good else {"source": str(broken)}
        relay.write_settings(settings(relay.settings["next_hops"]["sink"]["hosts"][0].rsplit(":", 1)[1], merged(plugins, {"tame": changed})))
        try:
            relay.admin("/v1/reload", "POST", "{}")
            said = True
        except RuntimeError:
            said = False
        if said != is_good:
            wrong.append(f"{number}: {said}")
    generation = relay.admin("/v1/plugins")["generation"]
    verdict.hold(f"{times} reloads, half of them broken: wrong", wrong[:3] or 0, not wrong, 0)
    verdict.hold("generations since", generation - before, generation - before == times // 2, times // 2)
    grown, bound = relay.resident_octets() - resident, GROWN_OCTETS_MAX + FUNCTIONS_OCTETS_MAX
    verdict.hold("memory after the first third of them", f"{grown >> 20:+} MiB", grown <= bound, f"+{bound >> 20} MiB")


def control(verdict):
    """The same plugin with limits that are none: nobody answers in time."""
    sink = Sink()
    spinning = zoo("loop", {"cpu_ms": 60_000, "wall_ms": 60_000})
    relay = Relay(settings(sink.port, {"spinning": spinning}))
    try:
        relay.start_without_greeting()
        try:
            with Client(relay.address, seconds=WALL_S + 2) as client:
                code = client.reply()[0]
        except TimeoutError:
            code = None
        verdict.must_fail("no limits", "no answer" if code is None else code, code is None)
    finally:
        relay.kill()
        relay.close()
        sink.close()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--short", action="store_true")
    short = options.parse_args().short
    behaviours = SHORT if short else BEHAVIOURS
    verdict = Verdict(f"hostile plugins: {len(behaviours)} behaviours, {len(HOOKS)} hooks, {len(POLICIES)} policies")
    sink = Sink(lambda _, recipients, __: "550 5.1.1 no such user" if "gone@dest.example" in recipients else None)
    plugins = {"tame": zoo("next", {})}
    plugins |= {f"{behaviour}-{policy}": hostile(behaviour, policy) for behaviour in behaviours for policy in POLICIES}
    relay = Relay(settings(sink.port, plugins))
    try:
        relay.start(seconds=600)
        bystanders = [Bystander(relay.address, f"other-{number}") for number in range(BYSTANDERS)]
        for bystander in bystanders:
            bystander.start()
        time.sleep(QUIET_S)
        quiet = max(bystander.p99() for bystander in bystanders)
        pathlib.Path(f"/proc/{relay.pid}/clear_refs").write_text("5")
        resident = relay.resident_octets()
        results = run_trials(relay, behaviours)
        judge_trials(verdict, results, quiet, short)
        judge_others(verdict, f"meanwhile (quiet {quiet * 1000:.0f} ms)", bystanders, max(1.2 * quiet, LATENCY_S_FLOOR), short)
        grown, peak = relay.resident_octets() - resident, relay.peak_octets() - resident
        bound, settled = PARALLEL * GROWN_OCTETS_MAX, GROWN_OCTETS_MAX + STORE_OCTETS
        verdict.hold("memory at its peak", f"+{peak >> 20} MiB", peak <= bound, f"+{bound >> 20} MiB")
        verdict.hold("memory afterwards", f"{grown >> 20:+} MiB", grown <= settled, f"+{settled >> 20} MiB")
        judge_logs(verdict, relay, len(POLICIES) * len(HOOKS))
        reload_often(verdict, relay, plugins, 6 if short else 200)
        judge_others(verdict, "during reloads", bystanders, max(3 * quiet, RELOAD_LATENCY_S_FLOOR), short)
        judge_mail(verdict, sink, bystanders)
        verdict.hold("the process", relay.exit_code() or "alive", relay.exit_code() is None, "alive")
    finally:
        relay.close()
        sink.close()
    control(verdict)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

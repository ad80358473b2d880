"""Sending by the API beside SMTP, by a client of a relay network and by one that authenticates: single messages, and
batches of 100; each is on disk before its answer."""
import json
import subprocess

from bench.load import CountingSink, send
from bench.rate import settings
from bench.table import median
from lab.relay import Relay, merged, program

MESSAGES, WARM_UP_MESSAGES, CONNECTIONS, BATCH = 20_000, 1_000, 50, 100
ACCOUNT, PASSWORD = "shop", "a password of the bench"


def run(table, rounds):
    print("== sending by the API and by SMTP", flush=True)
    sink = CountingSink().start()
    submission = {"kind": "submission", "address": "127.0.0.1:0", "auth_without_tls": True}
    more = {"listeners": {"submission": submission}, "api": {"listen": "127.0.0.1:0", "requests_per_minute": 100_000_000}}
    relay = Relay(merged(settings(sink.port), more))
    try:
        relay.start()
        token = made(relay)
        add_account(relay)
        ways = {
            "SMTP": {},
            "SMTP with AUTH": {"auth": f"{ACCOUNT}:{PASSWORD}"},
            "API, single": {"token": token},
            f"API, batches of {BATCH}": {"token": token, "batch": BATCH},
        }
        rates = {name: [] for name in ways}
        first = 0
        for number in range(rounds + 1):
            count = MESSAGES if number else WARM_UP_MESSAGES
            # What one way leaves to be done falls on the next one, so each goes first in its turn.
            order = list(ways.items())
            for name, how in order[number % len(order) :] + order[: number % len(order)]:
                sent = once(relay, count, first, **how)
                first += count
                sink.wait_for(first, 600)
                if number:
                    rates[name].append(sent["accepted_per_s"])
            if number:
                print("  round", number, ", ".join(f"{name} {all[-1]:.0f}/s" for name, all in rates.items()), flush=True)
    finally:
        relay.close()
        sink.close()
    for name, figures in rates.items():
        table.add(f"taken by {name}, {CONNECTIONS} connections, 4 KiB", median(figures), "messages/s", samples=figures)
    _, _, single, batches = ways
    for name, least in ((single, 1.0), (batches, 2.0)):
        ratios = [one / other for one, other in zip(rates[name], rates["SMTP"])]
        table.add(f"rate, {name} to SMTP", median(ratios), "×", f"at least {least} ×", median(ratios) >= least, ratios)
        ratios = [one / other for one, other in zip(rates[name], rates["SMTP with AUTH"])]
        table.add(f"rate, {name} to SMTP with AUTH", median(ratios), "×", samples=ratios)


def made(relay):
    """A token of the relay itself."""
    command = [str(program()), "token", "add", "--scope", "send", "--json", "--settings", str(relay.settings_file)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["token"]


def add_account(relay):
    command = [str(program()), "user", "add", ACCOUNT, "--sender", "*", "--password-file", "-", "--settings", str(relay.settings_file)]
    subprocess.run(command, input=PASSWORD, text=True, capture_output=True, check=True)


def once(relay, count, first, token=None, batch=1, auth=None):
    if auth:
        return send(relay.listener("submission"), count, CONNECTIONS, first=first, auth=auth)
    if token is None:
        return send(relay.address, count, CONNECTIONS, first=first)
    host, port = relay.listener("api")
    command = [str(program()), "send", "--to", f"{host}:{port}", "--sessions", str(CONNECTIONS), "--size", "4096", "--first-id", str(first), "--json"]
    command += ["--count", str(count), "--token", token, "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"the generator ended with {done.returncode}: {done.stderr[-2000:]} {done.stdout[-2000:]}")
    return json.loads(done.stdout)

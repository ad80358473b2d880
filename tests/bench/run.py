#!/usr/bin/env python3
"""Figures of the relay beside Debian's Postfix: same machine, same run, same generator, same sink, both syncing.

    run.py all | rate | hooks | filters | reload | idle | queued | tls | identity | bank | send | million | events | profile   [--rounds 5] [--json FILE]

Each part stands alone. Rounds alternate between the two, so that what else the machine does meets both; the figure is
the median, and the ratio is the median of the rounds' ratios. Postfix is fetched and unpacked, never installed.
"""
import argparse
import json
import os
import pathlib
import platform
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bench import bank, events, filters, hooks, identity, idle, million, profile, queued, rate, reload, send, tls
from bench.table import Table
from lab.relay import target

PARTS = {"rate": rate.run, "hooks": hooks.run, "filters": filters.run, "reload": reload.run, "idle": idle.run, "queued": queued.run, "tls": tls.run, "identity": identity.run, "bank": bank.run, "send": send.run}
# Takes gigabytes and minutes, or a program that is not everywhere: only when it is asked for.
ALONE = {"million": million.run, "events": events.run, "profile": profile.run}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} × {model}, {memory} GiB, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the start"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("part", choices=["all", *PARTS, *ALONE])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", type=pathlib.Path, help="where the figures go, beside the table")
    chosen = options.parse_args()
    os.environ.setdefault("BATON_BIN", str(target() / "bench/baton"))
    print(f"machine: {machine()}\n", flush=True)
    began = time.monotonic()
    table = Table()
    for name, run in PARTS.items():
        if chosen.part in ("all", name):
            run(table, chosen.rounds)
    if chosen.part in ALONE:
        ALONE[chosen.part](table, chosen.rounds)
    print(f"\n{table.markdown()}\n({time.monotonic() - began:.0f} s)")
    path = chosen.json or target() / "bench" / f"{chosen.part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "figures": table.rows}, indent=2) + "\n")
    print(f"figures as JSON: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

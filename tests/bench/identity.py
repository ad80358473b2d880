"""What checking who sent a message costs, and signing: processor time for one message of 4 KiB, answers of the DNS cached."""
import os
import re
import subprocess

from lab.relay import target

# What the program prints, and what is promised in microseconds.
PROMISES = {"sign": 1_200, "check": 300}


def run(table, _rounds):
    print("== SPF, DKIM, DMARC, ARC", flush=True)
    program = os.environ.get("IDENTITY_COST_BIN") or str(target() / "bench/identity_cost")
    said = subprocess.run([program], capture_output=True, text=True, check=True, timeout=300).stdout
    for what, micros in re.findall(r"(.+): (\d+) µs of processor time", said):
        most = PROMISES[what.split(",")[0]]
        table.add(what, int(micros), "µs CPU", f"at most {most:,}", int(micros) <= most)

#!/usr/bin/env python3
"""The bars, one after the other: each with its control run, which must fail.

    run.py all | kill9 | disk_full | smuggling | bombs | hostile | io_errors | clock | peers | postfix | exim | published      [options of that bar]
"""
import pathlib
import subprocess
import sys

BARS = ("kill9", "disk_full", "smuggling", "bombs", "hostile", "io_errors", "clock", "peers", "postfix", "exim", "published")


def main():
    chosen = sys.argv[1] if len(sys.argv) > 1 else ""
    if chosen not in ("all", *BARS):
        print(__doc__)
        return 2
    here = pathlib.Path(__file__).resolve().parent
    failed = []
    for bar in BARS if chosen == "all" else [chosen]:
        if subprocess.run([sys.executable, str(here / f"{bar}.py"), *sys.argv[2:]]).returncode != 0:
            failed.append(bar)
    print(f"bars not held: {', '.join(failed)}" if failed else "all bars held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

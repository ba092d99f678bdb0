"""`python bench/run.py [NAME ...]`: runs the benchmarks named (all, where none is) and prints their tables.

A benchmark is a module of this folder with `run() -> Report`. The exit code says whether all could be carried out;
a missed aim is told, and is no failure of the run.
"""

import argparse
import importlib
import signal
import sys
from pathlib import Path

NAMES = ("deploy", "nothing_dropped", "idle", "edge", "changes", "api", "scale", "chaos", "isolation", "services")


def main() -> int:
    parser = argparse.ArgumentParser(description="What the platform costs, beside what it is measured against.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of: {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a benchmark ended from outside cleans up too
    failed = False
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            report = importlib.import_module(f"bench.{name}").run()
        except Exception as error:
            failed = True
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        path = report.write()
        print(f"{report.text()}\n\n  numbers: bench/out/{path.name}\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

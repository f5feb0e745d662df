"""Run the benchmarks that there are, one after the other: `python -m benchmarks [NAME …] [--json FILE]`."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.contest import machine
from benchmarks.figures import show
from benchmarks.results import Measured, Results, write

# In the order of issue 6. Each is a program: --json prints its figures; it ends with 1 if a goal was missed.
BENCHMARKS = ("write_path", "end_to_end", "overhead", "memory", "partitions", "scale_out", "schedule")


def run(name: str) -> list[Measured]:
    """Run one. Its progress goes to our stderr. Raises SystemExit if it brings no figures."""
    sys.stderr.write(f"\n{name}\n")
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--json"], stdout=subprocess.PIPE, check=False)
    try:
        figures = msgspec.json.decode(done.stdout, type=list[Measured])
    except msgspec.DecodeError as error:
        raise SystemExit(f"benchmarks.{name} ended with {done.returncode} and without figures: see above.") from error
    assert len({one.name for one in figures}) == len(figures), "two figures of one name: compare would mix them up"
    return figures


def commit() -> str:
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def main() -> int:
    there = [name for name in BENCHMARKS if importlib.util.find_spec(f"benchmarks.{name}")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(there)}; all without any")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, for compare and chart")
    options = parser.parse_args()
    if unknown := set(options.names) - set(there):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(there)}")
    began, on = datetime.now(UTC), machine()
    measured = {name: run(name) for name in options.names or there}
    results = Results(commit=commit(), machine=on, at=f"{began:%Y-%m-%d %H:%M} UTC", benchmarks=measured)
    for name, figures in measured.items():
        sys.stdout.write(f"\n{name}\n")
        sys.stdout.flush()
        show([one.figure for one in figures], as_json=False)
    sys.stdout.write(f"\n{results.machine}\ncommit {results.commit}, {results.at}\n")
    if options.json is not None:
        write(results, options.json)
    return 0 if all(one.met for figures in measured.values() for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

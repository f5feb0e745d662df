"""What changed between two commits: `python -m benchmarks.compare OLD.json NEW.json`.

Only what was measured within one run is worth comparing across two: look at the ratios. Where the rounds of both
overlap, the difference is not one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import Measured, Results, read


def differences(old: Results, new: Results) -> list[tuple[str, Measured, Measured, bool]]:
    """Return the figures that both have, and whether each differs by more than its rounds do among themselves."""
    before = dict(old.figures())
    return [
        (
            name,
            before[name],
            one,
            max(before[name].rounds) < min(one.rounds) or max(one.rounds) < min(before[name].rounds),
        )
        for name, one in new.figures()
        if name in before
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    old, new = read(options.old), read(options.new)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in (old.commit, new.commit, "new / old"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("")
    for name, before, after, differs in differences(old, new):
        ratio = f"{after.median / before.median:.2f}" if before.median else "–"
        table.add_row(
            name,
            f"{before.median:,.4g}",
            f"{after.median:,.4g}",
            ratio,
            after.unit,
            "" if differs else "within the spread",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for results in (old, new):
        sys.stdout.write(f"{results.commit}: {results.machine}, {results.at}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

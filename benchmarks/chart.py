"""Draw how many times as fast as others we are: `python -m benchmarks.chart RESULTS.json CHART.svg`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure as Drawing

from benchmarks.results import Measured, Results, read

_BAR, _GOAL, _SPREAD = "#2f6f9f", "#c0392b", "#1b2a38"


def draw(results: Results, path: Path) -> None:
    """Draw every ratio with its spread, and its goal where it has one; the ending of the path says in which format."""
    ratios = [(name, one) for name, one in results.figures() if one.unit.startswith("×")]
    drawing = Drawing(figsize=(10, 1.2 + 0.27 * len(ratios)), layout="constrained")
    axes = drawing.subplots()
    places = range(len(ratios), 0, -1)
    medians = [one.median for _, one in ratios]
    axes.barh(places, [median - 1 for median in medians], left=1, color=_BAR, height=0.7)
    axes.errorbar(medians, places, xerr=_spread([one for _, one in ratios]), fmt="none", ecolor=_SPREAD, capsize=2)
    for place, (_, one) in zip(places, ratios, strict=True):
        goal = one.figure.at_least or one.figure.at_most
        if goal is not None:
            axes.plot([goal, goal], [place - 0.45, place + 0.45], color=_GOAL, linewidth=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(y=0.01)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_yticks(places, [name for name, _ in ratios], fontsize=8)
    axes.set_xlabel("times as fast (median, lowest to highest round; red: the goal)")
    axes.set_title(f"commit {results.commit}, {results.at}\n{results.machine}", fontsize=8, loc="left")
    drawing.savefig(path)


def _spread(measured: Sequence[Measured]) -> list[list[float]]:
    return [[one.median - min(one.rounds) for one in measured], [max(one.rounds) - one.median for one in measured]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("chart", type=Path)
    options = parser.parse_args()
    draw(read(options.results), options.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())

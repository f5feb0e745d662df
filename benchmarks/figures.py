"""Figures with their spread and their goals, printed for people or for programs."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from rich.console import Console
from rich.table import Table

ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured, round by round. `at_most` or `at_least` is the goal, which the median has to meet."""

    name: str
    unit: str
    rounds: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def goal(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def met(self) -> bool:
        enough = self.at_least is None or self.median >= self.at_least
        return enough and (self.at_most is None or self.median <= self.at_most)


async def timed(
    do: Callable[[], Awaitable[object]], *, before: Callable[[], Awaitable[object]] | None = None, rounds: int = ROUNDS
) -> list[float]:
    """Time it in milliseconds, so many rounds after one that only warms up; `before` each, untimed."""
    found = []
    for _ in range(rounds + 1):
        if before is not None:
            await before()
        began = time.perf_counter()
        await do()
        found.append((time.perf_counter() - began) * 1000)
    return found[1:]


def show(figures: Sequence[Figure], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": f.name, "unit": f.unit, "median": f.median, "rounds": f.rounds, "goal": f.goal, "met": f.met}
            for f in figures
        ]
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "median", "lowest", "highest", "unit", "goal", ""):
        table.add_column(heading, justify="right" if heading in {"median", "lowest", "highest"} else "left")
    for f in figures:
        numbers = (f"{number:,.4g}" if number < 10_000 else f"{number:,.0f}" for number in _spread(f))
        table.add_row(f.name, *numbers, f.unit, f.goal, "" if not f.goal else "met" if f.met else "MISSED")
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _spread(figure: Figure) -> tuple[float, float, float]:
    return figure.median, min(figure.rounds), max(figure.rounds)

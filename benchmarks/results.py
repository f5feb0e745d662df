"""What `python -m benchmarks` writes: the figures of every benchmark of one commit, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.figures import Figure


class Measured(msgspec.Struct, frozen=True):
    """A figure, as `figures.show` writes it."""

    name: str
    unit: str
    median: float
    rounds: list[float]
    goal: str
    met: bool

    @property
    def figure(self) -> Figure:
        sign, _, number = self.goal.partition(" ")
        return Figure(
            name=self.name,
            unit=self.unit,
            rounds=self.rounds,
            at_most=float(number) if sign == "≤" else None,
            at_least=float(number) if sign == "≥" else None,
        )


class Results(msgspec.Struct, frozen=True):
    commit: str
    machine: str
    at: str
    benchmarks: dict[str, list[Measured]]

    def figures(self) -> Iterator[tuple[str, Measured]]:
        """Yield every figure with a name that tells it from those of the other benchmarks."""
        for benchmark, measured in self.benchmarks.items():
            for one in measured:
                yield f"{benchmark}: {one.name}", one


def read(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")

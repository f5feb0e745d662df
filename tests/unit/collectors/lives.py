"""The life of a slice that is read in windows, as the database would keep it, for the tests."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple

from collectors.stream import Window, Windows
from collectors.windows import cell, due, horizon, in_two, settled
from tests.unit.collectors.intervals import minus, union


class Reading(NamedTuple):
    window: Window
    began: datetime
    number: int


class Life:
    """What a slice has read, kept as the database keeps it: coverage, and the walks that are not superseded."""

    def __init__(self, progress: Windows, born: datetime) -> None:
        self.progress = progress
        self.wanted = horizon(progress, born - progress.since)
        self.covered: list[Window] = []
        self.settled: list[Window] = []
        self.parts: list[Window] = []
        self.read: list[Reading] = []
        self._of_cell: defaultdict[datetime, list[Reading]] = defaultdict(list)

    @property
    def current(self) -> list[Reading]:
        return [reading for of_cell in self._of_cell.values() for reading in of_cell]

    def due(self, now: datetime) -> list[Window]:
        told = horizon(self.progress, now)
        holes = minus([Window(self.wanted, told)], self.covered) if told > self.wanted else []
        unsettled = [(each.window, each.began) for each in self.current if minus([each.window], self.settled)]
        return due(self.progress, holes, unsettled if self.progress.restated else [], now)

    def run(self, now: datetime, *, walks: int = 10_000, splits: bool = False) -> list[Window]:
        """Read what is due until told to stop; return what was planned."""
        windows = self.parts + [each for each in self.due(now) if not any(each.overlaps(part) for part in self.parts)]
        for window in windows[:walks]:
            halves = in_two(self.progress, window) if splits else None
            if halves is None:
                self._complete(window, now)
                continue
            splits = False
            self.parts = halves + [part for part in self.parts if part != window]
        return windows

    def _complete(self, window: Window, now: datetime) -> None:
        self.parts = [part for part in self.parts if part != window]
        self.covered = union([*self.covered, window])
        if settled(self.progress, window, now):
            self.settled = union([*self.settled, window])
        reading = Reading(window, now, len(self.read))
        self.read.append(reading)
        key = cell(self.progress, window.start).start
        found = [*self._of_cell[key], reading]
        self._of_cell[key] = [
            each for each in found if minus([each.window], [other.window for other in found if other[1:] > each[1:]])
        ]

"""Every stream that is read in windows lives for weeks: gaps, restarts, splits and clocks that jump leave no hole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

import pytest

from collectors.registry import STREAMS
from collectors.stream import Window, Windows
from collectors.windows import cell, horizon
from tests.unit.collectors.drawn import DAY, grain_of, is_on_grain
from tests.unit.collectors.intervals import minus, overlapping
from tests.unit.collectors.lives import Life

HOUR = timedelta(hours=1)
LIVES = 12
WINDOWED = [
    pytest.param(stream.progress, id=f"{marketplace}/{stream.name}")
    for marketplace, streams in STREAMS.items()
    for stream in streams.values()
    if isinstance(stream.progress, Windows)
]
# Just before the ends of a leap February, of a short one, of a long month, of a year; midnights of Moscow and of UTC.
BORN = ["2024-02-29T20:59", "2023-02-28T23:59", "2026-10-31T20:30", "2026-12-31T20:59", "2027-01-01T00:00"]


class Run(NamedTuple):
    """One run: how long after the one before (a clock may go back), after how many walks it was stopped, a split."""

    after: timedelta
    walks: int
    splits: bool


def runs_of(dice: Random) -> Iterator[Run]:
    """Draw a life: hours, days and weeks between its runs, some stopped before they were done."""
    back = (-2 * HOUR, -3 * DAY) if dice.random() < 0.5 else ()
    jumps = (HOUR, HOUR, 7 * HOUR, DAY, 3 * DAY, 17 * DAY, 40 * DAY, *back)
    yield Run(timedelta(0), 10_000, splits=False)
    for _ in range(dice.randint(6, 16)):
        after = dice.choice(jumps) + timedelta(seconds=dice.randrange(3600))
        yield Run(after, dice.choice((0, 1, 3, 10_000, 10_000)), dice.random() < 0.5)


def assert_can_be_asked(progress: Windows, window: Window, now: datetime) -> None:
    whole = cell(progress, window.start)
    assert whole.start <= window.start < window.end <= whole.end, "it crosses the grid"
    assert progress.longest == "month" or window.end - window.start <= progress.longest
    assert window.end <= horizon(progress, now) <= now - progress.lag, "the API cannot tell of it yet"
    assert is_on_grain(progress, window.end)
    if isinstance(progress.kept, date):
        assert window.start >= first_kept(progress, now)
        assert window.start == first_kept(progress, now) or is_on_grain(progress, window.start)
        return
    assert is_on_grain(progress, window.start)
    assert progress.kept is None or window.start >= now - progress.kept, "the API has forgotten it"


def first_kept(progress: Windows, now: datetime) -> datetime:
    """Return from when on, at the latest, the API has to be asked."""
    if isinstance(progress.kept, date):
        return datetime.combine(progress.kept, datetime.min.time(), progress.zone)
    assert progress.kept is not None
    return now - progress.kept + HOUR + grain_of(progress)


def assert_lives_well(progress: Windows, born: datetime, runs: list[Run]) -> None:
    now = latest = born
    life = Life(progress, now)
    # What was begun later is told by the clock: one that went back may leave two readings of a moment in its place.
    goes_back = any(run.after < timedelta(0) for run in runs)
    for run in runs:
        now += run.after
        latest = max(latest, now)
        parts = list(life.parts)
        planned = life.run(now, walks=run.walks, splits=run.splits)
        for window in planned[len(parts) :]:
            assert_can_be_asked(progress, window, now)
        assert goes_back or overlapping(planned) == [], "a moment is asked for twice"
    for _ in range(2):  # a quiet end: what was split first, and then what it hid
        life.run(latest)
    assert life.parts == []

    told = horizon(progress, latest)
    holes = minus([Window(life.wanted, told)], life.covered) if told > life.wanted else []
    if progress.kept is not None:  # what nobody asked for in time is gone
        holes = minus(holes, [Window(born - 9999 * DAY, first_kept(progress, latest))])
    assert holes == []
    if not progress.restated:
        assert overlapping([reading.window for reading in life.read]) == []
    assert goes_back or overlapping([reading.window for reading in life.current]) == [], "a moment is shown twice"


@pytest.mark.parametrize("progress", WINDOWED)
def test_a_long_life_leaves_no_hole_and_reads_nothing_twice_but_what_is_restated(progress: Windows) -> None:
    for seed in range(LIVES):
        dice = Random(seed)  # noqa: S311 - the same lives each time; `pytest -l` says which one fails
        born = datetime.fromisoformat(dice.choice(BORN)).replace(tzinfo=UTC)
        assert_lives_well(progress, born, list(runs_of(dice)))

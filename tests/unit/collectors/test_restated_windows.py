"""When a window is read again: at its tier's pace, once more after its restatement has ended, then never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from collectors.registry import STREAMS
from collectors.stream import Window, Windows
from collectors.windows import cell, horizon, missing, settled, stale
from tests.unit.collectors.drawn import DAY

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window(MIDNIGHT, MIDNIGHT + DAY)
HOUR = timedelta(hours=1)
TICK = timedelta(minutes=15)
RESTATED = [
    pytest.param(stream.progress, id=f"{marketplace}/{stream.name}")
    for marketplace, streams in STREAMS.items()
    for stream in streams.values()
    if isinstance(stream.progress, Windows) and stream.progress.restated
]


def readings(progress: Windows, window: Window, *, until: timedelta) -> list[timedelta]:
    """Return at which ages of the window a worker that looks every quarter of an hour reads it.

    The first time is as soon as the API can tell of all of it.
    """
    now = window.end
    while horizon(progress, now) < window.end:
        now += TICK
    read = [now]
    while now < window.end + until:
        now += TICK
        if stale(progress, [(window, read[-1])], now):
            read.append(now)
    return [at - window.end for at in read]


@pytest.mark.parametrize("progress", RESTATED)
def test_a_window_is_read_at_the_pace_of_its_tier_and_once_after_the_last(progress: Windows) -> None:
    last_age = progress.restated[-1][0]
    ages = readings(progress, cell(progress, MIDNIGHT), until=last_age + 40 * DAY)
    assert [age for age in ages if age >= last_age][1:] == [], "read again although nothing can have changed"
    assert last_age <= ages[-1] <= last_age + TICK
    for one, other in pairwise(ages):
        pace = next((every for until, every in progress.restated if other <= until), None)
        assert (pace or timedelta(0)) <= other - one <= (pace or progress.restated[-1][1]) + TICK


def test_tiers_thin_out() -> None:
    progress = Windows(longest=DAY, since=DAY, restated=((2 * DAY, HOUR), (60 * DAY, DAY)))
    ages = readings(progress, WINDOW, until=70 * DAY)
    assert len([age for age in ages if age <= 2 * DAY]) == 49
    assert len([age for age in ages if age > 2 * DAY]) == 58


def test_what_was_read_after_its_restatement_is_settled_however_late_that_was() -> None:
    progress = Windows(longest=DAY, since=DAY, restated=((7 * DAY, HOUR),))
    assert not settled(progress, WINDOW, WINDOW.end + 7 * DAY - TICK)
    assert settled(progress, WINDOW, WINDOW.end + 7 * DAY)
    assert stale(progress, [(WINDOW, WINDOW.end + 6 * DAY)], WINDOW.end + 500 * DAY) == [WINDOW]
    assert stale(progress, [(WINDOW, WINDOW.end + 7 * DAY)], WINDOW.end + 500 * DAY) == []


def test_what_is_never_restated_is_settled_at_once_and_never_stale() -> None:
    progress = Windows(longest=DAY, since=DAY)
    assert settled(progress, WINDOW, WINDOW.end)
    assert stale(progress, [(WINDOW, WINDOW.end)], WINDOW.end + DAY) == []


def test_the_newest_window_is_read_again_first() -> None:
    progress = Windows(longest=DAY, since=DAY, restated=((30 * DAY, HOUR),))
    days = [Window(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in range(4)]
    read = [(day, day.end) for day in days]
    assert stale(progress, read, MIDNIGHT + 6 * DAY) == days[::-1]


def test_a_clock_that_goes_back_makes_nothing_due() -> None:
    progress = Windows(longest=DAY, since=DAY, restated=((30 * DAY, HOUR),))
    assert stale(progress, [(WINDOW, WINDOW.end + 5 * DAY)], WINDOW.end + DAY) == []


def test_a_window_that_the_api_no_longer_keeps_whole_is_not_replaced_by_a_poorer_reading() -> None:
    progress = Windows(longest=DAY, since=DAY, kept=31 * DAY, restated=((30 * DAY, DAY),))
    read = [(WINDOW, WINDOW.end + DAY)]
    assert stale(progress, read, WINDOW.start + 30 * DAY) == [WINDOW]
    assert stale(progress, read, WINDOW.start + 31 * DAY) == []


def test_a_day_that_goes_on_is_read_whole_so_that_it_supersedes_what_was_read_of_it() -> None:
    progress = Windows(longest=DAY, since=DAY, restated=((2 * DAY, HOUR),))
    gap = Window(MIDNIGHT + 9 * HOUR, MIDNIGHT + 10 * HOUR)
    assert missing(progress, [gap], MIDNIGHT + 10 * HOUR) == [Window(MIDNIGHT, MIDNIGHT + 10 * HOUR)]

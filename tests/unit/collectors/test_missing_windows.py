"""Which windows close the gaps: no hole, nothing twice, nothing that the API could not answer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.stream import Window, Windows
from collectors.windows import MOSCOW, cell, horizon, missing
from tests.unit.collectors.drawn import DAY, gaps_before, grain_of, is_on_grain, moments, shapes
from tests.unit.collectors.intervals import minus, overlap, overlapping, union


@given(st.data(), shapes(), moments())
def test_no_time_that_the_api_can_tell_of_is_left_out(data: st.DataObject, progress: Windows, now: datetime) -> None:
    gaps = data.draw(gaps_before(now))
    beyond = [Window(horizon(progress, now), now + 1000 * DAY)]
    if isinstance(progress.kept, timedelta):
        forgotten = now - progress.kept + timedelta(hours=1) + grain_of(progress)
        beyond.append(Window(now - 1000 * DAY, forgotten))
    assert minus(minus(gaps, missing(progress, gaps, now)), beyond) == []


@given(st.data(), shapes(), moments())
def test_no_time_is_asked_for_twice(data: st.DataObject, progress: Windows, now: datetime) -> None:
    windows = missing(progress, data.draw(gaps_before(now)), now)
    assert overlapping(windows) == []
    assert windows == sorted(windows, key=lambda window: window.start)


@given(st.data(), shapes(), moments())
def test_a_window_stays_in_its_cell_and_before_the_horizon(
    data: st.DataObject, progress: Windows, now: datetime
) -> None:
    for window in missing(progress, data.draw(gaps_before(now)), now):
        whole = cell(progress, window.start)
        assert whole.start <= window.start < window.end <= whole.end
        assert window.end <= horizon(progress, now) <= now - progress.lag
        if progress.longest != "month":
            assert window.end - window.start <= progress.longest


@given(st.data(), shapes(restated=True, kept=False), moments())
def test_where_time_is_restated_a_window_is_the_whole_of_its_cell(
    data: st.DataObject, progress: Windows, now: datetime
) -> None:
    gaps = data.draw(gaps_before(now))
    for window in missing(progress, gaps, now):
        whole = cell(progress, window.start)
        assert window == Window(whole.start, min(whole.end, horizon(progress, now)))
        assert any(overlap(whole, gap) for gap in gaps)


@given(st.data(), shapes(restated=False), moments())
def test_where_time_is_not_restated_only_the_gap_is_read_again(
    data: st.DataObject, progress: Windows, now: datetime
) -> None:
    gaps = data.draw(gaps_before(now))
    grain = grain_of(progress)
    widened = [Window(gap.start - grain, gap.end + grain) for gap in gaps]
    assert minus(missing(progress, gaps, now), widened) == []


@given(st.data(), shapes(), moments())
def test_windows_begin_and_end_on_the_grain(data: st.DataObject, progress: Windows, now: datetime) -> None:
    for window in missing(progress, data.draw(gaps_before(now)), now):
        assert is_on_grain(progress, window.start)
        assert is_on_grain(progress, window.end)


@given(st.data(), shapes(kept=True), moments())
def test_what_the_api_no_longer_keeps_is_left_out(data: st.DataObject, progress: Windows, now: datetime) -> None:
    assert isinstance(progress.kept, timedelta)
    for window in missing(progress, data.draw(gaps_before(now)), now):
        assert window.start >= now - progress.kept
    old = Window(now - progress.kept - 9 * DAY, now - progress.kept)
    assert missing(progress, [old], now) == []


@given(st.data(), shapes(), moments())
def test_reading_what_is_missing_leaves_nothing_missing(data: st.DataObject, progress: Windows, now: datetime) -> None:
    gaps = data.draw(gaps_before(now))
    assert missing(progress, minus(gaps, missing(progress, gaps, now)), now) == []


@given(
    shapes(kept=False),
    moments(),
    st.lists(st.floats(min_value=-3 * 86_400, max_value=40 * 86_400), min_size=1, max_size=12),
)
def test_a_clock_that_jumps_forth_and_back_leaves_no_hole(
    progress: Windows, begun: datetime, jumps: list[float]
) -> None:
    since, now, latest = begun - 10 * DAY, begun, begun
    covered: list[Window] = []
    for jump in [0.0, *jumps]:
        now += timedelta(seconds=jump)
        latest = max(latest, now)
        limit = horizon(progress, now)
        gaps = minus([Window(since, limit)], covered) if limit > since else []
        covered = union([*covered, *missing(progress, gaps, now)])
    told = horizon(progress, latest)
    assert told <= since or minus([Window(since, told)], covered) == []


@pytest.mark.parametrize(
    ("day", "until"),
    [
        ("2024-02-29", "2024-03-01"),
        ("2026-02-28", "2026-03-01"),
        ("2026-12-31", "2027-01-01"),
    ],
)
def test_a_day_ends_where_the_next_begins_at_the_ends_of_months_and_years(day: str, until: str) -> None:
    found = cell(Windows(longest=DAY, since=DAY), _utc(f"{day}T13:00"))
    assert found == Window(_utc(day), _utc(until))


@pytest.mark.parametrize(
    ("month", "until"),
    [("2024-02-01", "2024-03-01"), ("2025-02-01", "2025-03-01"), ("2026-12-01", "2027-01-01")],
)
def test_a_month_is_as_long_as_the_calendar_says(month: str, until: str) -> None:
    progress = Windows(longest="month", since=DAY)
    assert cell(progress, _utc(month)) == Window(_utc(month), _utc(until))
    assert cell(progress, _utc(until) - timedelta(microseconds=1)) == Window(_utc(month), _utc(until))


def test_a_month_is_not_asked_for_before_the_vendor_has_all_of_it_where_only_months_can_be() -> None:
    progress = Windows(longest="month", grain="month", since=90 * DAY, zone=MOSCOW, lag=5 * DAY)
    gaps = [Window(_utc("2026-09-30T21:00"), _utc("2026-12-31T21:00"))]
    assert missing(progress, gaps, _utc("2026-11-05T20:59:59")) == []
    october = Window(_utc("2026-09-30T21:00"), _utc("2026-10-31T21:00"))
    assert missing(progress, gaps, _utc("2026-11-05T21:00")) == [october]
    assert missing(progress, gaps, _utc("2026-12-05T20:59:59")) == [october]


def test_where_the_api_begins_on_a_fixed_day_that_day_is_the_first_even_within_a_week() -> None:
    progress = Windows(longest=28 * DAY, grain=7 * DAY, since=DAY, zone=MOSCOW, kept=date(2025, 1, 1))
    gaps = [Window(_utc("2024-06-01"), _utc("2025-01-20"))]
    first, *_, last = missing(progress, gaps, _utc("2026-11-20"))
    assert first.start == _utc("2024-12-31T21:00")
    assert last.end == _utc("2025-01-26T21:00")


def test_a_month_of_moscow_begins_three_hours_before_that_of_utc() -> None:
    progress = Windows(longest="month", since=DAY, zone=MOSCOW)
    assert cell(progress, _utc("2026-10-31T21:30")) == Window(_utc("2026-10-31T21:00"), _utc("2026-11-30T21:00"))


def test_a_week_of_moscow_begins_on_its_monday() -> None:
    progress = Windows(longest=7 * DAY, since=DAY, zone=MOSCOW)
    found = cell(progress, _utc("2026-11-20"))
    assert found == Window(_utc("2026-11-15T21:00"), _utc("2026-11-22T21:00"))
    assert found.start.astimezone(MOSCOW).strftime("%A %H:%M") == "Monday 00:00"


def test_a_day_that_is_not_over_is_not_asked_for_where_only_days_can_be() -> None:
    progress = Windows(longest=7 * DAY, grain=DAY, since=DAY, zone=MOSCOW, lag=timedelta(hours=2))
    before, after = _utc("2026-11-20T22:59"), _utc("2026-11-20T23:00")  # Moscow's midnight was at 21:00
    assert horizon(progress, before) == _utc("2026-11-19T21:00")
    assert horizon(progress, after) == _utc("2026-11-20T21:00")


def test_a_gap_that_ends_between_two_seconds_is_read_to_the_end_of_the_second() -> None:
    progress = Windows(longest=DAY, since=DAY)
    gap = Window(_utc("2026-11-20T10:00:00.250"), _utc("2026-11-20T10:30:00.750"))
    assert missing(progress, [gap], _utc("2026-11-20T12:00")) == [
        Window(_utc("2026-11-20T10:00:00"), _utc("2026-11-20T10:30:01"))
    ]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)

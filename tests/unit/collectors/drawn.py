"""What hypothesis draws for the tests of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from hypothesis import strategies as st

from collectors.stream import Window, Windows
from collectors.windows import MOSCOW

DAY = timedelta(days=1)
TIERS = (((2 * DAY, timedelta(hours=1)), (60 * DAY, DAY)), ((7 * DAY, 6 * timedelta(hours=1)),))

# A length and the grains that divide it.
_SHAPES: tuple[tuple[timedelta | Literal["month"], tuple[timedelta | Literal["month"], ...]], ...] = (
    (timedelta(hours=6), (timedelta(seconds=1), timedelta(hours=1))),
    (DAY, (timedelta(seconds=1), timedelta(hours=1), DAY)),
    (7 * DAY, (timedelta(seconds=1), DAY, 7 * DAY)),
    (30 * DAY, (timedelta(seconds=1), DAY)),
    ("month", (timedelta(seconds=1), DAY, "month")),
)


@st.composite
def shapes(draw: st.DrawFn, *, restated: bool | None = None, kept: bool | None = None) -> Windows:
    """Any sensible declaration; `restated` and `kept` ask for those that are, or are not."""
    longest, grains = draw(st.sampled_from(_SHAPES))
    is_restated = draw(st.booleans()) if restated is None else restated
    is_kept = draw(st.booleans()) if kept is None else kept
    return Windows(
        longest=longest,
        grain=draw(st.sampled_from(grains)),
        zone=draw(st.sampled_from((UTC, MOSCOW))),
        lag=draw(st.sampled_from((timedelta(0), timedelta(minutes=5), timedelta(hours=3), DAY))),
        since=90 * DAY,
        kept=draw(st.sampled_from((31 * DAY, 90 * DAY))) if is_kept else None,
        restated=draw(st.sampled_from(TIERS)) if is_restated else (),
    )


def grain_of(progress: Windows) -> timedelta:
    """How far apart the moments can be on which windows may end."""
    return 31 * DAY if progress.grain == "month" else progress.grain


def is_on_grain(progress: Windows, at: datetime) -> bool:
    if progress.grain == "month":
        return at.astimezone(progress.zone).strftime("%d %H:%M:%S.%f") == "01 00:00:00.000000"
    return (at - datetime(2018, 1, 1, tzinfo=progress.zone)) % progress.grain == timedelta(0)


def moments() -> st.SearchStrategy[datetime]:
    """Years with and without a leap day, to the microsecond."""
    return st.datetimes(datetime(2019, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside


@st.composite
def gaps_before(draw: st.DrawFn, now: datetime, *, longest_ago: timedelta = 200 * DAY) -> list[Window]:
    """Up to four holes, which may overlap, touch, and reach into the future."""
    seconds = st.floats(min_value=-longest_ago.total_seconds(), max_value=2 * DAY.total_seconds())
    found = []
    for _ in range(draw(st.integers(1, 4))):
        one, other = sorted((draw(seconds), draw(seconds)))
        found.append(Window(now + timedelta(seconds=one), now + timedelta(seconds=other + 0.001)))
    return found

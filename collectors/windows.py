"""Which windows of time a stream has to read: cut on a grid, whole, and again while they are restated.

Pure functions of their arguments. `covered` and its complement are kept by PostgreSQL as multiranges; what arrives
here are the gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone

from collectors.stream import Snapshot, Stream, Watermark, Window, Windows

MOSCOW = timezone(timedelta(hours=3), "MSK")  # fixed since 2014, no summer time
_GRID = datetime(2018, 1, 1)  # noqa: DTZ001 - local midnight in each stream's zone; a Monday, so weeks begin on Mondays
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)  # before any marketplace; a window of millennia is a mistyped year
_SLACK = timedelta(hours=1)  # between planning a window and asking for it; what is kept counts from the API's own now


class WindowRefused(ValueError):
    """The stream cannot be asked for that window. The message says why, in one sentence."""


def days(n: float) -> timedelta:
    return timedelta(days=n)


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def horizon(progress: Windows, now: datetime) -> datetime:
    """Return until when the API can be asked at `now`: minus its lag, down to its grain."""
    return _down(progress, now - progress.lag)


def cell(progress: Windows, at: datetime) -> Window:
    """Return the cell of the grid that holds `at`."""
    grid = _GRID.replace(tzinfo=progress.zone)
    if progress.longest == "month":
        start = _month(progress, at)
        end = _next(start)
    else:
        start = grid + (at - grid) // progress.longest * progress.longest
        end = start + progress.longest
    return Window(start.astimezone(UTC), end.astimezone(UTC))


def missing(progress: Windows, gaps: Iterable[Window], now: datetime) -> list[Window]:
    """Return the windows that close the gaps, oldest first.

    Where time is restated, a window is the whole of its cell, so that it supersedes what was read of it before;
    elsewhere it is the gap alone, widened to the grain. What is older than the API keeps is left out: it can never be
    had.
    """
    oldest, limit = _oldest(progress, now), horizon(progress, now)
    windows: dict[Window, None] = {}
    for span in _aligned(progress, gaps):
        held = _within(span, oldest, limit)
        for whole in () if held is None else _cells(progress, held):
            # Of a cell that the API has begun to forget, an earlier reading holds what this one could not: not twice.
            forgets = isinstance(progress.kept, timedelta) and oldest is not None and whole.start < oldest
            is_whole = progress.restated and not forgets
            part = _within(whole if is_whole else _overlap(whole, span), oldest, limit)
            if part is not None:
                windows[part] = None
    return list(windows)


def due(
    progress: Windows, gaps: Iterable[Window], read: Iterable[tuple[Window, datetime]], now: datetime
) -> list[Window]:
    """Return what has to be read now: what is missing, oldest first, and then what is read again, newest first."""
    lacking = missing(progress, gaps, now)
    return lacking + [
        window
        for window in stale(progress, read, now)
        if not any(other.start <= window.start and window.end <= other.end for other in lacking)
    ]


def stale(progress: Windows, read: Iterable[tuple[Window, datetime]], now: datetime) -> list[Window]:
    """Return the windows of complete walks that are due to be read again, newest first.

    `read` gives each window that is not superseded and when its walk began. A window is due when its tier's interval
    has passed, and once more after its restatement has ended; never when the API no longer keeps all of it, for a
    poorer reading must not supersede a richer one.
    """
    oldest, limit = _oldest(progress, now), horizon(progress, now)
    again = [
        window
        for window, read_at in read
        if window.end <= limit  # a clock may have gone back
        and not settled(progress, window, read_at)
        and now - read_at >= _reread_after(progress, now - window.end)
        and (oldest is None or window.start >= oldest)
    ]
    return sorted(again, key=lambda window: window.start, reverse=True)


def in_two(progress: Windows, window: Window) -> list[Window] | None:
    """Split a window where its grain lets it be split; None where that is nowhere."""
    middle = _down(progress, window.start + (window.end - window.start) / 2)
    if middle <= window.start:
        return None
    return [Window(window.start, middle), Window(middle, window.end)]


def settled(progress: Windows, window: Window, read_at: datetime) -> bool:
    """Tell whether what a walk begun at `read_at` brought of the window will not be restated any more."""
    return not progress.restated or read_at >= window.end + progress.restated[-1][0]


def refuse_window(stream: Stream, window: Window, now: datetime) -> None:
    """Raise WindowRefused, one sentence, if the stream cannot be asked for this window."""
    name = f"{stream.marketplace.name}/{stream.name}"
    if isinstance(stream.progress, Snapshot):
        raise WindowRefused(f"{name} is a snapshot of now: ask for it without --from and --to")
    if window.end > now:
        raise WindowRefused(
            f"the window ends in the future ({window.end.isoformat()}): end it at {now.isoformat()} or before"
        )
    if window.start < _FIRST:
        raise WindowRefused(
            f"no marketplace knows anything of {window.start.year}: begin the window after {_FIRST:%Y-%m-%d}"
        )
    oldest = kept_from(stream.progress, now)
    if oldest is not None and window.start < oldest:
        kept = stream.progress.kept
        keeps = f"keeps {kept.days} days" if isinstance(kept, timedelta) else f"knows nothing before {kept}"
        since = oldest.isoformat(timespec="seconds")
        raise WindowRefused(f"{name} {keeps}: a window cannot begin before {since}")
    if isinstance(stream.progress, Windows) and horizon(stream.progress, now) <= window.start:
        raise WindowRefused(f"{name} cannot tell anything of that window yet: ask again later")


def _reread_after(progress: Windows, age: timedelta) -> timedelta:
    for until, every in progress.restated:
        if age <= until:
            return every
    return timedelta(0)


def _cells(progress: Windows, span: Window) -> Iterator[Window]:
    at = span.start
    while at < span.end:
        found = cell(progress, at)
        yield found
        at = found.end


def _month(progress: Windows, at: datetime) -> datetime:
    return at.astimezone(progress.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=32)).replace(day=1)


def _down(progress: Windows, at: datetime) -> datetime:
    if progress.grain == "month":
        return _month(progress, at).astimezone(UTC)
    grid = _GRID.replace(tzinfo=progress.zone)
    return (grid + (at - grid) // progress.grain * progress.grain).astimezone(UTC)


def _up(progress: Windows, at: datetime) -> datetime:
    down = _down(progress, at)
    if down == at:
        return down
    return _next(_month(progress, at)).astimezone(UTC) if progress.grain == "month" else down + progress.grain


def kept_from(progress: Watermark | Windows, now: datetime) -> datetime | None:
    """Return since when the API can tell anything at `now`, or None where it forgets nothing."""
    if isinstance(progress.kept, date):
        zone = progress.zone if isinstance(progress, Windows) else UTC
        return datetime.combine(progress.kept, time.min, zone).astimezone(UTC)
    return None if progress.kept is None else now - progress.kept


def _oldest(progress: Windows, now: datetime) -> datetime | None:
    """Return from when on the API can still be asked, or None where it forgets nothing.

    A fixed day stays what it is: the first window may begin within a grain, for what is before it is not to be had.
    """
    kept = kept_from(progress, now)
    return kept if kept is None or isinstance(progress.kept, date) else _up(progress, kept + _SLACK)


def _aligned(progress: Windows, gaps: Iterable[Window]) -> list[Window]:
    """Widen the gaps to the grain, oldest first; those that then touch become one."""
    spans: list[Window] = []
    for gap in sorted(gaps, key=lambda gap: gap.start):
        start, end = _down(progress, gap.start), _up(progress, gap.end)
        if spans and start <= spans[-1].end:
            spans[-1] = Window(spans[-1].start, max(spans[-1].end, end))
        else:
            spans.append(Window(start, end))
    return spans


def _overlap(one: Window, other: Window) -> Window:
    return Window(max(one.start, other.start), min(one.end, other.end))


def _within(window: Window, oldest: datetime | None, limit: datetime) -> Window | None:
    start = window.start if oldest is None else max(window.start, oldest)
    end = min(window.end, limit)
    return Window(start, end) if start < end else None

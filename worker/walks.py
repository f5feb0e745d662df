"""Which walks a run has to make: the one under way first, then what is missing, then what is due to be read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from collectors.errors import SplitWindow
from collectors.stream import Id, Stream, Walk, Watermark, Window, Windows
from collectors.windows import due, horizon, in_two, missing
from worker.db.engine import Sessions
from worker.db.position import OpenWalk, Position
from worker.db.progress import Lease, SliceKey
from worker.db.requests import asked_gaps
from worker.db.superseding import lacking, unsettled
from worker.db.tenancy import tenant_driver

ALARMING = 3  # walks in a row that grew too old
LONGEST = timedelta(days=28)  # that a walk goes on, whatever its stream trusts: raw.pages looks for it so far back
_SLACK = timedelta(hours=1)  # that a clock may have been set back; the table allows a day (walk_window_is_over)


def resumable(stream: Stream, walk: OpenWalk | None, now: datetime) -> bool:
    """Tell whether the walk under way can go on: its cursor is trusted for so long."""
    return walk is not None and now - walk.started_at <= min(stream.trusted_for, LONGEST)


async def windows_to_read(sessions: Sessions, lease: Lease, stream: Stream, now: datetime) -> list[Window | None]:
    """Return the windows to walk now, in order; None stands for a snapshot, or for a watermark's endless walk."""
    under_way = lease.position.walk
    first: list[Window | None] = []
    if under_way is not None and resumable(stream, under_way, now):
        first = [None if under_way.window is None else Window(*under_way.window)]
    parts = [Window(*bounds) for bounds in lease.position.parts]
    first += [part for part in parts if part not in first]
    # A window that was split is due as a whole until all of its parts are read: it waits for the next run.
    wanted = first + [
        window
        for window in await _due(sessions, lease, stream, now)
        if window not in first and not any(window and window.overlaps(part) for part in parts)
    ]
    return [window for window in wanted if window is None or window.end <= now + _SLACK]


async def _due(sessions: Sessions, lease: Lease, stream: Stream, now: datetime) -> list[Window] | list[None]:
    key, progress = lease.key, stream.progress
    if key.lane == "live" and not isinstance(progress, Windows):
        return [None]
    async with tenant_driver(sessions, key.organization_id) as driver:
        if key.lane == "backfill":
            wanted = await asked_gaps(driver, key)
            return missing(progress, wanted, now) if isinstance(progress, Windows) else wanted
        assert isinstance(progress, Windows)
        holes, since = await lacking(driver, key, horizon(progress, now))
        read = await unsettled(driver, key, since) if progress.restated and since is not None else []
        return due(progress, holes, read, now)


def is_endless(stream: Stream, window: Window | None) -> bool:
    """Tell whether a walk is a watermark's own, without end: its pages are final as they are stored."""
    return isinstance(stream.progress, Watermark) and window is None


def asked(
    position: Position, key: SliceKey, *, seller: str, since: datetime, now: datetime, ids: Sequence[Id] = ()
) -> Walk:
    """Say what a stream is to read next, where a slice stands here."""
    walk = position.walk
    return Walk(
        seller=seller,
        since=since,
        now=now,
        id="" if walk is None else str(walk.id),
        slice=key.slice,
        window=None if walk is None or walk.window is None else Window(*walk.window),
        cursor=position.cursor,
        smaller=position.smaller,
        ids=ids,
    )


def halves(stream: Stream, window: Window | None) -> list[Window]:
    """Split a window that holds too much. Raises SplitWindow if it cannot be split any further."""
    parts = None if window is None or not isinstance(stream.progress, Windows) else in_two(stream.progress, window)
    if parts is None:
        raise SplitWindow(f"{stream.marketplace.name}/{stream.name} is too large to be read in one window")
    return parts

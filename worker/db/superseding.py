"""Complete walks: which of them are current, and which a later one supersedes.

`collect.walk` has a partition for each month, and a statement that does not say since when its walks began is planned
over all of them. This is known:

* A window is read when it is over; the table holds a walk to that, but for a day (migration 0020). So the walks that
  overlap a window began after its beginning, less a day.
* One walk of a snapshot is current. When it began stands in the position (`Position.current_since`), which is written
  with the end of that walk. A position without it is a first walk's, or was written by an earlier release: then all
  months are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Snapshot, Stream, Window
from worker.db.driver import Driver, Statement, statement
from worker.db.partitions import from_month
from worker.db.position import EarlierWalk, OpenWalk, decode
from worker.db.progress import OF_KEY, SliceKey

EVER = datetime(2000, 1, 1, tzinfo=UTC)  # before any walk
_ENDS_BEHIND = timedelta(days=1)  # a window, behind the beginning of its walk, at most

_CURRENT = "completed_at IS NOT NULL AND superseded_at IS NULL"

_SUPERSEDE_SNAPSHOT = f"""
UPDATE collect.walk SET superseded_at = clock_timestamp()
WHERE {OF_KEY} AND {_CURRENT} AND started_at >= {{month}} AND id <> :id AND time_window IS NULL
"""

# What was begun later, all together, because a window may have been read again in parts. That may supersede the walk
# just completed: the other lane can have begun later and ended sooner.
_SUPERSEDE = f"""
UPDATE collect.walk w SET superseded_at = clock_timestamp()
WHERE {OF_KEY} AND {_CURRENT} AND started_at >= {{month}}
  AND time_window && tstzrange(:since, :until)
  AND time_window <@ (
    SELECT range_agg(later.time_window) FROM collect.walk later
    WHERE {OF_KEY} AND {_CURRENT} AND later.started_at >= {{month}}
      AND later.time_window && w.time_window AND (later.started_at, later.id) > (w.started_at, w.id))
"""

_COVER = Statement("""
INSERT INTO collect.coverage AS c (organization_id, marketplace_account_id, stream, slice, covered, settled)
VALUES (:organization_id, :account_id, :stream, :slice, tstzmultirange(tstzrange(:since, :until)),
    CASE WHEN :settled THEN tstzmultirange(tstzrange(:since, :until)) ELSE '{}' END)
ON CONFLICT (organization_id, marketplace_account_id, stream, slice)
DO UPDATE SET covered = c.covered + excluded.covered, settled = c.settled + excluded.settled
RETURNING coalesce(old.covered && tstzrange(:since, :until), false)
""")

_EARLIER = f"""
SELECT id, started_at, completed_at FROM collect.walk
WHERE {OF_KEY} AND {_CURRENT} AND started_at >= {{month}}
  AND (CAST(:since AS timestamptz) IS NULL AND time_window IS NULL OR lower(time_window) = :since)
ORDER BY started_at DESC LIMIT 1
"""

_LACKING = Statement(f"""
SELECT CASE WHEN wanted_from IS NOT NULL
            THEN tstzmultirange(tstzrange(wanted_from, greatest(wanted_from, :until))) - covered END AS gaps,
       lower(covered - settled) AS unsettled_since
FROM collect.coverage WHERE {OF_KEY}
""")

_UNSETTLED = f"""
SELECT lower(w.time_window) AS since, upper(w.time_window) AS until, w.started_at
FROM collect.walk w JOIN collect.coverage c USING (organization_id, marketplace_account_id, stream, slice)
WHERE {OF_KEY} AND {_CURRENT} AND w.started_at >= {{month}} AND w.time_window IS NOT NULL
  AND NOT w.time_window <@ c.settled
"""

OF_STREAMS = """
    organization_id = :organization_id AND marketplace_account_id = :account_id
    AND stream = ANY (CAST(:streams AS text[])) AND (CAST(:of_slice AS text) IS NULL OR slice = :of_slice)"""

_POSITIONS = text(f"SELECT position FROM collect.stream_state WHERE {OF_STREAMS} AND lane = 'live' AND version > 0")

_OLDEST = f"""
SELECT min(started_at) FROM collect.walk
WHERE {OF_STREAMS} AND {_CURRENT} AND started_at >= {{month}}
  AND (time_window IS NULL OR upper(time_window) > :since)
"""


class Lacking(NamedTuple):
    """What a slice lacks: the gaps, and since when it may have been restated after it was read, None for nowhere."""

    gaps: list[Window]
    unsettled_since: datetime | None


async def supersede(
    driver: Driver, key: SliceKey, walk: OpenWalk, *, settled: bool, current_since: datetime | None
) -> None:
    """Let a walk that was just completed count as coverage, and supersede the earlier ones.

    `current_since` is that of the position that the walk's end replaces.
    """
    if walk.window is None:
        sql = from_month(_SUPERSEDE_SNAPSHOT, current_since or EVER)
        await statement(sql).execute(driver, {**key.columns(), "id": walk.id})
        return
    since, until = walk.window
    values = {**key.columns(), "since": since, "until": until, "settled": settled}
    # First the coverage: its row is what makes two lanes that complete a window at once come one after the other.
    ((overlaps,),) = await _COVER.fetch(driver, values)
    if overlaps:
        await statement(from_month(_SUPERSEDE, since - _ENDS_BEHIND)).execute(driver, values)


async def earlier_walk(
    driver: Driver, key: SliceKey, window: Window | None, *, current_since: datetime | None
) -> EarlierWalk | None:
    """Find the complete walk that a new one of this window or snapshot will supersede.

    `current_since` is the position's.
    """
    began_since = current_since or EVER if window is None else window.start - _ENDS_BEHIND
    sql = from_month(_EARLIER, began_since)
    row = await statement(sql).fetch_one(driver, {**key.columns(), "since": window and window.start})
    return None if row is None else EarlierWalk(*row)


async def lacking(driver: Driver, key: SliceKey, until: datetime) -> Lacking:
    """Tell what is wanted before `until` and not covered, and what is covered and not settled."""
    row = await _LACKING.fetch_one(driver, {**key.columns(), "until": until})
    if row is None:
        return Lacking([], None)
    return Lacking([Window(gap.lower, gap.upper) for gap in row["gaps"] or ()], row["unsettled_since"])


async def unsettled(driver: Driver, key: SliceKey, since: datetime) -> list[tuple[Window, datetime]]:
    """Return the windows ending after `since` that may yet be restated, and when each was last read.

    Some that end before it may be among them.
    """
    rows = await statement(from_month(_UNSETTLED, since - _ENDS_BEHIND)).fetch(driver, key.columns())
    return [(Window(since, until), started_at) for since, until, started_at in rows]


async def oldest_current(
    session: AsyncSession,
    of_account: Mapping[str, Any],
    streams: Iterable[Stream],
    *,
    of_slice: str | None = None,
    since: datetime = EVER,
) -> datetime | None:
    """Tell when the oldest current walk of the streams began. Windows that ended before `since` do not count.

    `of_account` holds `organization_id` and `account_id`. None if there is no such walk.
    """
    names = {stream.name: isinstance(stream.progress, Snapshot) for stream in streams}
    snapshots = [name for name, is_snapshot in names.items() if is_snapshot]
    values = {**of_account, "of_slice": of_slice, "since": since}
    positions = (await session.execute(_POSITIONS, {**values, "streams": snapshots})).scalars()
    began = [decode(position).current_since or EVER for position in positions]
    if len(snapshots) < len(names):
        began.append(since - _ENDS_BEHIND)
    if not began:
        return None
    found = await session.execute(text(from_month(_OLDEST, min(began))), {**values, "streams": [*names]})
    oldest: datetime | None = found.scalar_one()
    return oldest

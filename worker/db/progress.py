"""Progress: who may move a slice, where it stands, and what its walks have brought.

Every statement here runs in a tenant's transaction that the caller opened. Times that decide a race (leases, due
times) are the database's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NewType
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Window
from worker.db.driver import Driver, Statement
from worker.db.position import EarlierWalk, OpenWalk, Position, decode, encode
from worker.db.tenancy import OrganizationId

AccountId = NewType("AccountId", UUID)

LEASE = timedelta(seconds=30)  # renewed every third of it; the work of a killed worker is taken over after it


class LeaseLost(Exception):
    """Another worker has taken the slice, or moved its position: whatever this one holds must be dropped."""


@dataclass(frozen=True, kw_only=True)
class SliceKey:
    """One slice of one stream of one account, in one lane: what a lease is held for."""

    organization_id: OrganizationId
    account_id: AccountId
    marketplace: str
    stream: str
    slice: str = ""
    lane: str = "live"

    def __str__(self) -> str:
        of_slice = f"[{self.slice}]" if self.slice else ""
        of_lane = "" if self.lane == "live" else f" ({self.lane})"
        return f"{self.marketplace}/{self.stream}{of_slice}{of_lane}"

    def columns(self) -> dict[str, Any]:
        return {
            "organization_id": self.organization_id,
            "account_id": self.account_id,
            "marketplace": self.marketplace,
            "stream": self.stream,
            "slice": self.slice,
            "lane": self.lane,
        }

    def account_columns(self) -> dict[str, Any]:
        """Return the columns by the names that the tables have."""
        columns = self.columns()
        columns["marketplace_account_id"] = columns.pop("account_id")
        return columns


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to run a slice for the next seconds, and the position it had then."""

    key: SliceKey
    token: UUID
    attempts: int
    position: Position
    version: int
    every: timedelta  # how often the account wants the slice
    last_error: str | None
    taken_at: datetime

    @property
    def serves_until(self) -> datetime:
        """Requests written before it are served by this run. A snapshot under way is as old as its walk."""
        walk = self.position.walk
        return self.taken_at if walk is None or walk.window is not None else walk.started_at


_OF_KEY = """
    organization_id = :organization_id AND marketplace_account_id = :account_id
    AND stream = :stream AND slice = :slice"""
_OF_LANE = _OF_KEY + " AND lane = :lane"

_TAKE = text(f"""
UPDATE collect.stream_state s
SET lease_token = :token, lease_until = clock_timestamp() + :life, attempts = attempts + 1
WHERE {_OF_LANE} AND state IN ('active', 'unavailable') AND next_due_at <= clock_timestamp()
  AND (not_before IS NULL OR not_before <= clock_timestamp())
  AND (lease_until IS NULL OR lease_until <= clock_timestamp())
  AND EXISTS (SELECT FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
              WHERE a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
                AND a.status = 'active' AND o.status = 'active')
  AND NOT EXISTS (SELECT FROM collect.pause p WHERE p.marketplace = s.marketplace AND p.stream IN ('', s.stream))
RETURNING position, version, attempts, "interval", last_error, clock_timestamp() AS taken_at
""")

# For an administrator, whose transaction is the whole of it: due or not, and set aside or not.
_TAKE_OVER = text(f"""
UPDATE collect.stream_state SET lease_token = :token, lease_until = clock_timestamp() + :life
WHERE {_OF_LANE} AND state <> 'retired' AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING position, version, attempts, "interval", last_error, clock_timestamp() AS taken_at
""")

_RENEW = text(f"""
UPDATE collect.stream_state SET lease_until = clock_timestamp() + :life
WHERE {_OF_LANE} AND lease_token = :token
""")

_ADVANCE = """
UPDATE collect.stream_state SET position = $7, version = version + 1, attempts = 0
WHERE organization_id = $1 AND marketplace_account_id = $2 AND marketplace = $3 AND stream = $4 AND slice = $5
  AND lane = $6 AND version = $8 AND lease_token = $9
"""


def _keep_walk(first: int, source: str = "") -> str:
    """Return the statement, whose own parameters begin at `first`."""
    own = ", ".join(f"${number}" for number in range(first, first + 7))
    complete = f"${first + 7}::boolean"
    return f"""
INSERT INTO collect.walk (organization_id, marketplace_account_id, marketplace, stream, slice, lane, id, time_window,
    started_at, pages, records, declared_total, total_changed, completed_at, completed_xid)
SELECT $1, $2, $3, $4, $5, $6, {own},
    CASE WHEN {complete} THEN clock_timestamp() END, CASE WHEN {complete} THEN pg_current_xact_id() END {source}
ON CONFLICT (id, started_at) DO UPDATE SET pages = excluded.pages, records = excluded.records,
    declared_total = excluded.declared_total, total_changed = excluded.total_changed,
    completed_at = excluded.completed_at, completed_xid = excluded.completed_xid
"""


_KEEP_WALK = _keep_walk(7)
# Both in one: they are in every commit of a walk, and a round trip is most of what they take.
_ADVANCE_WALK = f"WITH moved AS ({_ADVANCE} RETURNING 1) {_keep_walk(10, 'FROM moved')}"

_SUPERSEDE_SNAPSHOT = Statement(f"""
UPDATE collect.walk SET superseded_at = clock_timestamp()
WHERE {_OF_KEY} AND completed_at IS NOT NULL AND superseded_at IS NULL AND id <> :id AND time_window IS NULL
""")

# What was begun later, all together, because a window may have been read again in parts. That may supersede the walk
# just completed: the other lane can have begun later and ended sooner.
_SUPERSEDE = Statement(f"""
UPDATE collect.walk w SET superseded_at = clock_timestamp()
WHERE {_OF_KEY} AND completed_at IS NOT NULL AND superseded_at IS NULL
  AND time_window && tstzrange(:since, :until)
  AND time_window <@ (
    SELECT range_agg(later.time_window) FROM collect.walk later
    WHERE {_OF_KEY} AND completed_at IS NOT NULL AND superseded_at IS NULL
      AND later.time_window && w.time_window AND (later.started_at, later.id) > (w.started_at, w.id))
""")

_COVER = Statement("""
INSERT INTO collect.coverage AS c (organization_id, marketplace_account_id, stream, slice, covered, settled)
VALUES (:organization_id, :account_id, :stream, :slice, tstzmultirange(tstzrange(:since, :until)),
    CASE WHEN :settled THEN tstzmultirange(tstzrange(:since, :until)) ELSE '{}' END)
ON CONFLICT (organization_id, marketplace_account_id, stream, slice)
DO UPDATE SET covered = c.covered + excluded.covered, settled = c.settled + excluded.settled
""")

_EARLIER = text(f"""
SELECT id, started_at, completed_at FROM collect.walk
WHERE {_OF_KEY} AND completed_at IS NOT NULL AND superseded_at IS NULL
  AND (CAST(:since AS timestamptz) IS NULL AND time_window IS NULL OR lower(time_window) = :since)
ORDER BY started_at DESC LIMIT 1
""")

_GAPS = text(f"""
SELECT lower(gap) AS since, upper(gap) AS until
FROM collect.coverage, unnest(tstzmultirange(tstzrange(wanted_from, greatest(wanted_from, :until))) - covered) gap
WHERE {_OF_KEY} AND wanted_from IS NOT NULL
""")

_UNSETTLED = text(f"""
SELECT lower(w.time_window) AS since, upper(w.time_window) AS until, w.started_at
FROM collect.walk w JOIN collect.coverage c USING (organization_id, marketplace_account_id, stream, slice)
WHERE {_OF_KEY} AND w.completed_at IS NOT NULL AND w.superseded_at IS NULL AND w.time_window IS NOT NULL
  AND NOT w.time_window <@ c.settled
""")

_WANTED_FROM = text(f"SELECT wanted_from FROM collect.coverage WHERE {_OF_KEY}")


async def take_lease(session: AsyncSession, key: SliceKey) -> Lease | None:
    """Take the lease if the slice is due, not set aside, not paused and nobody's; None otherwise. Counts an attempt."""
    return await _take(session, key, _TAKE)


async def take_lease_over(session: AsyncSession, key: SliceKey) -> Lease | None:
    """Take the lease of a slice that is nobody's, as an administrator may; None if a worker is at it, or it is gone."""
    return await _take(session, key, _TAKE_OVER)


async def _take(session: AsyncSession, key: SliceKey, statement: TextClause) -> Lease | None:
    token = uuid4()
    taken = await session.execute(statement, {**key.columns(), "token": token, "life": LEASE})
    row = taken.mappings().one_or_none()
    if row is None:
        return None
    return Lease(
        key=key,
        token=token,
        attempts=row["attempts"],
        position=decode(row["position"]),
        version=row["version"],
        every=row["interval"],
        last_error=row["last_error"],
        taken_at=row["taken_at"],
    )


async def renew_lease(session: AsyncSession, lease: Lease) -> None:
    """Hold the lease for another life. Raises LeaseLost if it is no longer ours."""
    renewed = await session.execute(_RENEW, {**lease.key.columns(), "token": lease.token, "life": LEASE})
    if renewed.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE has it
        raise LeaseLost(f"{lease.key}: another worker holds the lease")


async def advance(driver: Driver, lease: Lease, position: Position) -> None:
    """Move the position from where we saw it. Raises LeaseLost if it is no longer there, or the lease not ours."""
    _hold(lease, await driver.execute(_ADVANCE, *_moved(lease, position)))


async def advance_walk(
    driver: Driver, lease: Lease, position: Position, walk: OpenWalk, *, complete: bool, settled: bool
) -> None:
    """Do what `advance` and then `keep_walk` does."""
    values = (*_moved(lease, position), *_of_walk(walk, complete=complete))
    _hold(lease, await driver.execute(_ADVANCE_WALK, *values))
    if complete:
        await _complete(driver, lease.key, walk, settled=settled)


async def keep_walk(driver: Driver, key: SliceKey, walk: OpenWalk, *, complete: bool, settled: bool) -> None:
    """Write down how far a walk has come; a complete one supersedes the earlier ones and counts as coverage."""
    await driver.execute(_KEEP_WALK, *key.columns().values(), *_of_walk(walk, complete=complete))
    if complete:
        await _complete(driver, key, walk, settled=settled)


def _moved(lease: Lease, position: Position) -> tuple[object, ...]:
    return (*lease.key.columns().values(), encode(position), lease.version, lease.token)


def _of_walk(walk: OpenWalk, *, complete: bool) -> tuple[object, ...]:
    window = walk.window and asyncpg.Range(*walk.window)
    counted = (walk.pages, walk.records, walk.declared_total, walk.total_changed)
    return (walk.id, window, walk.started_at, *counted, complete)


def _hold(lease: Lease, done: str) -> None:
    if not done.endswith(" 1"):  # rows, after the name of the command
        raise LeaseLost(f"{lease.key}: the position was moved by another worker")


async def _complete(driver: Driver, key: SliceKey, walk: OpenWalk, *, settled: bool) -> None:
    since, until = walk.window or (None, None)
    values = {**key.columns(), "since": since, "until": until, "id": walk.id, "settled": settled}
    if walk.window is None:
        await _SUPERSEDE_SNAPSHOT.execute(driver, values)
    else:
        # First the coverage: its row is what makes two lanes that complete a window at once come one after the other.
        await _COVER.execute(driver, values)
        await _SUPERSEDE.execute(driver, values)


async def earlier_walk(session: AsyncSession, key: SliceKey, window: Window | None) -> EarlierWalk | None:
    """Find the complete walk that a new one of this window or snapshot will supersede."""
    row = (await session.execute(_EARLIER, {**key.columns(), "since": window and window.start})).one_or_none()
    return None if row is None else EarlierWalk(row.id, row.started_at, row.completed_at)


async def gaps(session: AsyncSession, key: SliceKey, until: datetime) -> list[Window]:
    """Return what is wanted before `until` and not covered."""
    rows = await session.execute(_GAPS, {**key.columns(), "until": until})
    return [Window(row.since, row.until) for row in rows]


async def unsettled(session: AsyncSession, key: SliceKey) -> list[tuple[Window, datetime]]:
    """Return the windows that may yet be restated, and when each was last read."""
    rows = await session.execute(_UNSETTLED, key.columns())
    return [(Window(row.since, row.until), row.started_at) for row in rows]


async def wanted_from(session: AsyncSession, key: SliceKey) -> datetime | None:
    return (await session.execute(_WANTED_FROM, key.columns())).scalar_one_or_none()

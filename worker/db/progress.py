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

from worker.db.driver import Driver, Statement
from worker.db.position import OpenWalk, Position, decode, encode
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


OF_KEY = """
    organization_id = :organization_id AND marketplace_account_id = :account_id
    AND stream = :stream AND slice = :slice"""
_OF_LANE = OF_KEY + " AND lane = :lane"

_TAKE = Statement(f"""
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
_TAKE_OVER = Statement(f"""
UPDATE collect.stream_state SET lease_token = :token, lease_until = clock_timestamp() + :life
WHERE {_OF_LANE} AND state <> 'retired' AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING position, version, attempts, "interval", last_error, clock_timestamp() AS taken_at
""")

_RENEW = Statement(f"""
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

_WANTED_FROM = Statement(f"SELECT wanted_from FROM collect.coverage WHERE {OF_KEY}")


async def take_lease(driver: Driver, key: SliceKey) -> Lease | None:
    """Take the lease if the slice is due, not set aside, not paused and nobody's; None otherwise. Counts an attempt."""
    return await _take(driver, key, _TAKE)


async def take_lease_over(driver: Driver, key: SliceKey) -> Lease | None:
    """Take the lease of a slice that is nobody's, as an administrator may; None if a worker is at it, or it is gone."""
    return await _take(driver, key, _TAKE_OVER)


async def _take(driver: Driver, key: SliceKey, statement: Statement) -> Lease | None:
    token = uuid4()
    row = await statement.fetch_one(driver, {**key.columns(), "token": token, "life": LEASE})
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


async def renew_lease(driver: Driver, lease: Lease) -> None:
    """Hold the lease for another life. Raises LeaseLost if it is no longer ours."""
    if not await _RENEW.execute(driver, {**lease.key.columns(), "token": lease.token, "life": LEASE}):
        raise LeaseLost(f"{lease.key}: another worker holds the lease")


async def advance(driver: Driver, lease: Lease, position: Position) -> None:
    """Move the position from where we saw it. Raises LeaseLost if it is no longer there, or the lease not ours."""
    _hold(lease, await driver.execute(_ADVANCE, *_moved(lease, position)))


async def advance_walk(driver: Driver, lease: Lease, position: Position, walk: OpenWalk, *, complete: bool) -> None:
    """Do what `advance` and then `keep_walk` does."""
    values = (*_moved(lease, position), *_of_walk(walk, complete=complete))
    _hold(lease, await driver.execute(_ADVANCE_WALK, *values))


async def keep_walk(driver: Driver, key: SliceKey, walk: OpenWalk, *, complete: bool) -> None:
    """Write down how far a walk has come. What a complete one supersedes is `supersede`'s."""
    await driver.execute(_KEEP_WALK, *key.columns().values(), *_of_walk(walk, complete=complete))


def _moved(lease: Lease, position: Position) -> tuple[object, ...]:
    return (*lease.key.columns().values(), encode(position), lease.version, lease.token)


def _of_walk(walk: OpenWalk, *, complete: bool) -> tuple[object, ...]:
    window = walk.window and asyncpg.Range(*walk.window)
    counted = (walk.pages, walk.records, walk.declared_total, walk.total_changed)
    return (walk.id, window, walk.started_at, *counted, complete)


def _hold(lease: Lease, done: str) -> None:
    if not done.endswith(" 1"):  # rows, after the name of the command
        raise LeaseLost(f"{lease.key}: the position was moved by another worker")


async def wanted_from(driver: Driver, key: SliceKey) -> datetime | None:
    row = await _WANTED_FROM.fetch_one(driver, key.columns())
    return None if row is None else row["wanted_from"]

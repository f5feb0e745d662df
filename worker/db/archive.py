"""Retention: months that are long over leave their tables while everybody goes on writing.

Apart from the making of months, for it must be the owner and no part of a transaction: DETACH CONCURRENTLY is refused
in one, and without CONCURRENTLY it would hold up every insert behind the oldest open transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.db.administration import NotPossible, admin_transaction
from worker.db.engine import make_sessions
from worker.db.partitions import PARTITIONED, lock_was_not_to_be_had, month_after

PAGES = PARTITIONED[0]
SCHEMA = "archive"  # the owner's alone; nothing there counts as a tenant's table any more

_ATTEMPTS = 5
_LOCK_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class OldMonth:
    """One month of a table that is long over.

    `state`: attached; pending, for a detach did not get to its end; detached, and not moved yet; archived.
    """

    table: str
    schema: str
    name: str
    month: date
    size: int
    state: str

    @property
    def partition(self) -> str:
        return f"{self.schema}.{self.name}"


# Found by the names that raw.ensure_partition gives, so that what was detached, by us or by hand, is found as well.
_OLD = text("""
SELECT parent AS "table", n.nspname AS schema, c.relname AS name, month, pg_total_relation_size(c.oid) AS size,
    CASE WHEN n.nspname = :archive THEN 'archived' WHEN i.inhdetachpending THEN 'pending'
         WHEN i.inhrelid IS NULL THEN 'detached' ELSE 'attached' END AS state
FROM unnest(CAST(:tables AS text[])) WITH ORDINALITY AS t (parent, place)
JOIN pg_class c ON c.relkind = 'r' AND c.relname ~ ('^' || split_part(parent, '.', 2) || '_y[0-9]{4}m(0[1-9]|1[0-2])$')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN (split_part(parent, '.', 1), :archive)
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
CROSS JOIN to_date(right(c.relname, 8), '"y"YYYY"m"MM') AS month
WHERE month < :before
ORDER BY month, place
""")

# A walk that began in an earlier month and ended in this one loses pages as well.
_MARK_CUT = text("""
UPDATE collect.walk SET cut_at = clock_timestamp()
WHERE cut_at IS NULL AND started_at < :until AND (completed_at IS NULL OR completed_at >= :since)
""")

_NO_HURRY = text("SET LOCAL statement_timeout = '10min'")  # a month may have millions of walks


async def old_months(engine: AsyncEngine, *, before: date, only_pages: bool = False) -> list[OldMonth]:
    """Return the months that end before the month of `before` begins or with it, the oldest first, pages first."""
    values = {"tables": [PAGES] if only_pages else list(PARTITIONED), "before": before, "archive": SCHEMA}
    async with engine.connect() as connection:
        return [OldMonth(*row) for row in await connection.execute(_OLD, values)]


def first_kept(now: datetime, older_than: int) -> date:
    """Return the first month to keep if those go that ended `older_than` months before the month of `now`, or more."""
    if older_than < 1:
        # The last month may still be written to, and would be made again.
        raise ValueError("the months to keep must be one at least, for pages may still come into the last month")
    return month_after(now, -older_than)


async def archive_month(
    engine: AsyncEngine,
    old: OldMonth,
    *,
    drop: bool,
    lock_timeout: timedelta = _LOCK_TIMEOUT,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Take a month out of its table, and into the schema `archive`, or drop it.

    `engine` is the owner's. May be cut off anywhere and run again. Raises NotPossible if a lock was not to be had in
    five attempts, for somebody has had a transaction open all the time.
    """
    if old.state == "attached" and old.table == PAGES:
        await _mark_cut(engine, old.month)
    if old.state in {"attached", "pending"}:
        await _detach(engine, old, lock_timeout, sleep)
    async with _autocommit(engine, lock_timeout) as connection:
        if drop:
            await connection.execute(text(f"DROP TABLE {old.partition}"))
        elif old.state != "archived":
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            await connection.execute(text(f"ALTER TABLE {old.partition} SET SCHEMA {SCHEMA}"))


async def _mark_cut(engine: AsyncEngine, month: date) -> None:
    """Let readers leave out the walks that lose pages, before they lose them."""
    since = datetime(month.year, month.month, 1, tzinfo=UTC)
    following = month_after(since, 1)
    until = datetime(following.year, following.month, 1, tzinfo=UTC)
    async with admin_transaction(make_sessions(engine)) as session:
        await session.execute(_NO_HURRY)
        await session.execute(_MARK_CUT, {"since": since, "until": until})


async def _detach(
    engine: AsyncEngine, old: OldMonth, lock_timeout: timedelta, sleep: Callable[[float], Awaitable[None]]
) -> None:
    begun = old.state == "pending"
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lock_was_not_to_be_had),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=1, max=10),
            sleep=sleep,
            reraise=True,
        ):
            with attempt:
                async with _autocommit(engine, lock_timeout) as connection:
                    begun = begun or await _is_pending(connection, old)
                    how = "FINALIZE" if begun else "CONCURRENTLY"
                    await connection.execute(text(f"ALTER TABLE {old.table} DETACH PARTITION {old.partition} {how}"))
    except DBAPIError as error:
        if not lock_was_not_to_be_had(error):
            raise
        raise NotPossible(
            f"{old.partition} could not be detached, for a transaction has been open all the time "
            "(pg_stat_activity, oldest xact_start): end it, and run the command again"
        ) from error


async def _is_pending(connection: AsyncConnection, old: OldMonth) -> bool:
    found = await connection.execute(
        text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = CAST(:name AS regclass)"),
        {"name": old.partition},
    )
    return bool(found.scalar_one_or_none())


@asynccontextmanager
async def _autocommit(engine: AsyncEngine, lock_timeout: timedelta) -> AsyncIterator[AsyncConnection]:
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(f"SET lock_timeout = {lock_timeout // timedelta(milliseconds=1)}"))
        yield connection

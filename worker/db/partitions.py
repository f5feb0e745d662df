"""Months of partitions: made ahead, counted, listed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.db.driver import sqlstate
from worker.db.engine import Sessions
from worker.db.tenancy import system_transaction

T = TypeVar("T")

PARTITIONED = ("raw.payload", "collect.walk", "collect.run")

_LOCK_NOT_AVAILABLE = "55P03"


def from_month(sql: str, since: datetime) -> str:
    """Return the statement with the beginning of the month of `since` in the place of `{month}`.

    By a constant the planner leaves older months out once for all times that a connection runs the statement. By a
    parameter it does so anew each time, and now and then makes a plan for all months to compare.
    """
    return sql.replace("{month}", f"'{month_after(since, 0)} 00:00:00+00'")


@dataclass(frozen=True, slots=True)
class Partition:
    """One month `[since, until)` of a table. `rows` is the planner's estimate, None before the first ANALYZE."""

    table: str
    name: str
    since: datetime
    until: datetime
    size: int
    rows: int | None


_LIST = text("""
SELECT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = parent.relnamespace) || '.' || parent.relname AS "table",
       (SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) || '.' || c.relname AS name,
       bound[1]::timestamptz AS since,
       bound[2]::timestamptz AS until,
       pg_total_relation_size(c.oid) AS size,
       NULLIF(c.reltuples, -1)::bigint AS rows
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class parent ON parent.oid = i.inhparent
CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''([^'']+)''\\) TO \\(''([^'']+)''\\)') AS bound
WHERE NOT i.inhdetachpending
  AND parent.oid IN (to_regclass('raw.payload'), to_regclass('collect.walk'), to_regclass('collect.run'))
ORDER BY "table", since
""")


async def ensure_months(
    sessions: Sessions, *, ahead: int, now: datetime, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> list[str]:
    """Make what is missing from the month of `now` to `ahead` months later; the months made, as `2027-03`.

    One short transaction per month, repeated while a lock is not to be had: at most 5 times, then the error of the
    last attempt is raised.
    """
    made = []
    for offset in range(ahead + 1):
        month = month_after(now, offset)
        if await _ensure_month(sessions, month, sleep):
            made.append(f"{month:%Y-%m}")
    return made


async def ensure_month(
    sessions: Sessions, moment: datetime, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bool:
    """Make the partitions of the month that `moment` falls in. False when they were all there."""
    return await _ensure_month(sessions, month_after(moment, 0), sleep) > 0


async def with_months(sessions: Sessions, moments: Iterable[datetime], attempt: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, again after making the months of `moments` if it met a row that no partition takes.

    Cron makes months long before; but a database may be restored, or a clock may jump.
    """
    try:
        return await attempt()
    except DBAPIError as error:
        if not _misses_partition(error):
            raise
    for moment in moments:
        await ensure_month(sessions, moment)
    return await attempt()


async def months_ahead(sessions: Sessions, now: datetime) -> int:
    """How many whole months after the one of `now` every table has, without a gap. -1: not even that of `now`."""
    return whole_months(await list_partitions(sessions), now)


def whole_months(partitions: Iterable[Partition], now: datetime) -> int:
    """How many whole months after the one of `now` every table has among these, as `months_ahead`."""
    covered: dict[str, set[date]] = {table: set() for table in PARTITIONED}
    for partition in partitions:
        covered[partition.table].add(partition.since.astimezone(UTC).date())
    ahead = -1
    while all(month_after(now, ahead + 1) in months for months in covered.values()):
        ahead += 1
    return ahead


async def list_partitions(sessions: Sessions) -> list[Partition]:
    """Every month of every partitioned table, by table and time."""
    async with system_transaction(sessions) as session:
        return await read_partitions(session)


async def read_partitions(session: AsyncSession) -> list[Partition]:
    """The same, in the caller's transaction."""
    return [Partition(*row) for row in await session.execute(_LIST)]


async def _ensure_month(sessions: Sessions, month: date, sleep: Callable[[float], Awaitable[None]]) -> int:
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(lock_was_not_to_be_had),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            async with system_transaction(sessions) as session:
                made = await session.execute(text("SELECT raw.ensure_partition(:month)"), {"month": month})
            return int(made.scalar_one())
    raise AssertionError("tenacity either returns or raises")


def month_after(moment: datetime, offset: int) -> date:
    # Bounds are in UTC, so the month is too.
    first = moment.astimezone(UTC)
    years, month = divmod(first.month - 1 + offset, 12)
    return date(first.year + years, month + 1, 1)


def lock_was_not_to_be_had(error: BaseException) -> bool:
    return sqlstate(error) == _LOCK_NOT_AVAILABLE


def _misses_partition(error: DBAPIError) -> bool:
    # 23514 is every check's, and the text is in the server's language; but a check has a name.
    causes = error.orig, getattr(error.orig, "__cause__", None)  # the driver's is either of them
    return sqlstate(error) == "23514" and not any(getattr(cause, "constraint_name", None) for cause in causes)

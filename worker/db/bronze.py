"""Reading bronze: stored pages one by one, however many there are, and how far an incremental reader may go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from worker.db.engine import Sessions
from worker.db.tenancy import tenant_transaction

Row = Mapping[str, Any]

# Of a person's reading: a large range is sorted before its first page comes, and whoever reads our output may be slow.
_STATEMENT_TIMEOUT = timedelta(minutes=10)
_IDLE_TIMEOUT = timedelta(hours=1)

# By PostgreSQL's own numbers: a page's parts come together, and in their order.
_ORDER = "p.fetched_at, coalesce(p.parts_id, p.id), p.part"

_NOW = text("SELECT clock_timestamp()")
_HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())")
_LOCATE = text("SELECT collect.locate_account(:account)")

_ACCOUNTS = text("""
SELECT id FROM core.marketplace_account
WHERE (CAST(:marketplace AS text) IS NULL OR marketplace = :marketplace)
  AND (CAST(:account AS uuid) IS NULL OR id = :account)
ORDER BY id
""")

_PAGES = """
SELECT p.id, p.organization_id, p.marketplace_account_id, p.marketplace, p.stream, p.slice, p.lane, p.walk_id,
    p.page_number, p.part, p.parts_id, lower(p.time_window) AS window_from, upper(p.time_window) AS window_to,
    p.fetched_at, p.request, p.status, p.content_type, p.file_name, p.record_count, p.sha256, p.superseded,
    p.visible_xid, p.payload, p.body, p.body_reason
FROM raw.page p
"""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Which rows of one organization are wanted.

    The times are of `fetched_at`, half-open, and come from the caller's clock: by them PostgreSQL leaves months out
    when it plans, and by `now() - …` it could not.
    """

    accounts: Sequence[UUID]
    stream: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """Return what an SQL condition on `p` has to say, and its parameters."""
        given = {"stream": self.stream, "since": self.since, "until": self.until}
        known = {
            "stream": "p.stream = :stream",
            "since": "p.fetched_at >= :since",
            "until": "p.fetched_at < :until",
        }
        values = {name: value for name, value in given.items() if value is not None}
        conditions = ["p.marketplace_account_id = ANY(:accounts)", *(known[name] for name in values)]
        return conditions, {"accounts": list(self.accounts), **values}


@dataclass(frozen=True)
class Revealed:
    """What became visible from one transaction on and before another: `[since, before)`."""

    since: int
    before: int


@asynccontextmanager
async def reading(sessions: Sessions, organization_id: UUID) -> AsyncIterator[AsyncSession]:
    """Open a tenant's transaction for somebody who reads for long, and perhaps slowly."""
    async with tenant_transaction(
        sessions, organization_id, statement_timeout=_STATEMENT_TIMEOUT, idle_timeout=_IDLE_TIMEOUT
    ) as session:
        yield session


async def server_time(session: AsyncSession) -> datetime:
    now: datetime = (await session.execute(_NOW)).scalar_one()
    return now


async def horizon(session: AsyncSession) -> int:
    """Return the oldest transaction that is still running: what is before it will never change."""
    return int((await session.execute(_HORIZON)).scalar_one())


async def organization_of(session: AsyncSession, account: UUID) -> UUID | None:
    """Find whose account it is. Needs no tenant; the worker's role may ask."""
    found: UUID | None = (await session.execute(_LOCATE, {"account": account})).scalar_one_or_none()
    return found


async def accounts_of(session: AsyncSession, *, marketplace: str | None, account: UUID | None) -> list[UUID]:
    """Return the tenant's accounts, or the one, of the marketplace or of all."""
    found = await session.execute(_ACCOUNTS, {"marketplace": marketplace, "account": account})
    return list(found.scalars())


def stored_pages(
    session: AsyncSession, wanted: Range, *, revealed: Revealed | None = None, all_versions: bool = False
) -> AsyncGenerator[Row, None]:
    """Yield the rows of `raw.page` by the time they were fetched, as they stand now; one is in memory at a time.

    Superseded pages only with `all_versions`. The parts of a file are a row each.
    """
    conditions, values = wanted.conditions()
    if not all_versions:
        conditions.append("NOT p.superseded")
    if revealed is not None:
        conditions.append("p.visible_xid >= :revealed_since AND p.visible_xid < :revealed_before")
        values |= {"revealed_since": revealed.since, "revealed_before": revealed.before}
    sql = f"{_PAGES} WHERE {' AND '.join(conditions)} ORDER BY {_ORDER}"
    return one_by_one(session, "pages", sql, values)


async def one_by_one(
    session: AsyncSession, cursor: Literal["pages", "stored"], sql: str, values: Mapping[str, Any]
) -> AsyncGenerator[Row, None]:
    """Yield the rows of a query, which sees the database as it is now, with one in memory at a time.

    SQLAlchemy's own streaming takes fifty at a time, and a page may have 64 MB. Two queries that are under way need
    cursors of different names.
    """
    await session.execute(text(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}"), values)
    following = text(f"FETCH NEXT FROM {cursor}")
    while (row := (await session.execute(following)).mappings().one_or_none()) is not None:
        yield dict(row)
    await session.execute(text(f"CLOSE {cursor}"))

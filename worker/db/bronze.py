"""Reading bronze: stored pages one by one, however many there are, and how far an incremental reader may go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from worker.db.engine import Sessions
from worker.db.tenancy import tenant_transaction

Row = Mapping[str, Any]

# Of a person's reading: a large range is sorted before its first page comes, and whoever reads our output may be slow.
_STATEMENT_TIMEOUT = timedelta(minutes=10)
_IDLE_TIMEOUT = timedelta(hours=1)

_AT_ONCE = 32  # rows, if together they are small
_SMALL = 64 << 10  # bytes as PostgreSQL stores them; lz4 makes at most 255 times as many of them

# A file's parts come together, and in their order. Each row tells how large those behind it are.
_IN_ORDER = """
SELECT page.*, sum(coalesce(pg_column_size(page.payload), pg_column_size(page.body), 0)) OVER (
    ORDER BY page.fetched_at, coalesce(page.parts_id, page.id), page.part
    ROWS BETWEEN 1 FOLLOWING AND {at_once} FOLLOWING) AS ahead
FROM ({sql}) page
ORDER BY page.fetched_at, coalesce(page.parts_id, page.id), page.part
"""

_NOW = text("SELECT clock_timestamp()")
_HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())")
_MAY_LOCATE = text("SELECT has_function_privilege('collect.locate_account(uuid)', 'EXECUTE')")
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
FROM raw.pages({since}, {until}) p
WHERE {conditions}
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


async def may_locate(session: AsyncSession) -> bool:
    """Whether our role may ask `organization_of`: the worker's may, a reader's may not."""
    return bool((await session.execute(_MAY_LOCATE)).scalar_one())


async def organization_of(session: AsyncSession, account: UUID) -> UUID | None:
    """Find whose account it is. Needs no tenant."""
    found: UUID | None = (await session.execute(_LOCATE, {"account": account})).scalar_one_or_none()
    return found


async def accounts_of(session: AsyncSession, *, marketplace: str | None, account: UUID | None) -> list[UUID]:
    """Return the tenant's accounts, or the one, of the marketplace or of all."""
    found = await session.execute(_ACCOUNTS, {"marketplace": marketplace, "account": account})
    return list(found.scalars())


def stored_pages(
    session: AsyncSession, wanted: Range, *, revealed: Revealed | None = None, all_versions: bool = False
) -> AsyncGenerator[Row, None]:
    """Yield the rows of `raw.page` by the time they were fetched, as they stand now; a large one alone in memory.

    Superseded pages only with `all_versions`. The parts of a file are a row each.
    """
    conditions, values = wanted.conditions()
    if not all_versions:
        conditions.append("NOT p.superseded")
    if revealed is not None:
        conditions.append("p.visible_xid >= :revealed_since AND p.visible_xid < :revealed_before")
        values |= {"revealed_since": revealed.since, "revealed_before": revealed.before}
    sql = _PAGES.format(
        since="'-infinity'" if wanted.since is None else ":since",
        until="'infinity'" if wanted.until is None else ":until",
        conditions=" AND ".join(conditions),
    )
    return in_order(session, "pages", sql, values)


async def in_order(
    session: AsyncSession, cursor: Literal["pages", "stored"], sql: str, values: Mapping[str, Any]
) -> AsyncGenerator[Row, None]:
    """Yield the rows that a query finds now, by the time they were fetched, with one large body in memory at a time.

    SQLAlchemy's own streaming takes fifty rows at a time, and each may have 64 MB. Queries that are under way together
    need cursors of different names.
    """
    query = _IN_ORDER.format(sql=sql, at_once=_AT_ONCE)
    await session.execute(text(f"DECLARE {cursor} NO SCROLL CURSOR FOR {query}"), values)
    ahead = None
    while rows := (await session.execute(_fetch(cursor, ahead))).mappings().all():
        ahead = rows[-1]["ahead"]
        for row in rows:
            yield dict(row)
    await session.execute(text(f"CLOSE {cursor}"))


def _fetch(cursor: str, ahead: int | None) -> TextClause:
    return text(f"FETCH {_AT_ONCE if ahead is not None and ahead <= _SMALL else 1} FROM {cursor}")

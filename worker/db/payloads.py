"""Bulk insert of pages into `raw.payload`: the one place where bodies meet the database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import Table, insert, text
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from collectors.stream import Page
from worker.db.bodies import stored
from worker.db.models import Payload
from worker.db.position import EarlierWalk, OpenWalk
from worker.db.progress import SliceKey

# What PostgreSQL says of one bad value (22…) or of too deep a nesting; its neighbours are innocent.
_BAD_VALUE = ("22", "54001")


_CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class PageRow:
    """A page on its way into the database. Its id and time are fixed before the first attempt to insert it."""

    id: UUID
    page: Page
    page_number: int
    sha256: bytes


def page_row(page: Page, page_number: int) -> PageRow:
    return PageRow(id=uuid7(), page=page, page_number=page_number, sha256=hashlib.sha256(page.answer.body).digest())


# The table, not the class: the ORM would split the rows by which of their columns are None.
_INSERT = insert(cast("Table", Payload.__table__))

_EARLIER_PAGES = text("""
SELECT page_number, sha256, coalesce(same_as, id) AS id, coalesce(same_as_fetched_at, fetched_at) AS fetched_at
FROM raw.payload
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id AND stream = :stream
  AND fetched_at >= :since AND fetched_at < :until
  AND walk_id = :walk_id AND page_number BETWEEN :first AND :last
""")


async def insert_pages(session: AsyncSession, key: SliceKey, rows: Sequence[PageRow], walk: OpenWalk | None) -> int:
    """Insert the pages, in a number of statements that does not grow with them; return the bytes of their bodies.

    A page equal to the same page of the walk before it, stored in the same month, becomes a small row that points at
    it. If PostgreSQL refuses a value that we took for good, the rows go in one by one and the refused one as bytes.
    """
    if not rows:
        return 0
    twins = await _twins(session, key, rows, walk.earlier) if walk and walk.earlier else {}
    values = [_values(key, row, walk, twins.get(row.id)) for row in rows]
    try:
        async with session.begin_nested():
            await session.execute(_INSERT, values)
    except DBAPIError as error:
        if not _is_bad_value(error):
            raise
        for row, value in zip(rows, values, strict=True):
            await _insert_alone(session, row, value)
    return sum(len(row.page.answer.body) for row in rows)


async def _insert_alone(session: AsyncSession, row: PageRow, value: dict[str, Any]) -> None:
    try:
        async with session.begin_nested():
            await session.execute(_INSERT, [value])
    except DBAPIError as error:
        if not _is_bad_value(error):
            raise
        refused = {"payload": None, "body": row.page.answer.body, "body_reason": "PostgreSQL does not read it as JSON"}
        await session.execute(_INSERT, [{**value, **refused}])


async def _twins(
    session: AsyncSession, key: SliceKey, rows: Sequence[PageRow], earlier: EarlierWalk
) -> dict[UUID, tuple[UUID, Any]]:
    """Return, by the row's id, the row of the earlier walk that has the same body: never one that is a pointer."""
    fetched = [row.page.answer.fetched_at for row in rows]
    until = max(fetched) if earlier.completed_at is None else min(max(fetched), earlier.completed_at + _CLOCKS_DIFFER)
    found = await session.execute(
        _EARLIER_PAGES,
        {
            **key.columns(),
            "walk_id": earlier.id,
            "since": max(earlier.started_at, _month_start(max(fetched))),
            "until": until,
            "first": min(row.page_number for row in rows),
            "last": max(row.page_number for row in rows),
        },
    )
    bodies = {(page.page_number, page.sha256): (page.id, page.fetched_at) for page in found}
    twins = {row.id: bodies.get((row.page_number, row.sha256)) for row in rows}
    return {
        row.id: twin
        for row in rows
        if (twin := twins[row.id]) is not None and twin[1] >= _month_start(row.page.answer.fetched_at)
    }


def _values(key: SliceKey, row: PageRow, walk: OpenWalk | None, twin: tuple[UUID, Any] | None) -> dict[str, Any]:
    page, answer = row.page, row.page.answer
    body = stored(b"" if twin else answer.body, is_file=page.file_name is not None)
    return {
        "id": row.id,
        "organization_id": key.organization_id,
        "marketplace_account_id": key.account_id,
        "marketplace": key.marketplace,
        "stream": key.stream,
        "slice": key.slice,
        "lane": key.lane,
        "walk_id": walk and walk.id,
        "walk_started_at": walk and walk.started_at,
        "page_number": row.page_number,
        "time_window": Range(*walk.window) if walk and walk.window else None,
        "fetched_at": answer.fetched_at,
        "request": msgspec.json.encode(answer.request.stored()).decode(),
        "status": answer.status,
        "content_type": answer.content_type,
        "file_name": page.file_name,
        "payload": body.payload,
        "body": body.body,
        "body_reason": body.reason,
        "same_as": twin and twin[0],
        "same_as_fetched_at": twin and twin[1],
        "sha256": row.sha256,
        "record_count": page.records,
    }


def _month_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _is_bad_value(error: DBAPIError) -> bool:
    return (getattr(error.orig, "sqlstate", None) or "").startswith(_BAD_VALUE)

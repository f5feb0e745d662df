"""Bulk insert of pages into `raw.payload`: the one place where bodies meet the database.

A page is a row. A file that is larger than memory should hold is as many rows as it has parts, a statement each; they
share a `parts_id`, are numbered by `part`, and each has the `sha256` of the whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from sqlalchemy import Table, insert, text
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from collectors.stream import Page, Spooled
from worker.db.bodies import A_FILE, stored
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
    answer = page.answer
    sha256 = hashlib.sha256(answer.body).digest() if answer.spool is None else answer.spool.sha256
    return PageRow(id=uuid7(), page=page, page_number=page_number, sha256=sha256)


# The table, not the class: the ORM would split the rows by which of their columns are None.
_INSERT = insert(cast("Table", Payload.__table__))

_EARLIER_PAGES = text("""
SELECT page_number, part, parts_id IS NOT NULL AS in_parts, sha256,
    coalesce(same_as, id) AS id, coalesce(same_as_fetched_at, fetched_at) AS fetched_at
FROM raw.payload
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id AND stream = :stream
  AND fetched_at >= :since AND fetched_at < :until
  AND walk_id = :walk_id AND page_number BETWEEN :first AND :last
""")


class _Twin(NamedTuple):
    """A row of the earlier walk that a new one may point at: it holds the content, it is never a pointer."""

    id: UUID
    fetched_at: datetime
    part: int
    in_parts: bool


@dataclass(kw_only=True)
class Written:
    """What was inserted: rows, those of them that point at an equal one, and bytes of bodies."""

    rows: int = 0
    same_as: int = 0
    pages_same: int = 0  # that were only pointed at, in one row or in one for each part
    bytes: int = 0  # of all bodies
    new_bytes: int = 0  # of those that are stored


async def insert_pages(session: AsyncSession, key: SliceKey, rows: Sequence[PageRow], walk: OpenWalk | None) -> Written:
    """Insert the pages, in a number of statements that does not grow with them.

    A page equal to the same page of the walk before it, stored in the same month, becomes a small row that points at
    it, or one for each of its parts. If PostgreSQL refuses a value that we took for good, the rows go in one by one and
    the refused one as bytes. A file on disk goes in part by part.
    """
    written = Written(bytes=sum(row.page.answer.size for row in rows))
    if not rows:
        return written
    twins = await _twins(session, key, rows, walk.earlier) if walk and walk.earlier else {}
    prepared: list[tuple[PageRow, dict[str, Any]]] = []
    for row in rows:
        columns = _columns(key, row, walk)
        if row.id in twins:
            prepared += [(row, _pointer(columns, twin)) for twin in twins[row.id]]
            written.same_as += len(twins[row.id])
            written.pages_same += 1
            continue
        written.new_bytes += row.page.answer.size
        if row.page.answer.spool is not None:
            written.rows += await _insert_parts(session, columns, row.page.answer.spool)
        else:
            prepared.append((row, _whole(columns, row.page)))
    if prepared:
        await _insert_rows(session, prepared)
    written.rows += len(prepared)
    return written


async def _insert_rows(session: AsyncSession, prepared: Sequence[tuple[PageRow, dict[str, Any]]]) -> None:
    try:
        async with session.begin_nested():
            await session.execute(_INSERT, [values for _, values in prepared])
    except DBAPIError as error:
        if not _is_bad_value(error):
            raise
        for row, values in prepared:
            await _insert_alone(session, row, values)


async def _insert_parts(session: AsyncSession, columns: dict[str, Any], spool: Spooled) -> int:
    number = 0
    async with aclosing(spool.parts()) as parts:
        async for part in parts:
            await session.execute(_INSERT, [_part(columns, number) | {"body": part, "body_reason": A_FILE}])
            number += 1
    return number


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
) -> dict[UUID, list[_Twin]]:
    """Return, by the row's id, where the earlier walk keeps the same body: in one row, or in each of its parts."""
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
    kept = defaultdict[tuple[int, bytes], list[_Twin]](list)
    for page in found:
        kept[page.page_number, page.sha256].append(_Twin(page.id, page.fetched_at, page.part, page.in_parts))
    twins = {row.id: kept[row.page_number, row.sha256] for row in rows}
    return {
        row.id: twins[row.id]
        for row in rows
        if twins[row.id] and twins[row.id][0].fetched_at >= _month_start(row.page.answer.fetched_at)
    }


def _columns(key: SliceKey, row: PageRow, walk: OpenWalk | None) -> dict[str, Any]:
    """Return every column but the content."""
    page, answer = row.page, row.page.answer
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
        "part": 0,
        "parts_id": None,
        "time_window": Range(*walk.window) if walk and walk.window else None,
        "fetched_at": answer.fetched_at,
        "request": msgspec.json.encode(answer.request.stored()).decode(),
        "status": answer.status,
        "content_type": answer.content_type,
        "file_name": page.file_name,
        "payload": None,
        "body": None,
        "body_reason": None,
        "same_as": None,
        "same_as_fetched_at": None,
        "sha256": row.sha256,
        "record_count": page.records,
    }


def _whole(columns: dict[str, Any], page: Page) -> dict[str, Any]:
    body = stored(page.answer.body, is_file=page.file_name is not None)
    return columns | {"payload": body.payload, "body": body.body, "body_reason": body.reason}


def _part(columns: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the columns of one part. The first has the page's id, which is that of all parts, and its records."""
    first = {"part": number, "parts_id": columns["id"]}
    return columns | first | ({} if number == 0 else {"id": uuid7(), "record_count": None})


def _pointer(columns: dict[str, Any], twin: _Twin) -> dict[str, Any]:
    own = _part(columns, twin.part) if twin.in_parts else columns
    return own | {"same_as": twin.id, "same_as_fetched_at": twin.fetched_at}


def _month_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _is_bad_value(error: DBAPIError) -> bool:
    return (getattr(error.orig, "sqlstate", None) or "").startswith(_BAD_VALUE)

"""Bulk insert of pages into `raw.payload`: the one place where bodies meet the database.

A page is a row. A file that is larger than memory should hold is as many rows as it has parts, a statement each; they
share a `parts_id`, are numbered by `part`, and each has the `sha256` of the whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from collectors.stream import Page, Spooled
from worker.db.bodies import A_FILE, stored
from worker.db.driver import Driver, sqlstate, statement
from worker.db.partitions import from_month
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


# Of one statement: where the pages belong.
_SHARED = (
    "organization_id",
    "marketplace_account_id",
    "marketplace",
    "stream",
    "slice",
    "lane",
    "walk_id",
    "walk_started_at",
    "time_window",
)


class _Row(NamedTuple):
    """The columns that each row has for itself."""

    id: UUID
    fetched_at: datetime
    page_number: int
    request: bytes
    status: int
    content_type: str | None
    file_name: str | None
    sha256: bytes
    record_count: int | None
    part: int = 0
    parts_id: UUID | None = None
    payload: bytes | None = None
    body: bytes | None = None
    body_reason: str | None = None
    same_as: UUID | None = None
    same_as_fetched_at: datetime | None = None


_TYPES = (
    *("uuid", "timestamptz", "integer", "json", "smallint", "text", "text", "bytea", "integer"),
    *("integer", "uuid", "json", "bytea", "text", "uuid", "timestamptz"),
)

_COLUMNS = ", ".join((*_SHARED, *_Row._fields))
_PLACES = [f"${number}" for number in range(1, len(_SHARED) + len(_TYPES) + 1)]

_INSERT = f"INSERT INTO raw.payload ({_COLUMNS}) VALUES ({', '.join(_PLACES)})"

_OWN = ", ".join(f"{place}::{kind}[]" for place, kind in zip(_PLACES[len(_SHARED) :], _TYPES, strict=True))
_INSERT_ARRAYS = f"""
INSERT INTO raw.payload ({_COLUMNS})
SELECT {", ".join(_PLACES[: len(_SHARED)])}, own.* FROM unnest({_OWN}) own ({", ".join(_Row._fields)})
"""

_SMALL = 32 << 10  # bytes of a body
_TOGETHER = 16  # small rows in the arrays of one message: the server works on it while we make the next

_EARLIER_PAGES = """
SELECT page_number, part, parts_id IS NOT NULL AS in_parts, sha256,
    coalesce(same_as, id) AS id, coalesce(same_as_fetched_at, fetched_at) AS fetched_at
FROM raw.payload
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id AND stream = :stream
  AND fetched_at >= {month} AND fetched_at >= :since AND fetched_at < :until
  AND walk_id = :walk_id AND page_number BETWEEN :first AND :last
"""


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


async def insert_pages(
    driver: Driver, key: SliceKey, rows: Sequence[PageRow], walk: OpenWalk | None, *, careful: bool = True
) -> Written:
    """Insert the pages, in a number of statements that does not grow with them.

    A page equal to the same page of the walk before it, stored in the same month, becomes a small row that points at
    it, or one for each of its parts. If PostgreSQL refuses a value that we took for good, the rows go in one by one and
    the refused one as bytes. Not `careful`, which saves two round trips and reading each body a second time, the error
    is raised: see `is_bad_value`. A file on disk goes in part by part.
    """
    written = Written(bytes=sum(row.page.answer.size for row in rows))
    if not rows:
        return written
    twins = await _twins(driver, key, rows, walk.earlier) if walk and walk.earlier else {}
    insert = _Insert(driver, _shared(key, walk), careful)
    if twins:
        await insert.many_small(_pointer(_row(row), twin) for row in rows for twin in twins.get(row.id, ()))
    whole = []
    for row in rows:
        if row.id in twins:
            written.same_as += len(twins[row.id])
            written.pages_same += 1
            continue
        written.new_bytes += row.page.answer.size
        if row.page.answer.spool is None:
            whole.append(row)
        else:
            written.rows += await _insert_parts(insert, _row(row), row.page.answer.spool)
    await (_insert_carefully(insert, whole) if careful else insert.whole(whole))
    written.rows += len(whole) + written.same_as
    return written


@dataclass(frozen=True)
class _Insert:
    """The ways into the table, for rows of one place.

    The driver asks for the next row while the server still compresses the last one: whoever gives them one by one has
    them checked in that time.
    """

    driver: Driver
    shared: tuple[object, ...]
    careful: bool

    async def whole(self, rows: Sequence[PageRow]) -> None:
        small = [row for row in rows if row.page.answer.size <= _SMALL]
        if len(small) > 1:
            await self.many_small(map(self.content, small))
            rows = [row for row in rows if row.page.answer.size > _SMALL]
        if len(rows) == 1:
            await self.one(self.content(rows[0]))
        elif rows:
            await self.driver.executemany(_INSERT, ((*self.shared, *self.content(row)) for row in rows))

    async def many_small(self, rows: Iterable[_Row]) -> None:
        """Insert them as arrays: half the cost of one by one, but an array of large rows would be copied twice."""
        rows = iter(rows)
        batches = iter(lambda: list(islice(rows, _TOGETHER)), [])
        await self.driver.executemany(_INSERT_ARRAYS, ((*self.shared, *zip(*batch, strict=True)) for batch in batches))

    async def one(self, row: _Row) -> None:
        await self.driver.execute(_INSERT, *self.shared, *row)

    def content(self, row: PageRow) -> _Row:
        """Return all columns of a page that is one row."""
        answer, is_file = row.page.answer, row.page.file_name is not None
        content = stored(answer.body, is_file=is_file, careful=self.careful)
        return _row(row)._replace(payload=content.payload, body=content.body, body_reason=content.reason)


async def _insert_carefully(insert: _Insert, rows: Sequence[PageRow]) -> None:
    try:
        async with insert.driver.transaction():  # a savepoint
            await insert.whole(rows)
    except asyncpg.PostgresError as error:
        if not is_bad_value(error):
            raise
        for row in rows:
            await _insert_alone(insert, row)


async def _insert_parts(insert: _Insert, row: _Row, spool: Spooled) -> int:
    number = 0
    async with aclosing(spool.parts()) as parts:
        async for part in parts:
            await insert.one(_part(row, number)._replace(body=part, body_reason=A_FILE))
            number += 1
    return number


async def _insert_alone(insert: _Insert, row: PageRow) -> None:
    values = insert.content(row)
    try:
        async with insert.driver.transaction():
            await insert.one(values)
    except asyncpg.PostgresError as error:
        if not is_bad_value(error):
            raise
        reason = "PostgreSQL does not read it as JSON"
        await insert.one(values._replace(payload=None, body=row.page.answer.body, body_reason=reason))


async def _twins(
    driver: Driver, key: SliceKey, rows: Sequence[PageRow], earlier: EarlierWalk
) -> dict[UUID, list[_Twin]]:
    """Return, by the row's id, where the earlier walk keeps the same body: in one row, or in each of its parts."""
    fetched = [row.page.answer.fetched_at for row in rows]
    until = max(fetched) if earlier.completed_at is None else min(max(fetched), earlier.completed_at + _CLOCKS_DIFFER)
    since = max(earlier.started_at, _month_start(max(fetched)))
    found = await statement(from_month(_EARLIER_PAGES, since)).fetch(
        driver,
        {
            **key.columns(),
            "walk_id": earlier.id,
            "since": since,
            "until": until,
            "first": min(row.page_number for row in rows),
            "last": max(row.page_number for row in rows),
        },
    )
    kept = defaultdict[tuple[int, bytes], list[_Twin]](list)
    for page in found:
        twin = _Twin(page["id"], page["fetched_at"], page["part"], page["in_parts"])
        kept[page["page_number"], page["sha256"]].append(twin)
    twins = {row.id: kept[row.page_number, row.sha256] for row in rows}
    return {
        row.id: twins[row.id]
        for row in rows
        if twins[row.id] and twins[row.id][0].fetched_at >= _month_start(row.page.answer.fetched_at)
    }


def _shared(key: SliceKey, walk: OpenWalk | None) -> tuple[object, ...]:
    window = asyncpg.Range(*walk.window) if walk and walk.window else None
    return (*key.columns().values(), walk and walk.id, walk and walk.started_at, window)


def _row(row: PageRow) -> _Row:
    """Return every column but the content."""
    page, answer = row.page, row.page.answer
    return _Row(
        id=row.id,
        fetched_at=answer.fetched_at,
        page_number=row.page_number,
        request=msgspec.json.encode(answer.request.stored()),
        status=answer.status,
        content_type=answer.content_type,
        file_name=page.file_name,
        sha256=row.sha256,
        record_count=page.records,
    )


def _part(row: _Row, number: int) -> _Row:
    """Return the columns of one part. The first has the page's id, which is that of all parts, and its records."""
    part = row._replace(part=number, parts_id=row.id)
    return part if number == 0 else part._replace(id=uuid7(), record_count=None)


def _pointer(row: _Row, twin: _Twin) -> _Row:
    own = _part(row, twin.part) if twin.in_parts else row
    return own._replace(same_as=twin.id, same_as_fetched_at=twin.fetched_at)


def _month_start(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def is_bad_value(error: BaseException) -> bool:
    """Tell whether PostgreSQL refused a value, and would take the rows beside it."""
    return sqlstate(error).startswith(_BAD_VALUE)

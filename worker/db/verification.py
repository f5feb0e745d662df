"""Holding what is stored against what was noted when it came: hashes, counts of records, pages of walks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.envelope import Unreadable, rows_in
from collectors.stream import Stream
from worker.db.bronze import Range, Row, in_order

LookUp = Callable[[str, str], Stream | None]  # marketplace, name → the stream, if this version has it

# Clocks of a worker and the server may differ that much, so a page may seem older than its walk.
_CLOCKS_DIFFER = timedelta(minutes=1)

# A pointer and what it points at are of one month.
_STORED = """
SELECT p.id, p.marketplace, p.stream, p.slice, p.lane, p.page_number, p.part, p.parts_id, p.fetched_at, p.file_name,
    p.sha256, p.record_count, p.same_as IS NOT NULL AND twin.id IS NULL AS dangles,
    coalesce(p.payload, twin.payload) AS payload, coalesce(p.body, twin.body) AS body
FROM raw.payload p
LEFT JOIN raw.payload twin ON twin.id = p.same_as AND twin.fetched_at = p.same_as_fetched_at
    AND twin.fetched_at >= :month AND twin.fetched_at < :until
WHERE {conditions}
"""

_COUNT = "SELECT count(*) FROM raw.payload p WHERE {conditions}"

# Only walks that lie in the range as a whole; what retention cut has lost pages rightly.
_WALKS = """
WITH kept AS (
    SELECT p.walk_id, count(*) FILTER (WHERE p.part = 0) AS pages, coalesce(sum(p.record_count), 0) AS records
    FROM raw.payload p
    WHERE {conditions} AND p.walk_id IS NOT NULL
    GROUP BY p.walk_id
)
SELECT p.id, p.marketplace, p.stream, p.slice, p.lane, p.started_at, p.pages, p.records, p.declared_total,
    p.total_changed, coalesce(kept.pages, 0) AS kept_pages, coalesce(kept.records, 0) AS kept_records
FROM collect.walk p LEFT JOIN kept ON kept.walk_id = p.id
WHERE {walk_conditions} AND p.started_at >= :since AND p.completed_at < :until AND p.cut_at IS NULL
ORDER BY p.started_at
"""


async def count_stored(session: AsyncSession, wanted: Range) -> int:
    conditions, values = wanted.conditions()
    found = await session.execute(text(_COUNT.format(conditions=" AND ".join(conditions))), values)
    return int(found.scalar_one())


async def differing_pages(
    session: AsyncSession, wanted: Range, look_up: LookUp, *, checked: Callable[[], None]
) -> AsyncGenerator[str, None]:
    """Yield a line for each difference between a body and its row. The range has both ends.

    One body, or one part of it, is in memory at a time; `checked` is called behind each row.
    """
    assert wanted.since is not None, "a range without a beginning would read every month"
    conditions, values = wanted.conditions()
    values["month"] = wanted.since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    sql = _STORED.format(conditions=" AND ".join(conditions))
    body: _Body | None = None
    async with aclosing(in_order(session, "stored", sql, values)) as rows:
        async for row in rows:
            if body is not None and not body.goes_on(row):
                for said in body.differences(look_up):
                    yield said
                body = None
            body = body or _Body(row)
            body.add(row)
            checked()
    if body is not None:
        for said in body.differences(look_up):
            yield said


async def differing_walks(session: AsyncSession, wanted: Range) -> AsyncGenerator[str, None]:
    """Yield a line for each complete walk of the range whose pages are not those that it counted or declared."""
    assert wanted.since is not None, "a range without a beginning would read every month"
    assert wanted.until is not None, "a range without an end would read every month"
    conditions, values = wanted.conditions()
    of_walk = [condition for condition in conditions if "fetched_at" not in condition]
    in_time = ["p.fetched_at >= :pages_since", "p.fetched_at < :pages_until"]
    values["pages_since"], values["pages_until"] = wanted.since - _CLOCKS_DIFFER, wanted.until + _CLOCKS_DIFFER
    sql = _WALKS.format(conditions=" AND ".join(of_walk + in_time), walk_conditions=" AND ".join(of_walk))
    for walk in map(dict, (await session.execute(text(sql), values)).mappings()):
        name = f"{_slice(walk)}: the walk {walk['id']} of {_moment(walk['started_at'])}"
        if walk["kept_pages"] != walk["pages"]:
            yield f"{name} has {walk['kept_pages']} pages, and {walk['pages']} were counted"
        if walk["kept_records"] != walk["records"]:
            yield f"{name} has {walk['kept_records']} records, and {walk['records']} were counted"
        if walk["declared_total"] not in {None, walk["records"]} and not walk["total_changed"]:
            yield f"{name} has {walk['records']} records, and {walk['declared_total']} were declared"


class _Body:
    """One body on its way past us, which may be many parts."""

    def __init__(self, first: Row) -> None:
        self._first = first
        self._whole = hashlib.sha256()
        self._content = b""  # of a page; the parts of a file are not kept
        self._parts = 0
        self._found: list[str] = []

    def goes_on(self, row: Row) -> bool:
        """Whether the row is another part of the same file."""
        return row["parts_id"] is not None and row["parts_id"] == self._first["parts_id"]

    def add(self, row: Row) -> None:
        content = row["body"] or b"" if row["payload"] is None else row["payload"].encode()
        self._whole.update(content)
        if row["parts_id"] is None:
            self._content = content
        if row["part"] != self._parts:
            self._found.append(f"lacks what comes before its part {row['part']}")
        if row["sha256"] != self._first["sha256"]:
            self._found.append("has parts that say different sha256 of the whole")
        if row["dangles"]:
            self._found.append("points at a page that is not there")
        self._parts = row["part"] + 1

    def differences(self, look_up: LookUp) -> list[str]:
        """Return a line for each."""
        first, found = self._first, [*self._found]
        if self._whole.digest() != first["sha256"] and not found:
            found.append(f"has the sha256 {self._whole.hexdigest()}, and {first['sha256'].hex()} was noted")
        found += self._miscounted(look_up(first["marketplace"], first["stream"]))
        name = f"{_slice(first)}: page {first['page_number']} of {_moment(first['fetched_at'])} ({first['id']})"
        return [f"{name} {said}" for said in found]

    def _miscounted(self, stream: Stream | None) -> list[str]:
        noted = self._first["record_count"]
        if stream is None or noted is None or self._first["file_name"] is not None or self._found:
            return []
        if stream.records is None:
            return [f"is one record, and {noted} were counted"] if stream.one_record and noted != 1 else []
        try:
            held = len(rows_in(self._content, stream.records))
        except Unreadable as error:
            return [f"has no records at {stream.records!r} ({error}), and {noted} were counted"]
        return [] if held == noted else [f"has {held} records at {stream.records!r}, and {noted} were counted"]


def _slice(row: Row) -> str:
    of_slice = f"[{row['slice']}]" if row["slice"] else ""
    return f"{row['marketplace']}/{row['stream']}{of_slice}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

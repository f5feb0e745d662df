"""The ways in which APIs page, each as a function that builds a stream's `pages`.

A helper is told how to ask (`get`, `post`) and where the rows and the cursor stand in the answer. It reads both
strictly: what is missing or of another type raises Malformed before anything is kept. NoProgress is raised here only
for what it takes the rows to see; `worker/guard.py` holds every stream to a cursor that moves. Every helper can go on
from the cursor of any step it has yielded.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from typing import Annotated, cast

import msgspec

from collectors.envelope import Envelope, Read, Rows
from collectors.errors import Malformed, NoProgress, SplitWindow, Unacceptable
from collectors.stream import Answer, Bucket, Cursor, Fetch, Json, Page, Pages, Request, Skip, Step, Walk, records_at

Ask = Callable[[Walk, Cursor], Request]
Part = Callable[[Walk, Cursor], Mapping[str, Json]]  # a walk and where it stands → what the request says of it
Path = str | Callable[[Walk, Cursor], str]

_REFUSED = "refused"  # in the cursor: the answer of the page before was
_LAST_ROW = "last_row"  # in the cursor: a digest of the last row of the page before
_PUSHED = 100  # rows that may come in while one page is read
_QUOTED = int | Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]


def get(
    host: str,
    path: Path,
    query: Part = lambda _, at: at,
    *,
    buckets: tuple[Bucket, ...] | None = None,
    repeatable: bool = True,
) -> Ask:
    """Ask by GET; `query` gives the parameters, None leaves one out."""
    return lambda walk, at: Request(
        method="GET",
        host=host,
        path=path if isinstance(path, str) else path(walk, at),
        query=_without_none(query(walk, at)),
        buckets=buckets,
        repeatable=repeatable,
    )


def post(
    host: str,
    path: Path,
    body: Part = lambda _, at: at,
    *,
    query: Part = lambda _, __: {},
    buckets: tuple[Bucket, ...] | None = None,
    repeatable: bool = True,
) -> Ask:
    """Ask by POST with a JSON body; None leaves a top-level field out."""
    return lambda walk, at: Request(
        method="POST",
        host=host,
        path=path if isinstance(path, str) else path(walk, at),
        query=_without_none(query(walk, at)),
        body=_without_none(body(walk, at)),
        buckets=buckets,
        repeatable=repeatable,
    )


def at_once(ask: Ask, *, rows: str, count: str | None = None) -> Pages:
    """Ask once: the answer is all there is. 204 says that there is nothing.

    With `count`, the path of a number, the rows may be null or missing while it is 0.
    """
    envelope = Envelope(rows)
    counted = None if count is None else Envelope(count=(count, int))

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        answer = await fetch(ask(walk, {}))
        nothing = answer.status == 204 or (counted is not None and counted.read(answer)["count"] == 0)
        yield Page(answer=answer, records=0 if nothing else len(envelope.read(answer).rows), cursor={}, last=True)

    return pages


def one_record(ask: Ask, *, field: str, kind: type) -> Pages:
    """Ask once for one record, which has this field of this type."""
    envelope = Envelope(field=(field, kind))

    @records_at(None)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        answer = await fetch(ask(walk, {}))
        envelope.read(answer)
        yield Page(answer=answer, records=1, cursor={}, last=True)

    return pages


def by_offset(
    ask: Ask,
    *,
    rows: str,
    size: int,
    pinned: str | None = None,
    pin_as: str = "pin",
    deepest: int | None = None,
    total: str | None = None,
) -> Pages:
    """Skip what was read, until an empty page or 204. `ask` is given {"offset", "limit"}, and {pin_as} after the first.

    A short page ends nothing: servers cap pages silently. `size` is the largest page that can be asked for. `pinned` is
    the path of a value of the first answer that all later pages must repeat (a snapshot's time). Beyond `deepest` rows
    the API refuses: the window is split. Behind one answer that is refused it goes on, but not behind two in a row.
    `total` is the path of the number of rows that the whole list has, which each answer must tell. A page on which the
    last row of the page before comes again is `shifted`.
    """
    values: dict[str, tuple[str, object]] = {} if pinned is None else {"pin": (pinned, str)}
    if total is not None:
        values["total"] = (total, int)
    envelope = Envelope(rows, **values)

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = {"offset": 0, **(walk.cursor or {})}
        limit = walk.limit(size)
        largest = 0
        while True:
            if deepest is not None and at["offset"] > deepest:
                raise SplitWindow(f"more than {deepest} rows in one window")
            refused_before, last_row = at.pop(_REFUSED, False), at.pop(_LAST_ROW, None)
            try:
                answer = await fetch(ask(walk, {**at, "limit": limit}))
                read = Read(Rows([], answer), {}) if answer.status == 204 else envelope.read(answer)
            except Unacceptable as error:
                if refused_before or (pinned is not None and pin_as not in at):
                    raise
                # Servers cap pages silently: behind it is where a page as large as those before it would end.
                at |= {"offset": at["offset"] + (largest or limit), _REFUSED: True}
                yield Skip(error, dict(at))
                continue
            if pinned is not None and answer.status != 204:
                at.setdefault(pin_as, read["pin"])
            at["offset"] += len(read.rows)
            largest = max(largest, len(read.rows))
            if read.rows:
                at[_LAST_ROW] = _row_digest(read.rows, -1)
            yield Page(
                answer=answer,
                records=len(read.rows),
                cursor=dict(at),
                last=not read.rows,
                declared_total=read.values.get("total"),
                shifted=last_row is not None and _comes_again(last_row, read.rows),
            )
            if not read.rows:
                return
            del answer, read  # else it would be in memory while the next one comes

    return pages


def _row_digest(rows: Rows, index: int) -> str:
    return hashlib.blake2b(rows.text(index), digest_size=8).hexdigest()


def _comes_again(digest: str, rows: Rows) -> bool:
    """Tell whether the row is among the first of these: what came in before it pushed it behind the page's end."""
    return any(_row_digest(rows, index) == digest for index in range(min(len(rows), _PUSHED)))


def by_cursor(
    ask: Ask,
    *,
    rows: str,
    following: str,
    more: str | None = None,
    total: str | None = None,
    empty_ends: bool = True,
    first: str | int = "",
) -> Pages:
    """Hand back the cursor (a token, a last id) that each answer gives. `ask` is given {"cursor"}, `first` at first.

    With `more`, the path of a boolean, the walk ends when it is false. Without, it ends when the cursor is missing or
    empty, or, unless `empty_ends` is False, when the page holds no rows.
    """
    values: dict[str, tuple[str, object]] = {"following": (following, type(first) | None)}
    if more is not None:
        values["more"] = (more, bool)
    if total is not None:
        values["total"] = (total, int)
    envelope = Envelope(rows, **values)

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = (walk.cursor or {}).get("cursor", first)
        while True:
            answer = await fetch(ask(walk, {"cursor": at}))
            read = envelope.read(answer)
            following_one = read["following"] or first
            there_is_more = read["more"] if more is not None else bool(following_one and (read.rows or not empty_ends))
            if there_is_more and not following_one:
                raise NoProgress("there is more, and no cursor to ask for it by", answer)
            yield Page(
                answer=answer,
                records=len(read.rows),
                cursor={"cursor": following_one},
                last=not there_is_more,
                declared_total=read["total"] if total is not None else None,
            )
            if not there_is_more:
                return
            at = following_one
            del answer, read  # else it would be in memory while the next one comes

    return pages


def in_one(ask: Ask, *, rows: str | None = None, holds: str | None = None) -> Pages:
    """Ask once: the answer is all there is.

    Its records are `rows`, or it is one record itself, which has an object at `holds`.
    """
    envelope = Envelope(rows, **({} if holds is None else {"holds": (holds, dict[str, msgspec.Raw])}))

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        answer = await fetch(ask(walk, {}))
        read = envelope.read(answer)
        yield Page(answer=answer, records=1 if rows is None else len(read.rows), cursor={}, last=True)

    return pages


def by_last_row(ask: Ask, *, rows: str, field: str, more: str | None = None, quoted: bool = False) -> Pages:
    """Ask for rows beyond the last one's integer `field`, until 204 or an empty page.

    `ask` is given {"after"}, 0 at first. With `more`, the path of a boolean, it also ends when that is false.
    `quoted`: the integer may come as a text.
    """
    envelope = Envelope(rows) if more is None else Envelope(rows, more=(more, bool))
    number = cast("type[int]", _QUOTED) if quoted else int

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        after = int((walk.cursor or {"after": 0})["after"])
        while True:
            answer = await fetch(ask(walk, {"after": after}))
            read = envelope.read(answer) if answer.status != 204 else None
            if read is None or not read.rows:
                yield Page(answer=answer, records=0, cursor={"after": after}, last=True)
                return
            last = int(read.rows.value(-1, field, number))
            if last <= after:
                raise NoProgress(f"the last row's {field} is {last} after {after} was asked for", answer)
            after = last
            ended = more is not None and not read["more"]
            yield Page(answer=answer, records=len(read.rows), cursor={"after": after}, last=ended)
            if ended:
                return
            del answer, read  # else it would be in memory while the next one comes

    return pages


def by_keyset(ask: Ask, *, rows: str, at: Mapping[str, tuple[str, type]], begin: Callable[[datetime], Cursor]) -> Pages:
    """Ask for rows beyond a key of several fields that each answer repeats, until an empty page; without end.

    `at` maps what `ask` is given to where the answer tells it. An empty page leaves the key where it was, so the next
    run goes on from there. `begin` makes the first key from the time that is wanted.
    """
    envelope = Envelope(rows)
    keys = Envelope(rows, **at)

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        key = dict(walk.cursor or begin(walk.window.start if walk.window else walk.since))
        while True:
            answer = await fetch(ask(walk, key))
            if not envelope.read(answer).rows:  # what the key says on an empty page is not documented
                yield Page(answer=answer, records=0, cursor=dict(key), last=True)
                return
            read = keys.read(answer)
            key = {name: read[name] for name in at}
            yield Page(answer=answer, records=len(read.rows), cursor=dict(key))
            del answer, read  # else it would be in memory while the next one comes

    return pages


def by_watermark(
    ask: Ask,
    *,
    rows: str,
    field: str,
    full: int,
    begin: Callable[[datetime], str],
    passed: Callable[[str, datetime], bool],
) -> Pages:
    """Ask for rows whose `field` is at or after the last one's; without end. `ask` is given {"since"}.

    The bound is inclusive, so the rows at it come again: an answer of nothing but those ends the walk, and is not new
    if it holds just the rows seen before. It is a fault only on a full page (`full` rows), for then nothing beyond the
    bound can be reached. The field's texts must sort as their times do. `passed` tells whether the bound is beyond the
    window that a backfill asks for.
    """
    envelope = Envelope(rows)

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = dict(walk.cursor or {"since": begin(walk.window.start if walk.window else walk.since), "seen": None})
        while True:
            answer = await fetch(ask(walk, at))
            found = envelope.read(answer).rows
            since = found.value(-1, field, str) if found else at["since"]
            if since == at["since"]:
                yield _boundary_page(answer, found, field, full, at)
                return
            if since < at["since"]:
                raise NoProgress(f"the last row's {field} is {since} after {at['since']} was asked for", answer)
            last = walk.window is not None and _passed(passed, since, walk.window.end, answer)
            at = {"since": since, "seen": _digest(found, field, since)}
            yield Page(answer=answer, records=len(found), cursor=dict(at), last=last)
            if last:
                return
            del answer, found  # else it would be in memory while the next one comes

    return pages


def _passed(passed: Callable[[str, datetime], bool], since: str, end: datetime, answer: Answer) -> bool:
    try:
        return passed(since, end)
    except ValueError as error:
        raise Malformed(f"not a time: {since!r}", answer) from error


def _boundary_page(answer: Answer, rows: Rows, field: str, full: int, at: Cursor) -> Page:
    """Return the page that ends a watermark's walk: empty, or only rows at the bound."""
    if rows and rows.value(0, field, str) != at["since"]:
        raise NoProgress(f"rows are not in the order of {field}", answer)
    if len(rows) >= full:
        raise NoProgress(f"a full page of rows whose {field} is the one that was asked for", answer)
    seen = _digest(rows, field, at["since"]) if rows else at["seen"]
    return Page(
        answer=answer,
        records=len(rows),
        cursor={"since": at["since"], "seen": seen},
        last=True,
        new=seen != at["seen"],
    )


def _digest(rows: Rows, field: str, bound: str) -> str:
    """Return a digest of the last rows, those at the bound, whatever their order."""
    at_bound = []
    for index in range(len(rows) - 1, -1, -1):
        if rows.value(index, field, str) != bound:
            break
        at_bound.append(rows.text(index))
    return hashlib.sha256(b"\n".join(sorted(at_bound))).hexdigest()


def _without_none(part: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in part.items() if value is not None}

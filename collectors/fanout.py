"""Asking for what other streams listed: their ids, so many at a time, or page by page for each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from itertools import islice

from collectors.envelope import Envelope
from collectors.paging import Ask
from collectors.stream import Cursor, Fetch, Id, Mark, Page, Pages, RecordsAt, Skip, Step, Walk, records_at


def by_ids(ask: Ask, *, rows: str, size: int) -> Pages:
    """Ask for the walk's ids in their order, at most `size` at a time. `ask` is given {"ids"}, never an empty list.

    The cursor holds the last id that was asked for, so a walk goes on behind it even where the ids have been read
    anew. Fewer rows than ids are no fault: what they stood for may be gone. Where no id is left, nothing is asked.
    """
    envelope = Envelope(rows)

    @records_at(rows, at_once=size)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = 0 if walk.cursor is None else bisect_right(walk.ids, walk.cursor["after"])
        if at >= len(walk.ids):
            yield Mark(walk.cursor or {}, last=True)
        while at < len(walk.ids):
            ids = list(walk.ids[at : at + walk.limit(size)])
            answer = await fetch(ask(walk, {"ids": ids}))
            at += len(ids)
            yield Page(
                answer=answer,
                records=len(envelope.read(answer).rows),
                cursor={"after": ids[-1]},
                last=at >= len(walk.ids),
            )

    return pages


def for_each_id(pages: Pages) -> Pages:
    """Make the walk of `pages` for each of the walk's ids in their order; it is given one, as its only id.

    The cursor holds the id and where its walk stands, or the last id whose walk is complete: as with `by_ids`, the walk
    goes on there even where the ids have been read anew, and behind an id that is gone. What an answer declares as its
    total is of one id, and is not passed on.
    """

    async def each(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = walk.cursor or {}
        begin = _begin(walk, at)
        if begin >= len(walk.ids):
            yield Mark(at, last=True)
        for one in islice(walk.ids, begin, None):
            cursor = at["within"] if at.get("id") == one else None
            async with aclosing(pages(fetch, replace(walk, ids=(one,), cursor=cursor))) as steps:
                async for step in steps:
                    yield _of_all(step, one, ends=one == walk.ids[-1])

    return RecordsAt(pages.path, each) if isinstance(pages, RecordsAt) else each


def _begin(walk: Walk, at: Cursor) -> int:
    """Return the index of the id to go on with."""
    if "id" in at:
        return bisect_left(walk.ids, at["id"])
    return bisect_right(walk.ids, at["after"]) if "after" in at else 0


def _of_all(step: Step, one: Id, *, ends: bool) -> Step:
    """Make a step of one id's walk one of the walk over all ids."""
    if isinstance(step, Skip) or not step.last:
        step = replace(step, cursor={"id": one, "within": dict(step.cursor)})
    else:
        step = replace(step, cursor={"after": one}, last=ends)
    return replace(step, declared_total=None) if isinstance(step, Page) else step

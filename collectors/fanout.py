"""Asking for what other streams listed: their ids, so many at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator

from collectors.envelope import Envelope
from collectors.paging import Ask
from collectors.stream import Fetch, Mark, Page, Pages, Step, Walk, records_at


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

"""The ids that a stream asks for, from the pages that other streams brought."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby
from typing import cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.errors import CollectError, PutOff, StreamUnavailable
from collectors.stream import Id, Stream, Watermark
from worker.db.partitions import from_month
from worker.db.progress import SliceKey
from worker.db.superseding import EVER, OF_STREAMS, oldest_current

WAIT = timedelta(minutes=5)  # for a stream that has not been collected yet
_PAGES_AT_ONCE = 4  # in memory
_CLOCKS_DIFFER = timedelta(hours=1)

# What was set aside, or what the account cannot have, is not waited for: the ids of the others are all there are.
_COLLECTED = "bool_or(last_success_at IS NOT NULL)"
_AWAITED = "bool_or(last_success_at IS NULL AND state = 'active')"

_STANDING = text(f"""
SELECT stream, {_COLLECTED} AS collected, {_AWAITED} AS awaited,
    bool_or(state NOT IN ('retired', 'unavailable')) AS possible
FROM collect.stream_state WHERE {OF_STREAMS} AND lane = 'live'
GROUP BY stream ORDER BY stream
""")

_PAGES = f"""
SELECT stream, payload, body FROM raw.pages({{month}}, 'infinity')
WHERE {OF_STREAMS} AND NOT superseded AND fetched_at >= :fetched_since
  AND CASE WHEN walk_id IS NULL THEN fetched_at >= :since ELSE time_window IS NULL OR upper(time_window) > :since END
"""

# Exactly where `read_ids` would return them now, or a slice would be woken only to be put off, again and again.
_WAKE = text(f"""
UPDATE collect.stream_state s
SET not_before = NULL, next_due_at = least(next_due_at, clock_timestamp())
WHERE s.organization_id = :organization_id AND s.marketplace_account_id = :account_id
  AND s.stream = ANY (CAST(:children AS text[])) AND s.last_error = ANY (CAST(:errors AS text[]))
  AND s.state IN ('active', 'unavailable') AND greatest(s.not_before, s.next_due_at) > clock_timestamp()
  AND (
    SELECT {_COLLECTED} AND NOT {_AWAITED} FROM collect.stream_state
    JOIN unnest(CAST(:children AS text[]), CAST(:parents AS text[]), CAST(:of_slice AS boolean[]))
        asked (child, parent, of_slice) ON parent = stream
    WHERE child = s.stream AND organization_id = s.organization_id
      AND marketplace_account_id = s.marketplace_account_id AND lane = 'live' AND (NOT of_slice OR slice = s.slice))
RETURNING s.stream, s.slice, s.lane
""")


async def read_ids(
    session: AsyncSession, key: SliceKey, stream: Stream, streams: Mapping[str, Stream], now: datetime
) -> Sequence[Id]:
    """Return the ids that the stream asks for, ascending, each once.

    `streams` are the marketplace's. Raises PutOff while one that brings the ids has not been collected yet,
    StreamUnavailable if the account can have none of those that do, and CollectError if a page does not tell them.
    """
    wanted = stream.ids
    if wanted is None:
        return ()
    of_slice = key.slice if wanted.of_slice else None
    since = EVER if wanted.within is None else now - wanted.within
    values = {**key.columns(), "streams": list(wanted.streams), "of_slice": of_slice, "since": since}
    standing = (await session.execute(_STANDING, values)).all()
    awaited = [row.stream for row in standing if row.awaited]
    if awaited or not any(row.collected for row in standing):
        if not any(row.possible for row in standing):
            raise StreamUnavailable(_without(key.marketplace, wanted.streams))
        raise PutOff(_awaits(key.marketplace, [*awaited, *wanted.streams][0]), wait=WAIT)
    parents = [streams[name] for name in wanted.streams]
    began = await oldest_current(session, key.columns(), parents, of_slice=of_slice, since=since) or now
    if any(isinstance(parent.progress, Watermark) for parent in parents):
        began = min(began, since)
    found = Ids()
    values["fetched_since"] = fetched_since = began - _CLOCKS_DIFFER
    pages = await session.stream(
        text(from_month(_PAGES, fetched_since)), values, execution_options={"yield_per": _PAGES_AT_ONCE}
    )
    async for page in pages:
        body = page.body or (page.payload or "").encode()
        try:
            await asyncio.to_thread(found.add, wanted.read, body)  # to sort a million takes seconds
        except (ValueError, LookupError, TypeError) as error:
            raise CollectError(f"a page of {key.marketplace}/{page.stream} does not tell its ids: {error}") from error
    return found.sorted()


async def wake(
    session: AsyncSession, key: SliceKey, parents: Sequence[str], streams: Mapping[str, Stream]
) -> list[SliceKey]:
    """Let what waits for these streams be due at once, where they have been collected by now, and return it.

    Whoever collects them asks for it, and whoever was put off because of them, each behind its own commit: so one of
    the two sees what the other did.
    """
    asked = [
        (stream.name, parent, stream.ids)
        for stream in streams.values()
        if stream.ids and set(parents) & set(stream.ids.streams)
        for parent in stream.ids.streams
    ]
    values = {
        **key.columns(),
        "children": [child for child, _, _ in asked],
        "parents": [parent for _, parent, _ in asked],
        "of_slice": [wanted.of_slice for _, _, wanted in asked],
        "errors": [
            error
            for _, parent, wanted in asked
            for error in (_awaits(key.marketplace, parent), _without(key.marketplace, wanted.streams))
        ],
    }
    woken = await session.execute(_WAKE, values)
    return [replace(key, stream=row.stream, slice=row.slice, lane=row.lane) for row in woken]


def _awaits(marketplace: str, stream: str) -> str:
    return f"{marketplace}/{stream} has not been collected yet"


def _without(marketplace: str, streams: Sequence[str]) -> str:
    parents = " or ".join(f"{marketplace}/{stream}" for stream in streams)
    return f"it asks for ids that {parents} would bring, which this account does not have"


class Ids:
    """Ids as they come, in little more memory than the different ones among them need: they are sorted `few` at once.

    A million numbers take 8 MB, and 20 to 43 MB while they come; texts of twenty letters 75 and 85 MB.
    """

    def __init__(self, few: int = 50_000) -> None:
        self._few = few
        self._known: array[int] | list[str] = array("q")
        self._new: list[Id] = []

    def add(self, read: Callable[[bytes], Iterable[Id]], body: bytes) -> None:
        self._new.extend(read(body))
        if len(self._new) > max(self._few, len(self._known) // 2):
            self._settle()

    def sorted(self) -> Sequence[Id]:
        self._settle()
        return self._known

    def _settle(self) -> None:
        if not self._new:
            return
        new = sorted(cast("list[str]", self._new))
        known = cast("list[str]", self._known)
        behind = bool(known) and known[-1] < new[0]  # most lists are in the order of their ids
        every = (one for one, _ in groupby(new if behind else merge(known, new)))
        if behind:
            known.extend(every)
        else:
            self._known = list(every) if isinstance(self._new[0], str) else array("q", cast("Iterable[int]", every))
        self._new = []

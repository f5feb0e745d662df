"""Replaying a quarantined answer: through today's code, as if it had just come, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import NoReturn
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.errors import CollectError
from collectors.refusals import judge_status
from collectors.stream import Answer, Mark, Page, Request, Skip, Stream, Walk, Window
from worker.batch import Batch
from worker.db.administration import NotPossible
from worker.db.driver import Driver, driver_of
from worker.db.endings import sayable
from worker.db.ids import read_ids
from worker.db.position import Position, decode
from worker.db.progress import Lease, SliceKey, take_lease_over, wanted_from
from worker.db.quarantine import Row, find_undecided, key_of, mark_replayed
from worker.db.superseding import earlier_walk
from worker.walks import asked, resumable

_DROP = "`collector quarantine drop` lets it be asked for again"


class _AskedForMore(Exception):
    """The stream asks for something that is not in quarantine."""


async def replay(
    session: AsyncSession, quarantined_id: UUID, streams: Mapping[str, Mapping[str, Stream]]
) -> tuple[SliceKey, Page | Mark]:
    """Keep the answer as the page that it is, with the position behind it, and let its slice go on from there.

    The transaction is an administrator's. Raises NotPossible, in one sentence, and then nothing has changed: it is
    dealt with or unknown, its slice has gone on without it or is being collected, or it is refused again.
    """
    row = await find_undecided(session, quarantined_id)
    key = key_of(row)
    stream = streams.get(key.marketplace, {}).get(key.stream)
    if stream is None:
        raise NotPossible(f"{key} is not collected by this release: {_DROP}")
    if row["whole"] is None:
        raise NotPossible(f"an earlier release set this answer aside, and did not note where its slice stood: {_DROP}")
    if not row["whole"]:
        raise NotPossible(f"the answer held the account's keys, which were taken out of it: {_DROP}")
    driver = await driver_of(session)
    lease = await take_lease_over(driver, key)
    if lease is None:
        raise NotPossible(f"{key} is being collected, or no longer collected: try again in a minute")
    batch = Batch(stream, await _position(driver, lease, decode(row["position"])))
    under_way = batch.position.walk
    if under_way is not None and not resumable(stream, under_way, lease.taken_at):
        _refuse_old(under_way.started_at)  # even if this is its last page
    since = await wanted_from(driver, key) or lease.taken_at
    try:
        ids = await read_ids(session, key, stream, streams[key.marketplace], lease.taken_at)
        walk = asked(batch.position, key, seller=row["seller"], since=since, now=lease.taken_at, ids=ids)
        step = await _step(stream, walk, row)
        batch.add(step)
    except CollectError as error:
        raise NotPossible(f"it is refused again: {sayable(str(error))}") from error
    await batch.write(driver, lease)
    await mark_replayed(session, quarantined_id, lease)
    return key, step


async def _position(driver: Driver, lease: Lease, then: Position) -> Position:
    """Return where the slice stands, if it is where it stood when it had asked for the answer. Raises NotPossible."""
    now = lease.position
    if then.walk is None:
        if (now.walk, now.cursor, now.pages) == (None, then.cursor, then.pages):
            return then
    elif now.walk is not None:
        if (now.walk.id, now.walk.pages, now.cursor) == (then.walk.id, then.walk.pages, then.cursor):
            return msgspec.structs.replace(then, parts=now.parts, current_since=now.current_since)
    elif then.walk.pages == 0 and then.cursor is None:  # a walk is written down with its first page
        window = None if then.walk.window is None else Window(*then.walk.window)
        newest = await earlier_walk(driver, lease.key, window, current_since=now.current_since)
        if newest is not None and newest.started_at > then.walk.started_at:
            raise NotPossible(f"{lease.key} was read again since, without this answer: {_DROP}")
        return msgspec.structs.replace(then, parts=now.parts, current_since=now.current_since)
    raise NotPossible(f"{lease.key} no longer stands where it asked for this answer: {_DROP}")


async def _step(stream: Stream, walk: Walk, row: Row) -> Page | Mark:
    """Run the stream for one step, on the stored answer alone."""
    wanted, given = msgspec.json.decode(row["request"]), False

    async def fetch(request: Request) -> Answer:
        nonlocal given
        if given or msgspec.json.decode(msgspec.json.encode(request.stored())) != wanted:
            raise _AskedForMore
        given = True
        answer = Answer(
            request=request,
            status=row["status"],
            headers={} if row["content_type"] is None else {"content-type": row["content_type"]},
            body=row["body"],
            fetched_at=row["at"],
        )
        (stream.marketplace.judge if request.signed else judge_status)(answer)
        if any(seller != walk.seller for seller in stream.sellers(answer)):
            raise NotPossible(f"it says that it is another seller's; check the account's external id, or {_DROP}")
        return answer

    async with aclosing(stream.pages(fetch, walk)) as steps:
        try:
            step = await anext(steps)
        except _AskedForMore:
            if given:
                raise NotPossible(f"the answer can be read now, and holds nothing to keep: {_DROP}") from None
            raise NotPossible(f"the stream asks for something else there by now: {_DROP}") from None
    if isinstance(step, Skip):
        raise step.error
    return step


def _refuse_old(began: datetime) -> NoReturn:
    raise NotPossible(f"its walk began at {began:%Y-%m-%d %H:%M} UTC, too long ago to be gone on with: {_DROP}")

"""Keeping what walks bring: batches become transactions; a walk that cannot go on is left, split or made finer."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from collectors.errors import AskLess, Later, Malformed, SmallerPage, SplitWindow, Unacceptable
from collectors.stream import Answer, Id, Page, Skip, Step, Stream, Walk, Window, Windows
from worker.batch import BATCH_BYTES, Batch
from worker.db.endings import sayable
from worker.db.ids import read_ids
from worker.db.partitions import with_months
from worker.db.payloads import Written, is_bad_value
from worker.db.position import EarlierWalk, OpenWalk, Position
from worker.db.progress import Lease, wanted_from
from worker.db.quarantine import Refused, set_aside
from worker.db.superseding import earlier_walk
from worker.db.tenancy import retry_conflicts, tenant_driver, tenant_transaction
from worker.http.body import Hold
from worker.resources import Resources
from worker.walks import ALARMING, asked, halves, is_endless, resumable

log = structlog.get_logger(__name__)

ENOUGH_REFUSED = 3  # windows of one run: more is not a bad answer but an API that has changed
MOST_HALVINGS = 4  # of a page's size; a stream that cannot ask for less fails after as many vain requests
STUBBORN = 3  # attempts in a row that kept nothing: the API may fail because of how much it is asked for

_LARGE = 1 << 20  # bytes: smaller batches pass the large ones by


@dataclass
class Tally:
    """What a run has brought so far. `finished` is False when it was told to stop with work left."""

    without_keys: Callable[[Answer], Answer]  # the account's keys, should the API have repeated them
    walks: int = 0
    pages: int = 0
    records: int = 0
    bytes: int = 0
    pages_same: int = 0  # of them, those that are as they were and are not stored again
    bytes_same: int = 0
    shifted: int = 0  # walks whose rows moved from page to page while they were read
    finished: bool = False
    refused: list[Refused] = field(default_factory=list)  # that are not in quarantine yet

    def refuse(self, error: Unacceptable, position: Position) -> None:
        self.refused.append(
            Refused(
                answer=self.without_keys(error.answer),
                sha256=hashlib.sha256(error.answer.body).digest(),
                reason=sayable(str(error)),
                position=position,
            )
        )


class Keeping:
    """The progress of one run: its walks, one after the other, the batch under way and the one that is being written.

    Who has it must call its `aclose`.
    """

    def __init__(self, resources: Resources, lease: Lease, stream: Stream, tally: Tally) -> None:
        self.stream = stream
        self._resources = resources
        self._lease = lease
        self._tally = tally
        self._batch = Batch(stream, lease.position)
        self._writing: asyncio.Task[None] | None = None  # of the batch before it
        self._since = lease.taken_at
        self._ids: Sequence[Id] | None = None  # looked for once in a run
        self._windows_left = 0
        self._refused: Unacceptable | None = None  # the first answer because of which a walk stays incomplete

    @property
    def is_due(self) -> bool:
        """Whether the batch should be committed before another page is fetched."""
        return self._batch.is_due

    async def open(self, window: Window | None) -> None:
        """Go on with the walk under way, if it is of this window and its cursor can be trusted, or begin a new one."""
        now = self._resources.clock.now()
        position, bounds = self._batch.position, None if window is None else (window.start, window.end)
        under_way = position.walk
        goes_on = is_endless(self.stream, window) or (
            under_way is not None and under_way.window == bounds and resumable(self.stream, under_way, now)
        )
        # A connection that is lost here, between two walks, must cost no more than one that is lost in a commit.
        self._since, earlier = await retry_conflicts(lambda: self._look_up(window, begins=not goes_on))
        if self._ids is None:
            self._ids = await self._ids_of(under_way if goes_on else None)
        if goes_on:
            return
        too_old = under_way is not None and not resumable(self.stream, under_way, now)
        given_up = position.given_up + 1 if too_old else 0
        if given_up >= ALARMING:
            log.error("walks grow too old", slice=str(self._lease.key), in_a_row=given_up)
        begun = OpenWalk(id=uuid7(), started_at=now, window=bounds, earlier=earlier)
        self._batch.position = Position(
            walk=begun, given_up=given_up, parts=position.parts, current_since=position.current_since
        )
        self._resources.ids.keep(self._lease.key, begun.id, self._ids)

    def asked(self, seller: str) -> Walk:
        """Say what the stream is to read, from where the walk stands."""
        now = self._resources.clock.now()
        position, ids = self._batch.position, self._ids or ()
        return asked(position, self._lease.key, seller=seller, since=self._since, now=now, ids=ids)

    def add(self, step: Step) -> bool:
        """Take a page into the batch, and the position behind it; tell whether it is the walk's last.

        Raises what the batch before failed with, if it did meanwhile.
        """
        if self._writing is not None and self._writing.done():
            self._writing.result()
        if isinstance(step, Skip):
            self._tally.refuse(step.error, self._batch.position)
            self._refused = self._refused or step.error
            self._batch.skip(step.cursor)
            return False
        last = self._batch.add(step)
        ended = self._batch.ended
        if isinstance(step, Page) and ended is not None and ended.skipped and self._refused is None:
            # An earlier run skipped them, and has set them aside.
            self._refused = Malformed(f"the walk lacks {ended.skipped} pages that were refused", step.answer)
        return last

    def ask_less(self, window: Window | None, error: AskLess | Later) -> list[Window | None]:
        """Give a window up that is too much to ask for, and read it in two parts, or else in smaller pages.

        Returns what to walk instead. The position remembers it, for the run may end before. Raises the error if no
        less can be asked for, or if there is no sign that it would help.
        """
        if isinstance(error, Later) and not (error.too_much and self._lease.attempts >= STUBBORN):
            raise error
        position = self._batch.position
        if not isinstance(error, SmallerPage):
            try:
                parts = halves(self.stream, window)
            except SplitWindow:
                pass
            else:
                bounds = None if window is None else (window.start, window.end)
                rest = position.parts_without(bounds)
                self._batch.move(Position(parts=(*((part.start, part.end) for part in parts), *rest)))
                return [*parts]
        if position.smaller >= MOST_HALVINGS:
            raise error
        self._batch.move(msgspec.structs.replace(position, smaller=position.smaller + 1))
        return [window]

    def can_leave(self, window: Window | None, error: Unacceptable) -> bool:
        """Leave a window's walk incomplete because of an answer, unless too many went the same way.

        A snapshot, and a watermark whose cursor is in the answer, cannot go on without it.
        """
        self._tally.refuse(error, self._batch.position)
        self._refused = self._refused or error
        self._windows_left += 1
        return window is not None and isinstance(self.stream.progress, Windows) and self._windows_left < ENOUGH_REFUSED

    def raise_refused(self) -> None:
        """Raise the first answer because of which a walk stays incomplete, if there was one."""
        if self._refused is not None:
            raise self._refused

    async def commit(self, hand_over: Callable[[], Hold]) -> None:
        """Begin to write the batch and the position down, together, and what was refused beside it.

        It is written while the next pages come, unless a mark is in it. `hand_over` gives what its bodies took
        of the byte budget, which is given back when it is written. Raises what the batch before failed with.
        """
        await self._written()
        batch, held = self._batch, hand_over()
        if not batch.moved:
            held.release()
            return
        self._batch = Batch(self.stream, batch.position)
        self._writing = asyncio.create_task(self._write(batch, tuple(self._tally.refused)))
        self._writing.add_done_callback(lambda _: held.release())
        if batch.marked:
            await self._written()

    async def finish(self, hand_over: Callable[[], Hold]) -> None:
        """Commit, and return when all is written. Raises LeaseLost, or how the database failed."""
        await self.commit(hand_over)
        await self._written()

    async def aclose(self) -> None:
        """Return when nothing is being written any more, however that ends."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def _write(self, batch: Batch, refused: Sequence[Refused]) -> None:
        key, resources, tally = self._lease.key, self._resources, self._tally
        with resources.traces.span("commit", pages=len(batch.rows)):
            async with self._turn_to_write(batch.bytes):
                written = await retry_conflicts(lambda: self._write_once(batch, refused))
        resources.metrics.kept(
            key.marketplace, key.stream, rows=written.rows, same_as=written.same_as, size=written.new_bytes
        )
        tally.pages += len(batch.rows)
        tally.records += sum(row.page.records or 0 for row in batch.rows)
        tally.bytes += written.bytes
        tally.pages_same += written.pages_same
        tally.bytes_same += written.bytes - written.new_bytes
        tally.walks += batch.completes
        tally.shifted += batch.ended is not None and batch.ended.total_changed
        del tally.refused[: len(refused)]
        if batch.ended is not None:
            resources.ids.forget(key)
        self._lease = dataclasses.replace(
            self._lease, version=self._lease.version + 1, position=batch.position, attempts=0
        )

    @asynccontextmanager
    async def _turn_to_write(self, size: int) -> AsyncIterator[None]:
        """Wait while too many large batches are on their way: the driver holds a copy or two of each."""
        hold = self._resources.writing.hold()
        if size >= _LARGE:
            await hold.grow(min(size, 2 * BATCH_BYTES))  # of a file only a part is in memory
        try:
            yield
        finally:
            hold.release()

    async def _look_up(self, window: Window | None, *, begins: bool) -> tuple[datetime, EarlierWalk | None]:
        key = self._lease.key
        async with tenant_driver(self._resources.sessions, key.organization_id) as driver:
            since = await wanted_from(driver, key) or self._resources.clock.now()
            if not begins:
                return since, None
            current_since = self._lease.position.current_since
            return since, await earlier_walk(driver, key, window, current_since=current_since)

    async def _ids_of(self, under_way: OpenWalk | None) -> Sequence[Id]:
        key, kept = self._lease.key, self._resources.ids
        found = None if under_way is None else kept.of(key, under_way.id)
        if found is None:
            found = await retry_conflicts(self._read_ids)
            if under_way is not None:
                kept.keep(key, under_way.id, found)
        return found

    async def _read_ids(self) -> Sequence[Id]:
        key, resources = self._lease.key, self._resources
        if self.stream.ids is None:
            return ()
        async with tenant_transaction(resources.sessions, key.organization_id) as session:
            streams = resources.streams[key.marketplace]
            return await read_ids(session, key, self.stream, streams, resources.clock.now())

    async def _write_once(self, batch: Batch, refused: Sequence[Refused]) -> Written:
        moments = {row.page.answer.fetched_at for row in batch.rows} | {self._resources.clock.now()}
        for careful in (False, True):
            transaction = functools.partial(self._transaction, batch, refused, careful=careful)
            try:
                return await with_months(self._resources.sessions, moments, transaction)
            except DBAPIError as error:
                if careful or not is_bad_value(error):
                    raise
        raise AssertionError("the careful way either returns or raises")

    async def _transaction(self, batch: Batch, refused: Sequence[Refused], *, careful: bool) -> Written:
        async with tenant_driver(
            self._resources.sessions, self._lease.key.organization_id, statement_timeout=timedelta(seconds=60)
        ) as driver:
            written = await batch.write(driver, self._lease, careful=careful)
            await set_aside(driver, self._lease.key, refused)
        return written

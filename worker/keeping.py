"""Keeping what a walk brings: pages gather into a batch, and a batch becomes one transaction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from uuid_utils.compat import uuid7

from collectors.errors import Unacceptable
from collectors.stream import Mark, Page, Stream, Walk, Window, Windows
from collectors.windows import settled
from worker.db.partitions import with_months
from worker.db.payloads import PageRow, insert_pages, page_row
from worker.db.progress import Lease, OpenWalk, Position, advance, earlier_walk, keep_walk, wanted_from
from worker.db.requests import mark_collected
from worker.db.tenancy import retry_conflicts, tenant_transaction
from worker.resources import Resources
from worker.walks import ALARMING, halves, is_endless, resumable

log = structlog.get_logger(__name__)

# About 8 MB in one statement is where larger batches stop paying; a hundred small pages is the same effort.
BATCH_BYTES = 8 << 20
BATCH_PAGES = 100

ENOUGH_REFUSED = 3  # windows of one run: more is not a bad answer but an API that has changed


@dataclass
class Tally:
    """What a run has brought so far. `finished` is False when it was told to stop with work left."""

    walks: int = 0
    pages: int = 0
    records: int = 0
    bytes: int = 0
    finished: bool = False
    walk: OpenWalk | None = None  # the walk under way
    page_number: int = 0  # of the page that comes next


class Keeping:
    """The position of a run as it moves, and the pages that are not committed yet."""

    def __init__(self, resources: Resources, lease: Lease, stream: Stream, tally: Tally) -> None:
        self.stream = stream
        self._resources = resources
        self._lease = lease
        self._tally = tally
        self._position = lease.position  # behind the last page that was added
        self._since = lease.taken_at
        self._rows: list[PageRow] = []
        self._bytes = 0
        self._completed: OpenWalk | None = None
        self._moved = False
        self._refused: list[tuple[Unacceptable, OpenWalk | None, int]] = []

    @property
    def is_due(self) -> bool:
        """Whether the batch should be committed before another page is fetched."""
        at_once = self._completed is not None or (self._moved and not self._rows)
        return at_once or self._bytes >= BATCH_BYTES or len(self._rows) >= BATCH_PAGES

    async def open(self, window: Window | None) -> None:
        """Go on with the walk under way, if it is of this window and its cursor can be trusted, or begin a new one."""
        now = self._resources.clock.now()
        async with tenant_transaction(self._resources.sessions, self._lease.key.organization_id) as session:
            self._since = await wanted_from(session, self._lease.key) or now
            if is_endless(self.stream, window):
                self._tally.page_number = self._position.pages
                return
            bounds = None if window is None else (window.start, window.end)
            under_way = self._position.walk
            if under_way is not None and under_way.window == bounds and resumable(self.stream, under_way, now):
                self._tally.walk, self._tally.page_number = under_way, under_way.pages
                return
            earlier = await earlier_walk(session, self._lease.key, window)
        too_old = under_way is not None and not resumable(self.stream, under_way, now)
        given_up = self._position.given_up + 1 if too_old else 0
        if given_up >= ALARMING:
            log.error("walks grow too old", slice=str(self._lease.key), in_a_row=given_up)
        begun = OpenWalk(id=uuid7(), started_at=now, window=bounds, earlier=earlier)
        self._position = Position(walk=begun, given_up=given_up, parts=self._position.parts)
        self._tally.walk, self._tally.page_number = begun, 0

    def split(self, window: Window | None) -> list[Window | None]:
        """Give the window up, read it in two parts; remember them, for the run may end between them.

        Raises SplitWindow if it cannot be split any further.
        """
        parts = halves(self.stream, window)
        self._position = Position(
            parts=(*((part.start, part.end) for part in parts), *_without(self._position, window))
        )
        self._moved = True
        return [*parts]

    def can_leave(self, window: Window | None, error: Unacceptable) -> bool:
        """Leave a window's walk incomplete because of an answer, unless too many went the same way.

        A snapshot, and a watermark whose cursor is in the answer, cannot go on without it.
        """
        self._refused.append((error, self._tally.walk, self._tally.page_number))
        return window is not None and isinstance(self.stream.progress, Windows) and len(self._refused) < ENOUGH_REFUSED

    def raise_refused(self) -> None:
        """Raise the first answer that a window was left for, if there was one; the tally says where it stood."""
        if self._refused:
            error, self._tally.walk, self._tally.page_number = self._refused[0]
            raise error

    def asked(self, seller: str) -> Walk:
        """Say what the stream is to read, from where the walk stands."""
        walk = self._position.walk
        return Walk(
            seller=seller,
            since=self._since,
            now=self._resources.clock.now(),
            slice=self._lease.key.slice,
            window=None if walk is None or walk.window is None else Window(*walk.window),
            cursor=self._position.cursor,
        )

    def add(self, step: Page | Mark) -> bool:
        """Take a page into the batch, and the position behind it; tell whether it is the walk's last."""
        self._moved = True
        if isinstance(step, Mark):
            self._position = msgspec.structs.replace(self._position, cursor=dict(step.cursor))
            return False
        walk, number = self._position.walk, self._position.pages
        if walk is not None:
            number = walk.pages
            walk = _further(walk, step)
        if step.worth_storing:
            self._rows.append(page_row(step, number))
            self._bytes += step.answer.size
            number += 1
        self._tally.page_number = number
        if walk is not None and step.last:
            self._completed = walk
            self._position = Position(parts=_without(self._position, walk.window))
        elif walk is not None:
            self._position = msgspec.structs.replace(self._position, cursor=dict(step.cursor), walk=walk)
        else:
            self._position = msgspec.structs.replace(self._position, cursor=dict(step.cursor), pages=number)
        return step.last

    async def commit(self) -> None:
        """Write the batch, the walk, the coverage and the position down, together. Raises LeaseLost."""
        if not self._moved:
            return
        size = await retry_conflicts(self._commit_once)
        self._tally.pages += len(self._rows)
        self._tally.records += sum(row.page.records or 0 for row in self._rows)
        self._tally.bytes += size
        self._tally.walks += self._completed is not None
        self._lease = dataclasses.replace(self._lease, version=self._lease.version + 1, position=self._position)
        self._rows, self._bytes, self._completed, self._moved = [], 0, None, False

    async def _commit_once(self) -> int:
        moments = {row.page.answer.fetched_at for row in self._rows} | {self._resources.clock.now()}
        return await with_months(self._resources.sessions, moments, self._transaction)

    async def _transaction(self) -> int:
        key = self._lease.key
        walk = self._completed or self._position.walk
        async with tenant_transaction(
            self._resources.sessions, key.organization_id, statement_timeout=timedelta(seconds=60)
        ) as session:
            # The pages first: a large file takes a while, in which the heartbeat must find the slice's row unlocked.
            size = await insert_pages(session, key, self._rows, walk)
            await advance(session, self._lease, self._position)
            if walk is not None:
                await keep_walk(
                    session, key, walk, complete=self._completed is not None, settled=self._is_settled(walk)
                )
            if self._completed is not None and self._completed.window is not None:
                await mark_collected(session, key, self._completed.window)
        return size

    def _is_settled(self, walk: OpenWalk) -> bool:
        progress = self.stream.progress
        return (
            isinstance(progress, Windows)
            and walk.window is not None
            and settled(progress, Window(*walk.window), walk.started_at)
        )


def _without(
    position: Position, window: Window | tuple[datetime, datetime] | None
) -> tuple[tuple[datetime, datetime], ...]:
    bounds = (window.start, window.end) if isinstance(window, Window) else window
    return tuple(part for part in position.parts if part != bounds)


def _further(walk: OpenWalk, page: Page) -> OpenWalk:
    total = walk.declared_total if page.declared_total is None else page.declared_total
    changed = walk.declared_total is not None and total != walk.declared_total
    return msgspec.structs.replace(
        walk,
        pages=walk.pages + page.worth_storing,
        records=walk.records + (page.records or 0),
        declared_total=total,
        total_changed=walk.total_changed or changed,
    )

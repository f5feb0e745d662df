"""A batch: the position of a slice as it moves, and the pages behind it that become one transaction."""

from __future__ import annotations

import msgspec

from collectors.stream import Cursor, Mark, Page, Stream, Window, Windows
from collectors.windows import settled
from worker.db.driver import Driver
from worker.db.payloads import PageRow, Written, insert_pages, page_row
from worker.db.position import OpenWalk, Position, Trail
from worker.db.progress import Lease, advance, advance_walk
from worker.db.requests import mark_collected
from worker.db.superseding import supersede
from worker.guard import trail_behind

# About 8 MB is where larger batches stop paying. Half as many small pages would cost a seventh more; and what a killed
# worker had fetched, two batches at most, is asked for again, so not more.
BATCH_BYTES = 8 << 20
BATCH_PAGES = 200


class Batch:
    """What is not committed yet. `position` stands behind the last page that was added."""

    def __init__(self, stream: Stream, position: Position) -> None:
        self.position = position
        self.rows: list[PageRow] = []
        self.moved = False
        self.marked = False  # with what must be known before anything else is asked for: a report's id
        self.ended: OpenWalk | None = None  # the walk whose last page is here; it is complete if nothing was skipped
        self.bytes = 0  # of bodies
        self._stream = stream

    @property
    def completes(self) -> bool:
        return self.ended is not None and not self.ended.skipped

    @property
    def is_due(self) -> bool:
        """Whether it should be committed before another page is fetched."""
        at_once = self.marked or self.ended is not None or (self.moved and not self.rows)
        return at_once or self.bytes >= BATCH_BYTES or len(self.rows) >= BATCH_PAGES

    def move(self, position: Position) -> None:
        """Stand elsewhere, without a page."""
        self.position, self.moved = position, True

    def add(self, step: Page | Mark) -> bool:
        """Take a page, and the position behind it; tell whether it is the walk's last.

        Raises Unacceptable for a page with which the walk would not go on, and then nothing has moved.
        """
        if isinstance(step, Mark):
            self.move(msgspec.structs.replace(self.position, cursor=dict(step.cursor)))
            self.marked = True
            if step.last:
                self._end(self.position.walk)
            return step.last
        row = page_row(step, self.position.page_number)
        walk = None if self.position.walk is None else _further(self.position.walk, step)
        trail = trail_behind(step, self.position, walk, digest=row.sha256)
        if step.worth_storing:
            self.rows.append(row)
            self.bytes += step.answer.size
        self._move_behind(step, walk, trail)
        return step.last

    def skip(self, cursor: Cursor) -> None:
        """Stand behind a page whose answer was refused: its walk goes on, and will never be complete."""
        walk = self.position.walk
        assert walk is not None, "a watermark cannot go on without the answer that its cursor is in"
        walk = msgspec.structs.replace(walk, pages=walk.pages + 1, skipped=walk.skipped + 1)
        self.move(msgspec.structs.replace(self.position, cursor=dict(cursor), walk=walk))

    async def write(self, driver: Driver, lease: Lease, *, careful: bool = True) -> Written:
        """Write pages, walk, coverage and position down, together. Raises LeaseLost.

        `careful` as `insert_pages` has it.
        """
        key, walk = lease.key, self.ended or self.position.walk
        # The pages first: a large file takes a while, in which the heartbeat must find the slice's row unlocked.
        written = await insert_pages(driver, key, self.rows, walk, careful=careful)
        if walk is None:
            await advance(driver, lease, self.position)
        else:
            await advance_walk(driver, lease, self.position, walk, complete=self.completes)
            if self.completes:
                settled, since = self._is_settled(walk), lease.position.current_since
                await supersede(driver, key, walk, settled=settled, current_since=since)
                if walk.window is not None:
                    await mark_collected(driver, key, walk.window)
        return written

    def _move_behind(self, page: Page, walk: OpenWalk | None, trail: Trail) -> None:
        if walk is not None and page.last:
            self._end(walk)
            return
        here = msgspec.structs.replace(self.position, cursor=dict(page.cursor), walk=walk, trail=trail)
        if walk is None:
            smaller = 0 if page.last else here.smaller
            here = msgspec.structs.replace(here, pages=here.pages + page.worth_storing, smaller=smaller)
        self.move(here)

    def _end(self, walk: OpenWalk | None) -> None:
        if walk is not None:
            self.ended = walk
            is_current = walk.window is None and self.completes
            since = walk.started_at if is_current else self.position.current_since
            self.move(Position(parts=self.position.parts_without(walk.window), current_since=since))

    def _is_settled(self, walk: OpenWalk) -> bool:
        progress = self._stream.progress
        return (
            isinstance(progress, Windows)
            and walk.window is not None
            and settled(progress, Window(*walk.window), walk.started_at)
        )


def _further(walk: OpenWalk, page: Page) -> OpenWalk:
    total = walk.declared_total if page.declared_total is None else page.declared_total
    changed = walk.declared_total is not None and total != walk.declared_total
    return msgspec.structs.replace(
        walk,
        pages=walk.pages + page.worth_storing,
        records=walk.records + (page.records or 0),
        declared_total=total,
        total_changed=walk.total_changed or changed or page.shifted,
    )

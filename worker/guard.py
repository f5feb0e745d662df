"""Whether a walk goes on: its cursor moves and never comes back, it ends, and it holds what was declared.

One place for every stream, beside the loop. What it must remember is a few values in the position, so it also finds a
circle that takes many runs. A last page ends the walk whatever its cursor says, and only the totals are held against
it; so a watermark's idle last page, which repeats cursor and body, is none of its business.
"""

from __future__ import annotations

import hashlib

import msgspec

from collectors.errors import Malformed, NoProgress
from collectors.stream import Cursor, Page
from worker.db.position import OpenWalk, Position, Trail

MOST_PAGES = 100_000  # of one walk, where nothing is declared: ten million cards, at a hundred a page
_REPEATS = 1  # a page may come twice, when rows shift under an offset; three times is an API that ignores the cursor
_SPARE_PAGES = 100  # beyond ten times as many as the declared total takes


def trail_behind(page: Page, position: Position, walk: OpenWalk | None, *, digest: bytes) -> Trail:
    """Return the trail behind a page, from the position before it. Raises NoProgress or Malformed, with the answer.

    `walk` is the walk with the page counted in it; None for a watermark's endless one. `digest` is of the body.
    """
    if walk is not None and page.records is not None:
        _refuse_other_total(page, walk)
    if page.last:
        return Trail()
    if position.cursor is not None and dict(page.cursor) == dict(position.cursor):
        raise NoProgress("the cursor of the next page is the one of this page", page.answer)
    trail = _counted(page, position.trail, walk)
    return _on_the_way(page, _repeated(page, trail, digest.hex()))


def _refuse_other_total(page: Page, walk: OpenWalk) -> None:
    """Hold an unchanged declared total against the records. One that changed on the way says nothing of them."""
    total = walk.declared_total
    if total is None or walk.total_changed:
        return
    if walk.records > total:
        raise Malformed(f"{walk.records} records so far, although {total} were declared", page.answer)
    if page.last and walk.records < total and not walk.skipped:
        raise Malformed(f"the last page, after {walk.records} records of {total} that were declared", page.answer)


def _counted(page: Page, trail: Trail, walk: OpenWalk | None) -> Trail:
    most = MOST_PAGES
    if walk is not None and walk.declared_total is not None:
        # As large as those so far, they are no more than this; the rest can only be empty.
        needed = walk.declared_total * max(walk.pages, 1) // max(walk.records, 1)
        most = min(most, 10 * needed + _SPARE_PAGES)
    if trail.pages >= most:
        raise NoProgress(f"more than {most} pages and no end", page.answer)
    return msgspec.structs.replace(trail, pages=trail.pages + 1)


def _repeated(page: Page, trail: Trail, body: str) -> Trail:
    if page.records == 0:
        return msgspec.structs.replace(trail, body="", repeats=0)
    repeats = trail.repeats + 1 if body == trail.body else 0
    if repeats > _REPEATS:
        raise NoProgress("the page is the one before it, and the one before that", page.answer)
    return msgspec.structs.replace(trail, body=body, repeats=repeats)


def _on_the_way(page: Page, trail: Trail) -> Trail:
    """Find a circle of any length by Brent's algorithm: an anchor, dropped again after 1, 2, 4, 8… steps."""
    here = _digest(page.cursor)
    if here == trail.anchor:
        raise NoProgress(f"the cursor is the one of {trail.steps + 1} pages ago: they come round again", page.answer)
    steps = trail.steps + 1
    if steps < trail.reach:
        return msgspec.structs.replace(trail, steps=steps)
    return msgspec.structs.replace(trail, anchor=here, steps=0, reach=2 * trail.reach)


def _digest(cursor: Cursor) -> str:
    return hashlib.sha256(msgspec.json.encode(cursor, order="sorted")).hexdigest()[:32]

"""Where a slice stands: the value that `collect.stream_state.position` holds as JSON.

An older release must be able to read what a newer one wrote, and the other way round: fields are only ever added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

Bounds = tuple[datetime, datetime]  # of a window


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk has been, in a few values however long it is: what `worker.guard` knows it by."""

    anchor: str = ""  # digest of one cursor that it passed
    steps: int = 0  # pages since
    reach: int = 1  # after so many, the anchor is dropped again
    pages: int = 0  # all, also those that are not stored
    body: str = ""  # digest of the last page
    repeats: int = 0  # pages in a row before it that were the same


class EarlierWalk(msgspec.Struct, frozen=True):
    """The last complete walk of the same window or snapshot, whose equal pages need not be stored again."""

    id: UUID
    started_at: datetime
    completed_at: datetime | None = None  # None: written by an earlier release


class OpenWalk(msgspec.Struct, frozen=True):
    """The walk under way. A watermark's endless walk has none: its pages are final as they are stored."""

    id: UUID
    started_at: datetime
    window: Bounds | None = None
    pages: int = 0
    records: int = 0
    declared_total: int | None = None
    total_changed: bool = False
    earlier: EarlierWalk | None = None
    skipped: int = 0  # pages whose answer was refused: it will never be complete


class Position(msgspec.Struct, frozen=True):
    """Where a slice and lane stand: exactly behind what is stored."""

    cursor: Any = None  # None: at the beginning
    walk: OpenWalk | None = None
    pages: int = 0  # of a watermark: how many pages it has stored
    given_up: int = 0  # walks in a row that grew too old to go on with
    parts: tuple[Bounds, ...] = ()  # of a window that was too large, still to be read
    smaller: int = 0  # how often the pages of the walk under way were halved
    trail: Trail = Trail()
    current_since: datetime | None = None  # of a snapshot: when its last complete walk began, if that is known

    @property
    def page_number(self) -> int:
        """Return the number of the page that comes next."""
        return self.pages if self.walk is None else self.walk.pages

    def parts_without(self, bounds: Bounds | None) -> tuple[Bounds, ...]:
        return tuple(part for part in self.parts if part != bounds)


def encode(position: Position) -> str:
    return msgspec.json.encode(position).decode()


def decode(stored: str | None) -> Position:
    return Position() if stored is None else msgspec.json.decode(stored, type=Position)

"""The ids of walks under way, kept between the runs of this process.

Each wait for a limit ends a run: a walk by ids that read them anew each time would read all the pages that tell them
for every few requests of its own. Ids are never kept longer than their walk. Another process reads its own, and may
find other ones: that does no harm, since the cursor of a walk is the last id that is done.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from uuid import UUID

from collectors.stream import Id
from worker.db.progress import SliceKey

MOST = 64 << 20  # bytes of all: eight million numbers, or 850,000 texts of twenty letters


class KeptIds:
    """The least recently used are dropped first. `size` is what it holds, in bytes, and never above `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[SliceKey, tuple[UUID, Sequence[Id], int]] = {}  # the one used last comes last
        self.size = 0

    def of(self, key: SliceKey, walk: UUID) -> Sequence[Id] | None:
        """Return the ids of a walk, if they are kept."""
        found = self._kept.get(key)
        if found is None or found[0] != walk:
            return None
        self._kept[key] = self._kept.pop(key)
        return found[1]

    def keep(self, key: SliceKey, walk: UUID, ids: Sequence[Id]) -> None:
        """Keep the ids of a slice's walk in place of its earlier one's; not those that alone are too many."""
        self.forget(key)
        size = _size(ids)
        if not ids or size > self._most:
            return
        while self.size + size > self._most:
            self.forget(next(iter(self._kept)))
        self._kept[key] = (walk, ids, size)
        self.size += size

    def forget(self, key: SliceKey) -> None:
        if key in self._kept:
            self.size -= self._kept.pop(key)[2]


def _size(ids: Sequence[Id]) -> int:
    return sys.getsizeof(ids) + (0 if isinstance(ids, array) else sum(map(sys.getsizeof, ids)))

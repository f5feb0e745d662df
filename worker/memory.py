"""How the process takes and gives back memory: what its allocator and its garbage collector are told."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE_BLOCK = 2 << 20  # bytes: most pages are smaller, and so are the driver's copies of them
_NEVER = 1 << 30

_OBJECTS = 10_000  # more than there were, before the youngest are looked through


@asynccontextmanager
async def memory_given_back(*, every: float = 1.0) -> AsyncIterator[None]:
    """Let glibc return each large block as it is freed, and every so many seconds what is free among the smaller ones.

    By itself it stops returning blocks at the first large body, and keeps the holes between them. To map the smaller
    ones anew each time, on the other hand, costs a third of our processor time: for a page of 1 MB, of which the driver
    makes two or three copies, 700 to 1,000 page faults of 2.5 us (November 2026).
    """
    giving = asyncio.create_task(_give_back(every))
    try:
        yield
    finally:
        giving.cancel()


async def _give_back(every: float) -> None:
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
        while True:
            await asyncio.sleep(every)
            libc.malloc_trim(0)  # some ms at most


def look_for_garbage_less_often() -> None:
    """Leave out what lives as long as the process. To be called when everything is open.

    Python looks for circles of garbage after each 700 new objects, and now and then through all there are: of a commit
    that took 150 us, of 850 (November 2026). What we keep in memory by the megabyte is in no circle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS)

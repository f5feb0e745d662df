"""How the process takes and gives back memory: what its allocator and its garbage collector are told."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BLOCK = 128 << 10  # bytes, where glibc begins too

_OBJECTS = 10_000  # more than there were, before the youngest are looked through


def give_memory_back() -> None:
    """Let glibc return each large block as it is freed.

    By itself it stops doing so at the first body, and keeps the holes between them. The pieces that a body comes in,
    and what 50 connections hold of those while they wait for the byte budget, are large in this sense too.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def look_for_garbage_less_often() -> None:
    """Leave out what lives as long as the process. To be called when everything is open.

    Python looks for circles of garbage after each 700 new objects, and now and then through all there are: of a commit
    that took 150 us, of 850 (November 2026). What we keep in memory by the megabyte is in no circle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS)

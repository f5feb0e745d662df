"""Answers without their bodies, bodies on the wire, and what reading one costs."""

import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from collectors.stream import Answer, Request


def answer(*, status: int = 200, file: bool = False, ends: bool = True, **headers: str) -> Answer:
    """Make an answer; with `ends` its end is told by its chunks."""
    framing = {"transfer-encoding": "chunked"} if ends else {}
    return Answer(
        request=Request(method="GET", host="api.example.com", path="/orders", file=file),
        status=status,
        headers=framing | {name.replace("_", "-"): value for name, value in headers.items()},
        body=b"",
        fetched_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


async def wire(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@contextmanager
def costing_less_than(size: int) -> Iterator[None]:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < size

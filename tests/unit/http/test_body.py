"""A body is read under caps, and what is cut off or broken is never taken for data."""

import gzip
import os
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from collectors.errors import Later, Malformed, SplitWindow
from collectors.stream import Answer, Request
from worker.http.body import DECODED_CAP, ERROR_CAP, WIRE_CAP, ByteBudget, read_body

TEXT = b'{"orders": [' + b'{"srid": "\xd0\xb7\xd0\xb0\xd0\xba\xd0\xb0\xd0\xb7"},' * 5000 + b"1]}"


def answer(*, status: int = 200, **headers: str) -> Answer:
    return Answer(
        request=Request(method="GET", host="api.example.com", path="/orders"),
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=b"",
        fetched_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


async def wire(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, headers: Answer, size: int = 1000) -> bytes:
    return (await read_body(wire(body, size), headers, ByteBudget().hold())).body


async def test_gzip_deflate_and_plain_bodies_come_out_as_they_were_written() -> None:
    assert await read(TEXT, answer()) == TEXT
    assert await read(gzip.compress(TEXT), answer(content_encoding="gzip")) == TEXT
    assert await read(zlib.compress(TEXT), answer(content_encoding="deflate")) == TEXT
    raw = zlib.compressobj(wbits=-15)
    assert await read(raw.compress(TEXT) + raw.flush(), answer(content_encoding="deflate")) == TEXT


@pytest.mark.parametrize("size", [1, 7, 65536])
async def test_a_gzip_body_in_several_members_and_padded_is_one_body(size: int) -> None:
    packed = gzip.compress(TEXT[:700]) + gzip.compress(TEXT[700:2000]) + b"\0" * 9
    assert await read(packed, answer(content_encoding="gzip"), size) == TEXT[:2000]


async def test_a_body_that_packs_very_well_is_unpacked_to_its_end() -> None:
    """All input is used long before all output has come."""
    zeros = b"0" * (8 * 2**20)
    assert await read(gzip.compress(zeros), answer(content_encoding="gzip"), 2**20) == zeros


async def test_an_empty_body_that_calls_itself_gzip_is_empty() -> None:
    assert await read(b"", answer(status=204, content_encoding="gzip")) == b""


@pytest.mark.parametrize("cut", [1, 8, 100])
async def test_a_gzip_body_that_was_cut_off_is_not_data(cut: int) -> None:
    with pytest.raises(Later, match="cut off"):
        await read(gzip.compress(TEXT)[:-cut], answer(content_encoding="gzip"))


async def test_a_gzip_body_that_was_damaged_is_not_data() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1  # of the checksum
    for body in (bytes(packed), b"<html>no gzip at all</html>", gzip.compress(TEXT) + b"more"):
        with pytest.raises(Later, match=r"broken|cut off"):
            await read(body, answer(content_encoding="gzip"))


async def test_a_bomb_asks_for_a_shorter_window_before_it_fills_the_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    piece = b"\0" * 2**20
    bomb = b"".join(packer.compress(piece) for _ in range(200)) + packer.flush()
    budget = ByteBudget()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        with pytest.raises(SplitWindow, match="unpacks to more"):
            await read_body(wire(bomb, 65536), answer(content_encoding="gzip"), budget.hold())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < DECODED_CAP * 1.2
    assert budget.used == 0


async def test_a_length_over_the_cap_is_refused_before_reading() -> None:
    async def untouchable() -> AsyncIterator[bytes]:
        for chunk in (b"0", b"0"):
            yield chunk
            pytest.fail("it was read on")

    with pytest.raises(SplitWindow, match="bytes long"):
        await read_body(untouchable(), answer(content_length=str(WIRE_CAP + 1)), ByteBudget().hold())


async def test_a_body_without_a_length_is_cut_at_the_cap() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"0" * 2**20

    budget = ByteBudget()
    with pytest.raises(SplitWindow, match="longer than"):
        await read_body(endless(), answer(), budget.hold())
    assert budget.used == 0


async def test_of_an_error_only_the_beginning_is_kept() -> None:
    words = os.urandom(ERROR_CAP * 3)
    packed = gzip.compress(words)
    assert (
        await read(packed, answer(status=500, content_encoding="gzip", content_length="99999999999"))
        == words[:ERROR_CAP]
    )
    assert await read(b"no", answer(status=500)) == b"no"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
async def test_an_encoding_that_was_not_asked_for_is_quarantined_as_it_came(encoding: str) -> None:
    with pytest.raises(Malformed, match="did not ask for") as caught:
        await read(b"\x8b\x02\x80", answer(content_encoding=encoding))
    assert caught.value.answer.body == b"\x8b\x02\x80"

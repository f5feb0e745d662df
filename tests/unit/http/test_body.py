"""A body is read under caps, and what is cut off or broken is never taken for data."""

import asyncio
import gzip
import hashlib
import os
import resource
import zlib
from collections.abc import AsyncIterator

import pytest

from collectors.errors import Blame, Later, Malformed, PutOff, SplitWindow
from collectors.stream import Answer
from tests.spools import OpenFiles
from tests.unit.http.bodies import answer, costing_less_than, wire
from worker.http.body import DECODED_CAP, ERROR_CAP, WIRE_CAP, ByteBudget, read_body
from worker.http.spool import PART

TEXT = b'{"orders": [' + b'{"srid": "\xd0\xb7\xd0\xb0\xd0\xba\xd0\xb0\xd0\xb7"},' * 5000 + b"1]}"


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
    with pytest.raises(Later, match="cut off") as caught:
        await read(gzip.compress(TEXT)[:-cut], answer(content_encoding="gzip"))
    assert caught.value.blame is Blame.PATH


async def test_a_gzip_body_that_was_damaged_is_not_data() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1  # of the checksum
    for body in (bytes(packed), b"<html>no gzip at all</html>", gzip.compress(TEXT) + b"more"):
        with pytest.raises(Later, match=r"broken|cut off") as caught:
            await read(body, answer(content_encoding="gzip"))
        assert caught.value.blame is Blame.PATH


def packed_well(size: int, *, piece: bytes = b"\0" * 2**20) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()


@pytest.mark.parametrize("file", [False, True])
async def test_a_bomb_is_quarantined_before_it_fills_the_memory(file: bool, open_files: OpenFiles) -> None:
    bomb, budget = packed_well(200 * 2**20), ByteBudget()
    with costing_less_than(3 * PART), pytest.raises(Malformed, match="a bomb") as caught:
        await read_body(wire(bomb, 65536), answer(file=file, content_encoding="gzip"), budget.hold())
    assert caught.value.answer.body == bytes(ERROR_CAP)
    assert (budget.used, open_files()) == (0, 0)


async def test_a_page_over_the_cap_asks_for_a_shorter_window_and_was_never_held(open_files: OpenFiles) -> None:
    """It packs as data do, so it is no bomb."""
    packed, budget = packed_well(DECODED_CAP + 2**20, piece=os.urandom(2**14) + b"0" * (2**20 - 2**14)), ByteBudget()
    with costing_less_than(3 * PART), pytest.raises(SplitWindow, match="unpacks to more"):
        await read_body(wire(packed, 65536), answer(content_encoding="gzip"), budget.hold())
    assert (budget.used, open_files()) == (0, 0)


@pytest.mark.parametrize("file", [False, True])
@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 3 * PART])
async def test_a_large_page_comes_back_from_disk_whole(size: int, file: bool, open_files: OpenFiles) -> None:
    body, budget = os.urandom(size), ByteBudget()
    hold = budget.hold()
    read = await read_body(wire(body, 65536), answer(file=file), hold)
    assert read.body == body
    assert (read.spool, budget.used, open_files()) == (None, size, 0)
    hold.release()
    assert budget.used == 0


async def test_a_file_over_the_cap_of_a_page_stays_on_disk_until_it_is_released(open_files: OpenFiles) -> None:
    block = os.urandom(2**20)
    body, budget = block * (DECODED_CAP // 2**20) + b"the end", ByteBudget()
    hold = budget.hold()
    with costing_less_than(3 * PART):
        read = await read_body(wire(body, 65536), answer(file=True), hold)
    assert read.spool is not None
    assert (read.size, read.spool.size, read.spool.sha256) == (len(body), len(body), hashlib.sha256(body).digest())
    assert read.body == body[:ERROR_CAP], "it is judged by its beginning"
    assert PART <= budget.used < PART + 65536, "what may be in memory at a time"
    for _ in range(2):  # a commit may be tried again
        parts = [part async for part in read.spool.parts()]
        assert [len(part) for part in parts] == [PART] * 8 + [7]
        assert b"".join(parts) == body
    assert open_files() == 1
    hold.release()
    assert (budget.used, open_files()) == (0, 0)


async def test_a_file_over_its_own_cap_asks_for_a_shorter_window(
    monkeypatch: pytest.MonkeyPatch, open_files: OpenFiles
) -> None:
    monkeypatch.setattr("worker.http.body.FILE_CAP", DECODED_CAP + 2**20)
    budget = ByteBudget()
    packed = packed_well(DECODED_CAP + 2**21, piece=os.urandom(2**14) + bytes(2**20 - 2**14))
    for headers, body in (
        (answer(file=True, content_length=str(DECODED_CAP + 2**20 + 1)), b""),
        (answer(file=True), bytes(DECODED_CAP + 2**21)),
        (answer(file=True, content_encoding="gzip"), packed),
    ):
        with pytest.raises(SplitWindow):
            await read_body(wire(body, 65536), headers, budget.hold())
        assert (budget.used, open_files()) == (0, 0)


async def test_a_full_disk_puts_the_run_off_in_one_sentence(open_files: OpenFiles) -> None:
    budget, limits = ByteBudget(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART + 2**20, limits[1]))
    try:
        with pytest.raises(PutOff, match=r"cannot be kept on disk \(File too large\): make room in .* TMPDIR"):
            await read_body(wire(bytes(3 * PART), 65536), answer(), budget.hold())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (budget.used, open_files()) == (0, 0)


async def test_a_cancelled_body_leaves_nothing_behind(open_files: OpenFiles) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        for _ in range(2 * PART // 65536):
            yield bytes(65536)
        reached.set()
        await asyncio.Event().wait()

    reached, budget = asyncio.Event(), ByteBudget()
    reading = asyncio.create_task(read_body(stuck(), answer(), budget.hold()))
    await reached.wait()
    assert open_files() == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (budget.used, open_files()) == (0, 0)


async def test_a_body_in_tiny_chunks_costs_no_more_than_its_size() -> None:
    with costing_less_than(2**19):
        read = await read_body(wire(bytes(40_000), 2), answer(), ByteBudget().hold())
    assert len(read.body) == 40_000


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


async def test_an_error_is_read_as_far_as_it_can_be_for_its_status_tells() -> None:
    """A 429 that is cut off, broken or in an odd encoding still says: wait."""
    packed = gzip.compress(b"slow down")
    assert await read(packed[:-4], answer(status=429, content_encoding="gzip")) == b"slow down"
    assert await read(b"<html>no gzip</html>", answer(status=429, content_encoding="gzip")) == b""
    assert await read(b"\x8b\x02\x80", answer(status=429, content_encoding="br")) == b"\x8b\x02\x80"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
async def test_an_encoding_that_was_not_asked_for_is_quarantined_as_it_came(encoding: str) -> None:
    came = b"\x8b\x02\x80" * ERROR_CAP
    with pytest.raises(Malformed, match="did not ask for") as caught:
        await read(came, answer(content_encoding=encoding, content_length=str(WIRE_CAP + 1)))
    assert caught.value.answer.body == came[:ERROR_CAP], "its beginning is enough to look at"


@pytest.mark.parametrize(
    ("body", "file", "whole"),
    [
        (b'{"orders": []}\n', False, True),
        (b"[]", False, True),
        (b"", False, True),
        (b'{"orders": [1, 2', False, False),
        (b"id;price\n1;2\n", True, False),
    ],
)
async def test_a_body_that_ends_with_its_connection_is_taken_only_if_it_shows_its_end(
    body: bytes, file: bool, whole: bool
) -> None:
    reading = read_body(wire(body), answer(file=file, ends=False), ByteBudget().hold())
    if whole:
        assert (await reading).body == body
        return
    with pytest.raises(Later, match="may be cut off") as caught:
        await reading
    assert caught.value.blame is Blame.PATH


async def test_a_packed_body_that_ends_with_its_connection_shows_its_end_by_itself() -> None:
    packed = gzip.compress(b"id;price")
    assert (
        await read_body(wire(packed), answer(file=True, ends=False, content_encoding="gzip"), ByteBudget().hold())
    ).body == b"id;price"

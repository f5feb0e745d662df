"""Reading a body under caps: what is wired, what it unpacks to, and how much the process holds at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

from isal import isal_zlib

from collectors.errors import Later, Malformed, SplitWindow
from collectors.stream import Answer

WIRE_CAP = 32 * 2**20  # the largest page known is 250,000 rows of stock, about 20 MB gzipped
DECODED_CAP = 64 * 2**20  # PostgreSQL takes 1 GB in a field, but copies it several times
ERROR_CAP = 64 * 2**10  # enough to read the reason and to judge it
BUDGET = 128 * 2**20  # two of the largest bodies, or all usual ones of 50 jobs
_PIECE = 256 * 2**10  # decompressed at a time: a bomb is noticed after this much
_GZIP = 31  # wbits of zlib: gzip's wrapper
_ZLIB = 15
_RAW = -15
_Broken = cast("type[Exception]", isal_zlib.error)  # isal's stub calls it an instance


@dataclass
class _Waiter:
    hold: Hold
    size: int
    granted: asyncio.Future[None]


class ByteBudget:
    """How many bytes of bodies the process holds at a time.

    Who asks for more than is left waits, the oldest first, with one exception: one holder at a time may overdraw,
    until it releases. So somebody always goes on, and the overdraft is bounded by what one run keeps.
    """

    def __init__(self, limit: int = BUDGET) -> None:
        self.limit = limit
        self.used = 0
        self._overdrawer: Hold | None = None
        self._waiters: list[_Waiter] = []
        self._begun = 0

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for others to release."""
        return bool(self._waiters)

    def hold(self) -> Hold:
        """Return a share of the budget, empty yet. Who has it must release it."""
        return Hold(self)

    def next_number(self) -> int:
        self._begun += 1
        return self._begun

    async def take(self, hold: Hold, size: int) -> None:
        waiter = _Waiter(hold, size, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._waiters.sort(key=lambda waiting: waiting.hold.since)
        self._serve()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._serve()
            else:  # granted and cancelled in the same turn of the loop
                self.give_back(hold, size)
            raise

    def give_back(self, hold: Hold, size: int) -> None:
        hold.size -= size
        self.used -= size
        if self.used <= self.limit or (hold is self._overdrawer and hold.size == 0):
            self._overdrawer = None
        self._serve()

    def _serve(self) -> None:
        blocked = False
        for waiter in list(self._waiters):
            if waiter.hold is not self._overdrawer and (blocked or self.used + waiter.size > self.limit):
                if self._overdrawer is not None:
                    blocked = True  # the younger do not pass by, only the overdrawer
                    continue
                self._overdrawer = waiter.hold
            self.used += waiter.size
            waiter.hold.size += waiter.size
            self._waiters.remove(waiter)
            waiter.granted.set_result(None)


class Hold:
    """One run's share of the budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size = 0
        self.since = 0  # when it began to hold something, in order of beginning

    async def grow(self, size: int) -> None:
        """Add so many bytes, when the budget has them."""
        if self.size == 0:
            self.since = self._budget.next_number()
        await self._budget.take(self, size)

    def shrink(self, size: int) -> None:
        """Give so many bytes back."""
        self._budget.give_back(self, min(size, self.size))

    def release(self) -> None:
        """Give everything back."""
        self.shrink(self.size)


async def read_body(chunks: AsyncIterator[bytes], answer: Answer, hold: Hold) -> Answer:
    """Read the body that belongs to `answer`, which has none yet, from the chunks as they come over the wire.

    Raises SplitWindow over a cap, Later if it is cut off or broken, Malformed if its encoding is unknown. Of an error
    only the beginning is kept. What was taken from the budget is given back unless the answer is returned.
    """
    pieces: list[bytes] = []
    try:
        await _read(chunks, answer, hold, pieces)
    except BaseException:
        hold.shrink(sum(map(len, pieces)))
        raise
    return replace(answer, body=b"".join(pieces))


async def _read(chunks: AsyncIterator[bytes], answer: Answer, hold: Hold, pieces: list[bytes]) -> None:
    is_error = answer.status >= 300
    length = answer.headers.get("content-length", "")
    if not is_error and length.isdecimal() and int(length) > WIRE_CAP:
        raise SplitWindow(f"{_named(answer)} is {int(length):,} bytes long, more than {WIRE_CAP:,}")
    decoder = _decoder(answer)
    wired = decoded = 0
    async for chunk in chunks:
        wired += len(chunk)
        if wired > WIRE_CAP:
            raise SplitWindow(f"{_named(answer)} is longer than {WIRE_CAP:,} bytes")
        try:
            for unpacked in decoder.feed(chunk):
                piece = unpacked[: ERROR_CAP - decoded] if is_error else unpacked
                decoded += len(piece)
                if not is_error and decoded > DECODED_CAP:
                    raise SplitWindow(f"{_named(answer)} unpacks to more than {DECODED_CAP:,} bytes")
                await hold.grow(len(piece))
                pieces.append(piece)
                if is_error and decoded >= ERROR_CAP:
                    return
        except _Broken:
            raise Later(f"{_named(answer)} is broken: it cannot be unpacked", answer=answer) from None
    if not decoder.complete:
        raise Later(f"{_named(answer)} is cut off: its compression does not end", answer=answer)
    if decoder.unknown:
        raise Malformed(
            f"{_named(answer)} has an encoding that we did not ask for: {decoder.unknown!r}",
            replace(answer, body=b"".join(pieces)),
        )


def _named(answer: Answer) -> str:
    return f"the answer of {answer.request.host}{answer.request.path} ({answer.status})"


class _Decoder(Protocol):
    unknown: str

    @property
    def complete(self) -> bool: ...

    def feed(self, chunk: bytes) -> Iterator[bytes]: ...


def _decoder(answer: Answer) -> _Decoder:
    match answer.headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            return _AsItIs()
        case "gzip" | "x-gzip":
            return _Unpacked(_GZIP)
        case "deflate":
            return _Unpacked(None)
        case other:
            return _AsItIs(unknown=other)


@dataclass
class _AsItIs:
    unknown: str = ""  # an encoding that we cannot take off
    complete: bool = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Unpacked:
    """gzip or deflate, in bounded pieces. An empty body is complete: a 204 may say gzip too."""

    unknown = ""

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits  # None: deflate, whose two forms are told apart by the first byte
        self._unpacker: isal_zlib.Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._unpacker is None or self._unpacker.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        rest, full = chunk, False
        while rest or full:
            if self._unpacker is None or self._unpacker.eof:
                rest = rest if self._unpacker is None else rest.lstrip(b"\0")  # gzip may be padded with zeros
                if not rest:
                    return
                # After the end comes another member of the same gzip, or what is not gzip and raises.
                self._unpacker = isal_zlib.decompressobj(wbits=self._form(rest))
            piece = self._unpacker.decompress(rest, _PIECE)
            rest = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            full = len(piece) == _PIECE and not self._unpacker.eof  # there may be more although all input is used
            if piece:
                yield piece
            elif rest and not self._unpacker.eof:
                raise _Broken("it does not go on")

    def _form(self, start: bytes) -> int:
        if self._wbits is None:
            # RFC 9110 means zlib's wrapper, but some servers send it without: its first byte names method 8.
            self._wbits = _ZLIB if start[0] & 0x0F == 8 else _RAW
        return self._wbits

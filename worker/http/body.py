"""Reading a body under caps: what is wired, what it unpacks to, and how much the process holds at a time.

A body grows in memory up to a part's size and on disk from there on, so what is refused for its size was never held.
A page is read back at its end; a report's file over the cap of a page stays on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from collectors.errors import Blame, Later, Malformed, SplitWindow
from collectors.stream import Answer
from worker.http.spool import PART, Spool
from worker.http.unpacking import Broken, Decoder, decoder_for

WIRE_CAP = 32 * 2**20  # the largest page known is 250,000 rows of stock, about 20 MB gzipped
DECODED_CAP = 64 * 2**20  # PostgreSQL takes 1 GB in a field, but copies it several times
FILE_CAP = 2**30  # of a report's file, wired and decoded; PostgreSQL cannot put more together in a field
ERROR_CAP = 64 * 2**10  # enough to read the reason and to judge it
_BOMB = 200  # times its size on the wire: JSON packs 10 to 30 times, deflate can 1,030 times
_SMALL = 4096  # bytes: pieces of no more than this are put together at once
BUDGET = 48 * 2**20  # six pages of 8 MB, or all usual ones of 50 jobs; a worker takes 230 MB besides


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

    def take_at_once(self, hold: Hold, size: int) -> bool:
        """Take them if they are there, which they never are while somebody waits; tell whether they were."""
        if self.used + size > self.limit:
            return False
        self._grant(hold, size)
        return True

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

    def _grant(self, hold: Hold, size: int) -> None:
        self.used += size
        hold.size += size

    def _serve(self) -> None:
        blocked = False
        for waiter in list(self._waiters):
            if waiter.granted.done():  # cancelled, and about to leave
                continue
            if waiter.hold is not self._overdrawer and (blocked or self.used + waiter.size > self.limit):
                if self._overdrawer is not None:
                    blocked = True  # the younger do not pass by, only the overdrawer
                    continue
                self._overdrawer = waiter.hold
            self._grant(waiter.hold, waiter.size)
            self._waiters.remove(waiter)
            waiter.granted.set_result(None)


class Hold:
    """What one run holds of bodies: its share of the budget, and files on disk."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._spools: list[Spool] = []
        self.size = 0
        self.since = 0  # when it began to hold something, in order of beginning
        self.while_waiting: Callable[[], contextlib.AbstractContextManager[None]] = (
            contextlib.nullcontext
        )  # for the budget

    async def grow(self, size: int) -> None:
        """Add so many bytes, when the budget has them."""
        if self.size == 0:
            self.since = self._budget.next_number()
        if self._budget.take_at_once(self, size):
            return
        with self.while_waiting():
            await self._budget.take(self, size)

    def shrink(self, size: int) -> None:
        """Give so many bytes back."""
        self._budget.give_back(self, min(size, self.size))

    def spool(self) -> Spool:
        """Open a file, which is closed on release at the latest."""
        spool = Spool()
        self._spools.append(spool)
        return spool

    def drop(self, spool: Spool) -> None:
        self._spools.remove(spool)
        spool.close()

    def release(self) -> None:
        """Give everything back."""
        self.shrink(self.size)
        while self._spools:
            self._spools.pop().close()


async def read_body(chunks: AsyncIterator[bytes], answer: Answer, hold: Hold) -> Answer:
    """Read the body that belongs to `answer`, which has none yet, from the chunks as they come over the wire.

    Raises SplitWindow over a cap, Later if it is cut off or broken, Malformed if it is a bomb or of an unknown
    encoding, PutOff if the disk is full. Of an error only the beginning is kept, as far as it can be unpacked: the
    status is what tells. What was taken from the hold is given back unless the answer is returned.
    """
    growing = _Growing(hold)
    try:
        await _read(chunks, answer, growing)
        return await growing.finished(answer)
    except BaseException:
        growing.give_up()
        raise


async def _read(chunks: AsyncIterator[bytes], answer: Answer, growing: _Growing) -> None:
    decoder = decoder_for(answer.headers)
    if answer.status < 300 and not decoder.unknown:
        await _read_data(chunks, decoder, growing, answer)
        return
    await _read_beginning(chunks, decoder, growing)
    if answer.status < 300:
        raise Malformed(
            f"{_named(answer)} has an encoding that we did not ask for: {decoder.unknown!r}",
            replace(answer, body=growing.beginning),
        )


async def _read_beginning(chunks: AsyncIterator[bytes], decoder: Decoder, growing: _Growing) -> None:
    with contextlib.suppress(Broken):
        async for chunk in chunks:
            for piece in decoder.feed(chunk):
                await growing.add(piece[: ERROR_CAP - growing.size])
                if growing.size >= ERROR_CAP:
                    return


async def _read_data(chunks: AsyncIterator[bytes], decoder: Decoder, growing: _Growing, answer: Answer) -> None:
    wire_cap, decoded_cap = (FILE_CAP, FILE_CAP) if answer.request.file else (WIRE_CAP, DECODED_CAP)
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > wire_cap:
        raise SplitWindow(f"{_named(answer)} is {int(length):,} bytes long, more than {wire_cap:,}")
    wired = 0
    async for chunk in chunks:
        wired += len(chunk)
        if wired > wire_cap:
            raise SplitWindow(f"{_named(answer)} is longer than {wire_cap:,} bytes")
        try:
            for piece in decoder.feed(chunk):
                size = growing.size + len(piece)
                if size > max(DECODED_CAP, _BOMB * wired):
                    raise Malformed(
                        f"{_named(answer)} is a bomb: {wired:,} bytes unpack to {size:,} and more",
                        replace(answer, body=growing.beginning),
                    )
                if size > decoded_cap:
                    raise SplitWindow(f"{_named(answer)} unpacks to more than {decoded_cap:,} bytes")
                await growing.add(piece)
        except Broken:
            raise Later(f"{_named(answer)} is broken: it cannot be unpacked", answer=answer, blame=Blame.PATH) from None
    _check_end(decoder, growing, answer)


def _check_end(decoder: Decoder, growing: _Growing, answer: Answer) -> None:
    if not decoder.complete:
        raise Later(f"{_named(answer)} is cut off: its compression does not end", answer=answer, blame=Blame.PATH)
    if "content-length" in answer.headers or "transfer-encoding" in answer.headers or decoder.tells_its_end:
        return
    # It ends where the connection does, and that may have been cut. JSON shows it; a file does not.
    if growing.size and (answer.request.file or growing.ending not in {b"}", b"]"}):
        raise Later(f"{_named(answer)} may be cut off: nothing tells its end", blame=Blame.PATH)


class _Growing:
    """A body as it grows: in memory, and by a part's size at a time on disk.

    Once it is on disk it keeps the part's size that it has of the budget: so much of it may be in memory at a time.
    """

    def __init__(self, hold: Hold) -> None:
        self.size = 0
        self._hold = hold
        self._held = 0
        self._pieces: list[bytes] = []
        self._in_memory = 0
        self._beginning = b""
        self._tail = b""
        self._spool: Spool | None = None

    @property
    def beginning(self) -> bytes:
        return self._beginning or b"".join(self._pieces)[:ERROR_CAP]

    @property
    def ending(self) -> bytes:
        """The last byte that is no space."""
        return self._tail.rstrip()[-1:]

    async def add(self, piece: bytes) -> None:
        if self._spool is None:
            await self._grow(len(piece))
        if self._pieces and len(self._pieces[-1]) + len(piece) <= _SMALL:
            self._pieces[-1] += piece  # they may be a byte each
        else:
            self._pieces.append(piece)
        self._in_memory += len(piece)
        self._tail = (self._tail + piece[-64:])[-64:]
        self.size += len(piece)
        if self._in_memory >= PART:
            await self._spill()

    async def finished(self, answer: Answer) -> Answer:
        """Return the answer with the body; or with its file, if a page's cap is too small for it."""
        if self._spool is None:
            return replace(answer, body=b"".join(self._pieces))
        await self._spill()
        if self.size > DECODED_CAP:
            return replace(answer, body=self._beginning, spool=self._spool)
        await self._grow(self.size - self._held)
        body = await self._spool.whole()
        self._hold.drop(self._spool)
        return replace(answer, body=body)

    def give_up(self) -> None:
        self._hold.shrink(self._held)
        if self._spool is not None:
            self._hold.drop(self._spool)

    async def _grow(self, size: int) -> None:
        await self._hold.grow(size)
        self._held += size

    async def _spill(self) -> None:
        if self._spool is None:
            self._beginning = self.beginning
            self._spool = self._hold.spool()
        pieces, self._pieces, self._in_memory = self._pieces, [], 0
        await self._spool.write(pieces)


def _named(answer: Answer) -> str:
    return f"the answer of {answer.request.host}{answer.request.path} ({answer.status})"

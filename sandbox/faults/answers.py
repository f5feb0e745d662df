"""What an API does with a request once it has read it: each a value that is called with the connection."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from sandbox.faults.wire import Wire

Act = Callable[[Wire], Awaitable[None]]

ROWS = b'{"rows": [{"id": 1}], "next": ""}'
FIRST_OF_TWO = b'{"rows": [{"id": 1}], "next": "2"}'
STRAY = b'{"rows": [{"id": 666}], "next": ""}'
HTML = b"<!doctype html><title>Are you a robot?</title>"
DRIP_EVERY = 0.01  # seconds


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Write the head of an answer."""
    lines = [f"HTTP/1.1 {status} Played", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


@dataclass(frozen=True)
class Reply:
    """A whole answer, in order: `body` is sent as it stands, with its length unless `headers` say otherwise."""

    status: int = 200
    body: bytes = field(default=ROWS, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, wire: Wire) -> None:
        told = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        await wire.send(head(self.status, told) + self.body)


async def hang(wire: Wire) -> None:
    """No byte, for as long as the caller waits."""
    await wire.hang()


async def hang_in_body(wire: Wire) -> None:
    """Half of the body, and then nothing."""
    await wire.send(_half())
    await wire.hang()


async def drip(wire: Wire) -> None:
    """A byte at a time, without end: no read of it takes long."""
    await wire.send(head(200, {"Content-Length": "1000000"}))
    while wire.is_open:
        await wire.send(b" ")
        await asyncio.sleep(DRIP_EVERY)


async def close_in_body(wire: Wire) -> None:
    """Half of the body that was promised, then the connection is closed in order."""
    await wire.send(_half())
    wire.close()


async def reset_in_body(wire: Wire) -> None:
    """Half of the body, then the connection is reset."""
    await wire.send(_half())
    wire.reset()


async def close_in_chunks(wire: Wire) -> None:
    """A chunked body without its last chunk."""
    await wire.send(head(200, {"Transfer-Encoding": "chunked"}) + b"%x\r\n%s\r\n" % (len(ROWS), ROWS))
    wire.close()


@dataclass(frozen=True)
class UntilClosed:
    """A body whose end is the end of the connection, so nothing tells whether it is whole."""

    body: bytes = field(default=ROWS, repr=False)
    content_type: str = "application/json"

    async def __call__(self, wire: Wire) -> None:
        await wire.send(head(200, {"Content-Type": self.content_type, "Connection": "close"}) + self.body)
        wire.close()


async def close_unanswered(wire: Wire) -> None:
    """The request is read and the connection closed: it may have been served or not."""
    wire.close()


async def close_after(wire: Wire) -> None:
    """An answer that lets the connection be kept, which is then closed all the same."""
    await Reply()(wire)
    wire.close()


async def early_hints(wire: Wire) -> None:
    """Two interim answers before the final one."""
    await wire.send(head(103, {"Link": "</style.css>; rel=preload"}) + head(102, {}))
    await Reply()(wire)


async def two_at_once(wire: Wire) -> None:
    """The answer, and in the same packet one that nobody asked for."""
    told = {"Content-Type": "application/json"}
    await wire.send(
        b"".join(head(200, {**told, "Content-Length": str(len(body))}) + body for body in (FIRST_OF_TWO, STRAY))
    )


async def endless_header(wire: Wire) -> None:
    """A header of half a megabyte."""
    await Reply(headers={"X-Padding": "x" * 500_000})(wire)


async def not_http(wire: Wire) -> None:
    """Bytes that are no answer."""
    await wire.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    wire.close()


def _half() -> bytes:
    return head(200, {"Content-Type": "application/json", "Content-Length": str(len(ROWS))}) + ROWS[: len(ROWS) // 2]


def length_off(by: int) -> Reply:
    """Return an answer that says its length wrongly."""
    return Reply(headers={"Content-Length": str(len(ROWS) + by)})


def zipped(body: bytes, encoding: str = "gzip", status: int = 200) -> Reply:
    """Return an answer that says `encoding` of a body that is sent as it stands."""
    return Reply(status, body, {"Content-Encoding": encoding})


def gzip_cut() -> Reply:
    """Return a gzip without its end, and the length that belongs to what is there."""
    return zipped(gzip.compress(ROWS)[:-12])


def gzip_corrupt() -> Reply:
    """Return a gzip whose checksum is of something else."""
    packed = bytearray(gzip.compress(ROWS))
    packed[-8] ^= 0xFF
    return zipped(bytes(packed))


@dataclass(frozen=True)
class Bomb:
    """A gzip that is a thousand times smaller than what it holds."""

    unpacked: int

    async def __call__(self, wire: Wire) -> None:
        packer = zlib.compressobj(9, wbits=31)
        piece = bytes(1 << 20)
        packed = b"".join(packer.compress(piece) for _ in range(self.unpacked >> 20)) + packer.flush()
        await zipped(packed)(wire)


@dataclass(frozen=True)
class Flood:
    """So many bytes of body: declared at the start, or chunk by chunk."""

    size: int
    declared: bool
    status: int = 200

    async def __call__(self, wire: Wire) -> None:
        piece = b" " * (1 << 16)
        told = {"Content-Length": str(self.size)} if self.declared else {"Transfer-Encoding": "chunked"}
        await wire.send(head(self.status, {"Content-Type": "application/json", **told}))
        for _ in range(self.size >> 16):
            await wire.send(piece if self.declared else b"%x\r\n%s\r\n" % (len(piece), piece))
        if not self.declared:
            await wire.send(b"0\r\n\r\n")


@dataclass(frozen=True)
class Until:
    """A refusal whose header gives the moment when the wait is over, by a clock that is not ours."""

    status: int
    header: str
    wait: timedelta
    clock_off: timedelta
    body: bytes = field(default=b"{}", repr=False)

    async def __call__(self, wire: Wire) -> None:
        now = datetime.now(UTC) + self.clock_off
        dates = {"Date": format_datetime(now, usegmt=True), self.header: format_datetime(now + self.wait, usegmt=True)}
        await Reply(self.status, self.body, dates)(wire)


@dataclass(frozen=True)
class Dated:
    """A good answer from a server whose clock, or ours, is wrong."""

    clock_off: timedelta

    async def __call__(self, wire: Wire) -> None:
        now = datetime.now(UTC) + self.clock_off
        await Reply(headers={"Date": format_datetime(now, usegmt=True)})(wire)

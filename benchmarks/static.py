"""`python -m benchmarks.static HOME HTTP HTTPS HTTP HTTPS PROXY`: pages without nginx, and a proxy that tunnels.

The first two ports answer with pages as they are, the next two with packed ones, as `benchmarks/server.py` says. A port
that is 0 is not opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import cache
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import uvloop

from sandbox.authority import authority

_CHUNK = 256 << 10


class Pages(asyncio.Protocol):
    """Answers GET requests from memory, one after the other."""

    def __init__(self, home: Path, *, packed: bool) -> None:
        self._home = home
        self._packed = packed
        self._asked = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's with TLS only looks like one

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            head, _, self._asked = self._asked.partition(b"\r\n\r\n")
            self._transport.write(_answer(self._home, head.split(b" ", 2)[1].decode(), self._packed))


@cache
def _answer(home: Path, target: str, packed: bool) -> bytes:
    parts = urlsplit(target)
    page = parse_qs(parts.query).get("cursor", ["0"])[0]
    file = home / "pages" / parts.path.strip("/").removesuffix("/goods") / f"{page}.json{'.gz' if packed else ''}"
    body = file.read_bytes()
    encoding = "Content-Encoding: gzip\r\n" if packed else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{encoding}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do what CONNECT asks for, whoever asks."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:  # somebody looked whether we are there
        writer.close()
        return
    host, _, port = head.split(b" ", 2)[1].decode().rpartition(":")
    there_reader, there_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


async def serve(home: Path, ports: list[int]) -> None:
    loop, context = asyncio.get_running_loop(), authority(home).server_context()
    for number, port in enumerate(ports[:4]):
        packed = number >= 2
        if port:
            await loop.create_server(
                lambda packed=packed: Pages(home, packed=packed),
                "127.0.0.1",
                port,
                ssl=context if number % 2 else None,
            )
    if ports[4]:
        await asyncio.start_server(tunnel, "127.0.0.1", ports[4])
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]))

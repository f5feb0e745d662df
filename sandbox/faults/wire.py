"""One connection as a player holds it, and a listener that hands connections out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

Certificate = Literal["good", "of an unknown authority", "of another name", "expired"]


class Wire:
    """One connection, from the side of the one who misbehaves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def is_open(self) -> bool:
        return not self.writer.is_closing()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Read up to the empty line that ends a message's head. Raises IncompleteReadError if it never comes."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def secure(self, context: ssl.SSLContext) -> None:
        """Become the server's side of TLS. Raises OSError if the client does not trust it."""
        await self.writer.start_tls(context, ssl_handshake_timeout=5)

    async def hang(self) -> None:
        """Say nothing until the other side goes."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        """End in order: what was sent arrives."""
        self.writer.close()

    def reset(self) -> None:
        """End without a word, as a cable that is pulled or a server that dies."""
        self.writer.transport.abort()


Accept = Callable[[Wire], Awaitable[None]]


class Listener:
    """A port of this machine. Whatever is under way when it ends is cut off."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen; yields the port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            # The other side may go at any moment, and we may be told to stop: neither is worth a word.
            with suppress(OSError, EOFError, asyncio.CancelledError):
                await self._accept(Wire(reader, writer))
        finally:
            self._open.discard(task)
            writer.close()

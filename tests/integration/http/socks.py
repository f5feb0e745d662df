"""A SOCKS5 proxy on a real socket: greeting, user and password (RFC 1929), CONNECT (RFC 1928)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.integration.http.peers import copy

_NO_PASSWORD, _PASSWORD, _NONE_ACCEPTED = 0, 2, 0xFF
_NAME = 3  # the kind of address that is a host's name; 1 and 4 are numbers
_REFUSED = 5


class Socks:
    """`fault`: at which step the next tunnels hang or are refused, "" being nothing wrong."""

    def __init__(self, credentials: tuple[str, str] | None = None) -> None:
        self.port = 0
        self.fault = ""
        self.names: list[str] = []  # that were asked for
        self.open = 0  # connections at the moment
        self._credentials = credentials
        self._tasks: set[asyncio.Task[None]] = set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "silent":
            await reader.read()
        if self.fault == "not SOCKS":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if self.fault in {"silent", "not SOCKS", "closes"}:
            return
        _, methods = await reader.readexactly(2)
        offered = await reader.readexactly(methods)
        wanted = _NO_PASSWORD if self._credentials is None else _PASSWORD
        writer.write(bytes((5, wanted if wanted in offered else _NONE_ACCEPTED)))
        if wanted not in offered or (wanted == _PASSWORD and not await self._is_let_in(reader, writer)):
            return
        await reader.readexactly(3)
        kind = (await reader.readexactly(1))[0]
        assert kind == _NAME, "the host's name is the proxy's to look up"
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.names.append(host)
        refused = self.fault == "refused"
        writer.write(bytes((5, _REFUSED if refused else 0, 0, 1, 0, 0, 0, 0, 0, 0)))
        if refused:
            return
        there_reader, there_writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
        finally:
            there_writer.close()

    async def _is_let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readexactly(1)
        given = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        is_right = tuple(given) == self._credentials
        writer.write(bytes((1, 0 if is_right else 1)))
        return is_right

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Socks"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

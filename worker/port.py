"""The HTTP port of a process, for those who watch it: a few fixed pages, answered by the worker's own loop.

On the loop, because an answer from a thread would say nothing of it. By h11, which httpcore brings along: it reads and
writes HTTP/1.1 by the book and does no I/O. aiohttp or uvicorn would serve the same pages with a framework around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import h11
import structlog

log = structlog.get_logger(__name__)

_LONGEST_REQUEST = 8 << 10  # bytes of its head
_REQUEST_WITHIN = 5.0  # seconds
_READ_WITHIN = 1.0
_ANSWER_WITHIN = 15.0  # seconds; Prometheus gives up after 10
_MOST_CONNECTIONS = 32  # at a time; who comes later is sent away

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class PortUnavailable(Exception):
    """The port cannot be opened. The message is one sentence: what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where a process answers those who watch it. Port 0 takes any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def of_process(self, number: int) -> HttpAddress:
        """Return where the process of this number answers, if several of one worker run: the first is 0."""
        return self if self.port == 0 else replace(self, port=self.port + number)


def http_address(text: str) -> HttpAddress:
    """Read `9464` (this machine only), `0.0.0.0:9464` or `[::]:9464`. Raises ValueError with a sentence."""
    host, _, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdecimal() and int(port) < 2**16) or (":" in host and bare == host):
        raise ValueError("must be a port or an address with one, as in 9464, 0.0.0.0:9464 or [::]:9464")
    return HttpAddress(bare or "127.0.0.1", int(port))


@dataclass(frozen=True)
class Reply:
    """What a page says. `kind` is its content type."""

    status: int
    body: bytes
    kind: str = TEXT


Page = Callable[[], Awaitable[Reply]]


@asynccontextmanager
async def serving(address: HttpAddress, pages: Mapping[str, Page]) -> AsyncIterator[int]:
    """Answer GET and HEAD of the pages, by path, until the block is left; yields the port. Raises PortUnavailable."""
    conversations: set[asyncio.Task[None]] = set()

    def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(conversations) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(_converse(reader, writer, pages))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    try:
        server = await asyncio.start_server(converse, address.host, address.port, limit=_LONGEST_REQUEST)
    except (OSError, OverflowError) as error:
        raise PortUnavailable(
            f"the HTTP port {address} cannot be opened ({getattr(error, 'strerror', None) or error}): "
            "give this process another one with COLLECTOR_HTTP_ADDRESS"
        ) from error
    port: int = server.sockets[0].getsockname()[1]
    log.info("http port open", host=address.host, port=port, pages=sorted(pages))
    try:
        yield port
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pages: Mapping[str, Page]) -> None:
    """Answer one request and close, whatever comes."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_REQUEST)
    request = None
    try:
        try:
            async with asyncio.timeout(_REQUEST_WITHIN):
                request = await _read_request(connection, reader)
        except h11.RemoteProtocolError as error:
            reply = Reply(error.error_status_hint, f"{error}\n".encode())
        except TimeoutError:
            reply = Reply(408, b"the request did not come in time\n")
        else:
            if request is None:
                return
            reply = await _reply(request, pages)
        async with asyncio.timeout(_ANSWER_WITHIN):
            await _send(connection, writer, reply, head_only=request is not None and request.method == b"HEAD")
            await _let_them_read(reader, writer)
    except (OSError, h11.LocalProtocolError):  # OSError has TimeoutError below it: whoever asked has left
        writer.transport.abort()
    finally:
        writer.close()


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Read the head of a request. None: they hung up. Raises h11.RemoteProtocolError for anything but HTTP."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_LONGEST_REQUEST))
    return event if isinstance(event, h11.Request) else None


async def _reply(request: h11.Request, pages: Mapping[str, Page]) -> Reply:
    page = pages.get(request.target.partition(b"?")[0].decode("latin-1"))
    if page is None:
        return Reply(404, f"there are {', '.join(sorted(pages))}\n".encode())
    if request.method not in {b"GET", b"HEAD"}:
        return Reply(405, b"only GET and HEAD are answered\n")
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            return await page()
    except TimeoutError:
        return Reply(503, b"no answer in time\n")
    except Exception:
        # The border of the port: a mistake of ours is for our log, not for whoever asked.
        log.exception("a mistake of ours", page=request.target.decode("latin-1"))
        return Reply(500, b"a mistake of ours: see the log\n")


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, reply: Reply, *, head_only: bool) -> None:
    headers = [
        ("Content-Type", reply.kind),
        ("Content-Length", str(len(reply.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if reply.status == 405:
        headers.append(("Allow", "GET, HEAD"))
    writer.write(connection.send(h11.Response(status_code=reply.status, headers=headers)) or b"")
    if not head_only:
        writer.write(reply.body)
    await writer.drain()


async def _let_them_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until they hang up: closing with something unread would reset the connection, and the answer with it."""
    if writer.transport.is_closing():
        return
    writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ_WITHIN):
            while await reader.read(_LONGEST_REQUEST):
                pass

"""The other side, on real sockets: an API that answers as it is told, and a proxy that may misbehave."""

import asyncio
import base64
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from collectors.refusals import judge_status
from collectors.stream import Bucket, Fetch, Mark, Marketplace, Page, Request, Secret, Snapshot, Stream, Walk

HOST = "api.vendor.example"
FILES = "files.vendor.example"
CANARY = "canary-7f3a"


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Api:
    """Answers `replies` in their order and 200 afterwards, unless `answering` is set."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: deque[Reply] = deque()
        self.answering: Answering | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.seen.append(Seen(request.method, request.host, request.path_qs, headers, body, time.monotonic()))
        if self.answering is not None:
            return await self.answering(request)
        reply = self.replies.popleft() if self.replies else Reply()
        return web.Response(
            status=reply.status, body=reply.body, headers={"Content-Type": "application/json"} | dict(reply.headers)
        )

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator["Api"]:
        runner = web.ServerRunner(web.Server(self.answer), handle_signals=False, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


class Tunnel:
    """A proxy that knows CONNECT. `fault`: what it does to the next tunnels, "" being nothing wrong.

    It goes out by the address `egress`; all of 127.0.0.0/8 are this machine's.
    """

    def __init__(self, credentials: tuple[str, str] | None = None, *, egress: str = "127.0.0.1") -> None:
        self._egress = egress
        self.port = 0
        self.connects = 0
        self.fault = ""
        self._wanted = None if credentials is None else base64.b64encode(":".join(credentials).encode()).decode()
        self._open: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many tunnels there are now."""
        return len(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._tunnel(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.connects += 1
        if self._wanted is not None and f"Basic {self._wanted}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        if self.fault == "silent":
            await reader.read()  # until the other side closes
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if self.fault == "not TLS":
            writer.write(b"<html>welcome to the hotel</html>")
            await reader.read(100)
            return
        host, port = head.split()[1].rsplit(":", 1)
        there_reader, there_writer = await asyncio.open_connection(host, int(port), local_addr=(self._egress, 0))
        try:
            await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
        finally:
            there_writer.close()

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Tunnel"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(65536):
        sink.write(chunk)
        await sink.drain()
    sink.close()


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Authorization": secret["token"]}


VENDOR = Marketplace(
    name="vendor",
    hosts=frozenset({HOST}),
    sign=sign,
    judge=judge_status,
    file_hosts=(".vendor.example",),
)


async def no_pages(_: Fetch, __: Walk) -> AsyncGenerator[Page | Mark, None]:
    """Nothing: these tests fetch by themselves."""
    pages: tuple[Page, ...] = ()
    for page in pages:
        yield page


def stream_of(*buckets: Bucket) -> Stream:
    return Stream(
        marketplace=VENDOR,
        name="orders",
        about="orders",
        progress=Snapshot(),
        pages=no_pages,
        buckets=buckets,
        every=timedelta(hours=1),
    )


def asked(path: str = "/orders", *, host: str = HOST, signed: bool = True, repeatable: bool = True) -> Request:
    return Request(method="GET", host=host, path=path, signed=signed, repeatable=repeatable)

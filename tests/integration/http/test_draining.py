"""What one read takes of a TLS connection, over httpcore's own backend and a transport in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import httpcore
import pytest
from anyio.streams.stapled import StapledObjectStream
from httpcore._backends.anyio import AnyIOStream

from tests.integration.http.conftest import StartTunnel
from tests.integration.http.peers import Api, Reply
from worker.http.draining import Draining, DrainingBackend
from worker.http.pools import Pools
from worker.http.proxies import Proxy

RECORD = bytes(1_000)
ENOUGH = 2**16
LARGEST_RECORD = 2**14  # RFC 8446, 5.1


class Server:
    """The other end: what it says comes when it is told to send, all together."""

    def __init__(self, context: ssl.SSLContext) -> None:
        to_server, self._heard = anyio.create_memory_object_stream[bytes](100)
        self._say, from_server = anyio.create_memory_object_stream[bytes](100)
        client = StapledObjectStream(to_server, from_server)
        self.stream = AnyIOStream(client)  # type: ignore[arg-type]  # bytes are objects too
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                self._in.write(await self._heard.receive())
            else:
                self.send()
                return

    def send(self, garbage: bytes = b"") -> None:
        """Send all that was written since the last time, and something that is not TLS behind it."""
        if self._out.pending or garbage:
            self._say.send_nowait(self._out.read() + garbage)

    def hang_up(self) -> None:
        self._say.close()
        self._heard.close()


@asynccontextmanager
async def connected(server: Server, context: ssl.SSLContext) -> AsyncIterator[httpcore.AsyncNetworkStream]:
    async with asyncio.timeout(10):
        _, stream = await asyncio.gather(
            server.shake_hands(), Draining(server.stream).start_tls(context, server_hostname="localhost")
        )
        yield stream


@pytest.fixture
async def server(server_context: ssl.SSLContext) -> AsyncIterator[Server]:
    server = Server(server_context)
    yield server
    server.hang_up()
    await server.stream.aclose()


async def test_a_read_takes_all_records_that_have_come(server: Server, client_context: ssl.SSLContext) -> None:
    async with connected(server, client_context) as stream:
        for _ in range(4):
            server.tls.write(RECORD)
        server.send()
        assert len(await stream.read(ENOUGH)) == 4 * len(RECORD)


async def test_a_read_takes_no_more_than_it_is_asked_for(server: Server, client_context: ssl.SSLContext) -> None:
    async with connected(server, client_context) as stream:
        for _ in range(4):
            server.tls.write(RECORD)
        server.send()
        assert [len(await stream.read(2_500)) for _ in range(2)] == [2_500, 1_500]


async def test_a_record_that_has_come_in_part_is_waited_for(server: Server, client_context: ssl.SSLContext) -> None:
    async with connected(server, client_context) as stream:
        server.tls.write(RECORD)
        server.send(garbage=b"\x17\x03\x03")  # how a record of data begins
        assert await stream.read(ENOUGH) == RECORD
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(ENOUGH, timeout=0.01)


async def test_what_came_before_the_end_is_read_and_then_the_end(
    server: Server, client_context: ssl.SSLContext
) -> None:
    async with connected(server, client_context) as stream:
        server.tls.write(RECORD)
        with pytest.raises(ssl.SSLWantReadError):
            server.tls.unwrap()  # says good-bye, and would wait for ours
        server.send()
        server.hang_up()
        assert [await stream.read(ENOUGH) for _ in range(3)] == [RECORD, b"", b""]


async def test_what_came_before_rubbish_is_read_and_then_the_error(
    server: Server, client_context: ssl.SSLContext
) -> None:
    async with connected(server, client_context) as stream:
        server.tls.write(RECORD)
        server.send(garbage=b"this is no record")
        assert await stream.read(ENOUGH) == RECORD
        for _ in range(2):
            with pytest.raises((ssl.SSLError, httpcore.ReadError)):
                await stream.read(ENOUGH)


async def test_without_tls_a_read_takes_what_it_took_before() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        stream = await DrainingBackend(httpcore.AnyIOBackend()).connect_tcp("127.0.0.1", port)
        assert [await stream.read(ENOUGH) for _ in range(2)] == [b"HTTP/1.1 200 OK", b""]
        await stream.aclose()


@pytest.mark.parametrize("tls", [False, True])
async def test_an_idle_connection_is_readable_once_something_has_come(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, *, tls: bool
) -> None:
    go_on, sent, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(RECORD)
        await go_on.wait()
        writer.write(RECORD)
        await writer.drain()
        sent.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    context = server_context if tls else None
    async with await asyncio.start_server(answer, "127.0.0.1", ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        stream = await DrainingBackend(httpcore.AnyIOBackend()).connect_tcp("127.0.0.1", port)
        if tls:
            stream = await stream.start_tls(client_context, server_hostname="localhost")
        assert await stream.read(ENOUGH) == RECORD
        assert not stream.get_extra_info("is_readable")
        go_on.set()
        await sent.wait()
        assert stream.get_extra_info("is_readable")
        assert await stream.read(ENOUGH) == RECORD
        assert not stream.get_extra_info("is_readable")
        await stream.aclose()
        await ended.wait()
        assert stream.get_extra_info("is_readable"), "it is closed, and serves nobody any more"


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_a_body_is_read_by_more_than_a_record_at_a_time(
    api: Api, tunnels: StartTunnel, client_context: ssl.SSLContext, *, through_proxy: bool
) -> None:
    proxy = Proxy(name="p1", group="g", url=f"http://localhost:{(await tunnels()).port}") if through_proxy else None
    api.replies.append(Reply(body=bytes(2**20)))
    pools = Pools(client_context)
    async with pools.stream(proxy, "GET", api.url, headers={"Host": "localhost"}, trace=nothing) as response:
        chunks = [len(chunk) async for chunk in response.aiter_raw()]
    assert sum(chunks) == 2**20
    assert max(chunks) > LARGEST_RECORD
    await pools.aclose()


async def nothing(_: str, __: Mapping[str, object]) -> None: ...

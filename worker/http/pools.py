"""One small pool of connections per proxy, over transports that are replaced when they may have lost a slot.

httpx 0.28.1 (httpcore 1.0.9) loses a slot of its pool for ever when TLS fails after CONNECT, and sometimes when a
request is cancelled; after `_CONNECTIONS` such events a proxy would answer nothing but PoolTimeout. Open upstream:
encode/httpcore #1049, #1093, #1110. Hence `_Guarded`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpx
from socksio import SOCKSError

from worker.http.draining import DrainingBackend
from worker.http.proxies import Proxy

# httpx 0.28's pool costs O(connections²) per request, so it is kept small; a proxy has few accounts.
_CONNECTIONS = 6
_DIRECT_CONNECTIONS = 20  # all accounts without a proxy share it
# Below the 60-75 s after which proxies and load balancers drop an idle connection.
_KEEPALIVE_SECONDS = 40.0
_TIMEOUT = httpx.Timeout(connect=5.0, read=30.0, write=10.0, pool=5.0)
_MAY_HAVE_LOST_A_SLOT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, asyncio.CancelledError)


def trusted(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trust certifi's authorities, and those of `ca_file`. Made once: it costs 20 ms and almost 1 MB."""
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class Pools:
    """The pools of the process: one per proxy and one for accounts without, made when first used.

    None of them holds credentials of an account, or anything of the environment. One that was not asked for in
    `idle_after` seconds, which is longer than any request, is closed with its connections.
    """

    def __init__(self, context: ssl.SSLContext, *, idle_after: float = 600.0) -> None:
        self._context = context
        self._idle_after = idle_after
        self._pools: dict[Proxy | None, _Kept] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closings: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._pools)

    @asynccontextmanager
    async def stream(
        self,
        proxy: Proxy | None,
        method: str,
        url: str,
        *,
        params: str | Mapping[str, str | int] | None = None,
        headers: Mapping[str, str],
        content: bytes | None = None,
        trace: Callable[[str, Mapping[str, object]], Awaitable[None]],
    ) -> AsyncIterator[httpx.Response]:
        """Send a request through this proxy, or directly, and give its answer, whose body is read by `aiter_raw`.

        No redirect is followed, and no cookie kept: one pool serves many accounts. (httpx's client, told to do neither,
        would add 100 us to the 500 of a request.) `trace` as httpcore has it.
        """
        extensions = {"timeout": _TIMEOUT.as_dict(), "trace": trace}
        request = httpx.Request(
            method, url, params=params or None, headers=headers, content=content, extensions=extensions
        )
        response = await self.transport(proxy).handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    def transport(self, proxy: Proxy | None) -> httpx.AsyncBaseTransport:
        """Return what goes through this proxy; None: directly. Call it anew for each request."""
        loop = asyncio.get_running_loop()
        kept = self._pools.get(proxy)
        if kept is None:
            kept = self._pools[proxy] = self._make(proxy)
        kept.asked_at = loop.time()
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_after / 10, self._close_idle)
        return kept.transport

    def distrust(self, proxy: Proxy | None) -> None:
        """Send nothing more over the connections of this proxy; what is under way on them goes on."""
        if proxy in self._pools:
            self._pools[proxy].transport.renew()

    async def aclose(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        pools, self._pools = self._pools, {}
        for kept in pools.values():
            await kept.transport.aclose()
        while self._closings:
            await asyncio.gather(*self._closings)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        idle = [proxy for proxy, kept in self._pools.items() if loop.time() - kept.asked_at > self._idle_after]
        for proxy in idle:
            closing = loop.create_task(self._pools.pop(proxy).transport.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
        self._sweep = loop.call_later(self._idle_after / 10, self._close_idle) if self._pools else None

    def _make(self, proxy: Proxy | None) -> _Kept:
        connections = _DIRECT_CONNECTIONS if proxy is None else _CONNECTIONS

        def transport() -> httpx.AsyncHTTPTransport:
            transport = httpx.AsyncHTTPTransport(
                verify=self._context,
                trust_env=False,
                http2=False,
                limits=httpx.Limits(
                    max_connections=connections,
                    max_keepalive_connections=connections,
                    keepalive_expiry=_KEEPALIVE_SECONDS,
                ),
                proxy=None if proxy is None else self._through(proxy),
            )
            pool = transport._pool  # noqa: SLF001 - httpx 0.28 has no other way to give it a backend
            pool._network_backend = DrainingBackend(pool._network_backend)  # noqa: SLF001 - as above
            return transport

        return _Kept(_Guarded(transport))

    def _through(self, proxy: Proxy) -> httpx.Proxy:
        context = self._context if proxy.url.startswith("https:") else None
        return httpx.Proxy(proxy.url, auth=proxy.credentials, ssl_context=context)


@dataclass
class _Kept:
    transport: _Guarded
    asked_at: float = 0.0  # by the loop's clock


class _Generation:
    """One transport, and how many requests are still on it."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.requests = 0
        self.retired = False


class _Guarded(httpx.AsyncBaseTransport):
    """A transport that is replaced when it may have lost a slot. The old one is closed after its last request."""

    def __init__(self, make: Callable[[], httpx.AsyncHTTPTransport]) -> None:
        self._make = make
        self._current = _Generation(make())
        self._closings: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        generation = self._current
        generation.requests += 1
        try:
            response = await generation.transport.handle_async_request(request)
        except SOCKSError:
            # The proxy closed the connection in the handshake, or does not speak SOCKS: httpcore lets this through.
            self._leave(generation)
            raise httpx.ProxyError("the handshake is not SOCKS5", request=request) from None
        except BaseException as error:
            if isinstance(error, _MAY_HAVE_LOST_A_SLOT):
                self._replace(generation)
            self._leave(generation)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(
            response.stream,
            on_doubt=lambda: self._replace(generation),
            on_close=lambda: self._leave(generation),
        )
        return response

    def renew(self) -> None:
        """Use another transport from now on."""
        before = self._current
        self._replace(before)
        if before.requests == 0:
            self._close(before)

    async def aclose(self) -> None:
        self._close(self._current)
        while self._closings:
            await asyncio.gather(*self._closings)

    def _replace(self, generation: _Generation) -> None:
        if generation is self._current:
            self._current = _Generation(self._make())
            generation.retired = True

    def _leave(self, generation: _Generation) -> None:
        generation.requests -= 1
        if generation.retired and generation.requests == 0:
            self._close(generation)

    def _close(self, generation: _Generation) -> None:
        # In a task of its own: who leaves last may be in the middle of being cancelled.
        closing = asyncio.get_running_loop().create_task(_close_quietly(generation.transport))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)


async def _close_quietly(transport: httpx.AsyncHTTPTransport) -> None:
    with contextlib.suppress(httpx.HTTPError, OSError):  # what it says of a dead connection interests nobody
        await transport.aclose()


class _Counted(httpx.AsyncByteStream):
    """A body that tells when it was closed, and whether its transport may have lost a slot meanwhile."""

    def __init__(
        self, stream: httpx.AsyncByteStream, *, on_doubt: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._on_doubt = on_doubt
        self._on_close = on_close
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except asyncio.CancelledError:
            self._on_doubt()
            raise

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        _give_up_if_more_came(self._stream)
        try:
            await self._stream.aclose()
        finally:
            self._on_close()


def _give_up_if_more_came(stream: httpx.AsyncByteStream) -> None:
    """Have the connection closed with this answer if it holds bytes behind it.

    httpx would take them for the answer of the next request, which may be another tenant's and may wait for this very
    connection. Only h11's state knows, and there is no public way to it (httpcore 1.0.9).
    """
    connection = stream._httpcore_stream._stream._connection  # type: ignore[attr-defined]  # noqa: SLF001
    trailing, _ = connection._h11_state.trailing_data  # noqa: SLF001
    if trailing:
        connection._h11_state.send_failed()  # noqa: SLF001 - httpcore keeps no connection in this state

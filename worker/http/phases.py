"""How far an attempt got, and what its failure therefore means: the one place that knows httpx's errors.

Until the connection is up (TCP, CONNECT, TLS) a failure is the proxy's and the request was surely not sent; after that
it is the API's or the way's. The exceptions do not tell: a proxy that hangs and an API that hangs are both ReadTimeout.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import httpcore
import httpx
import structlog

from collectors.errors import Blame, CollectError, Later, OtherProxy, PutOff
from worker.http.proxies import Proxy

log = structlog.get_logger(__name__)

TUNNEL_DEADLINE = 15.0  # seconds until the connection is up; httpx would wait for CONNECT as long as for an answer
TOTAL_DEADLINE = 120.0  # seconds; httpx's timeouts are per read, so a drip of bytes never trips them
_BUSY_WAIT = timedelta(seconds=2)


class DeadConnection(Later):
    """A kept connection had been closed by the other side: nobody's fault. At once again, once."""


class NotSent(Later):
    """The request surely never left, so even one that makes something may be repeated."""


class NoConnection(PutOff):
    """All connections of this process are busy: nobody else's fault."""

    blame = Blame.US


class Attempt:
    """How far one attempt got. `trace` is httpcore's extension of that name."""

    def __init__(self, named: str, proxy: Proxy | None) -> None:
        self._named = named  # method, host and path: what may stand in a message
        self._proxy = proxy
        self._deadline = asyncio.timeout(TUNNEL_DEADLINE)
        self._started = 0.0
        self._connecting = False
        self._step = ""  # the last one that began
        self._socket: httpcore.AsyncNetworkStream | None = None
        self._up_at = _up_at(proxy)
        self.is_up = False
        self.was_reused = False
        self.has_answered = False

    async def trace(self, event: str, told: Mapping[str, object]) -> None:
        if self.is_up:
            return
        if event.endswith(".started"):
            self._step = event
        if event.endswith(".connect_tcp.started"):
            self._connecting = True
        elif event.endswith(".connect_tcp.complete"):
            stream = told["return_value"]
            assert isinstance(stream, httpcore.AsyncNetworkStream)
            self._socket = stream
        elif event == self._up_at:
            self._is_up()
        elif event == "http11.send_request_headers.started" and not self._connecting:
            self.was_reused = True
            self._is_up()

    def _is_up(self) -> None:
        self.is_up = True
        self._deadline.reschedule(self._started + TOTAL_DEADLINE)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Hold the body of an attempt to its deadlines and raise its failure as `collectors.errors` names it."""
        self._started = asyncio.get_running_loop().time()
        try:
            async with self._deadline:
                yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, TimeoutError) as error:
            # An OSError is TLS that breaks after its handshake: httpcore lets it through.
            await self._close_half_open()
            # Not chained: the error carries the request, whose headers are the credentials.
            raise self._meaning(error) from None
        except asyncio.CancelledError:
            await self._close_half_open()
            raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock while we wait for ourselves."""
        loop, deadline = asyncio.get_running_loop(), self._deadline.when()
        began = loop.time()
        self._deadline.reschedule(None)
        try:
            yield
        finally:
            if deadline is not None and not self._deadline.expired():
                self._deadline.reschedule(deadline + loop.time() - began)

    async def _close_half_open(self) -> None:
        # httpcore forgets a socket whose TLS was cut off by a cancellation; it would stay open until it is collected.
        if self._socket is not None and not self.is_up:
            await self._socket.aclose()

    def _meaning(self, error: Exception) -> CollectError:  # noqa: PLR0911 - one for each meaning
        told = f"{self._named}: {_words(error)}"
        through = "" if self._proxy is None else f" through proxy {self._proxy.name}"
        if _is_untrusted(error):
            log.error("a certificate is not trusted: nothing was sent", error=f"{told}{through}")
        match error:
            case httpx.PoolTimeout():
                return NoConnection(f"{told}: no connection was free{through}", wait=_BUSY_WAIT)
            case httpx.InvalidURL() | httpx.UnsupportedProtocol():
                return NotSent(told, blame=Blame.US)
            case _ if not self.is_up and self._proxy is not None:
                return self._proxy_failed(error, f"{told}: proxy {self._proxy.name} brought no connection")
            case _ if not self.is_up:
                return NotSent(f"{told}: no connection", blame=Blame.API if _is_untrusted(error) else Blame.PATH)
            case TimeoutError():
                late = f"{told}: not finished within {TOTAL_DEADLINE:.0f} s{through}"
                return Later(late, blame=Blame.PATH, too_much=True)
            case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.WriteError() if (
                self.was_reused and not self.has_answered
            ):
                return DeadConnection(f"{told}: a kept connection was closed{through}", blame=Blame.NOBODY)
        return Later(f"{told}{through}", blame=Blame.PATH, too_much=isinstance(error, httpx.ReadTimeout))

    def _proxy_failed(self, error: Exception, told: str) -> OtherProxy:
        match error:
            case httpx.ProxyError() if str(error)[:3] in {"402", "407", "Inv"}:  # its payment, its password (SOCKS too)
                return OtherProxy(told, lasting=True)
            case httpx.ProxyError() if str(error)[:3] in {"403", "429"}:  # it will not bring us there, or not now
                return OtherProxy(told, points=3.0)
            case httpx.ProxyError() if str(error)[:1] == "5":  # what lies behind it may be at fault
                return OtherProxy(told, points=0.5)
            case _ if _is_untrusted(error):
                # Whoever shows it in the tunnel may be the proxy or the API: another proxy tells.
                in_tunnel = self._step == f"{_tunnel(self._proxy)}.start_tls.started"
                return OtherProxy(told, blame=Blame.PATH if in_tunnel else Blame.PROXY, lasting=True)
        return OtherProxy(told)


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _up_at(proxy: Proxy | None) -> str:
    """Name the event after which we speak to the marketplace itself, by TLS always."""
    return f"{_tunnel(proxy)}.start_tls.complete"


def _tunnel(proxy: Proxy | None) -> str:
    if proxy is None:
        return "connection"
    return "socks" if proxy.url.startswith("socks5:") else "proxy"


def _words(error: Exception) -> str:
    """Say what happened. The words of most errors may quote the request; these two quote the network only."""
    match error:
        case httpx.ProxyError():
            words = str(error)  # of an HTTP proxy the status and the proxy's own text; of SOCKS they are the library's
            return f"ProxyError {words[:3] if words[:3].isdigit() else words}"
        case httpx.ConnectError():
            return f"ConnectError {error}"
    return type(error).__name__

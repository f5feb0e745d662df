"""A proxy that does as it is told, for HTTP (over TCP or TLS) and SOCKS5."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from sandbox.faults.answers import DRIP_EVERY
from sandbox.faults.api import Greeting
from sandbox.faults.wire import Certificate, Listener, Wire

if TYPE_CHECKING:  # the table is read where trustme is not installed
    from sandbox.faults.certificates import Certificates

Kind = Literal["http", "https", "socks5"]
WORDS = ("ann", "s3cret-w0rds")  # what proxies with a password are used with
TunnelAct = Callable[["Tunnel"], Awaitable[None]]


class Tunnel:
    """One connection to a proxy, on its way to be a tunnel."""

    def __init__(self, wire: Wire, proxy: FaultProxy) -> None:
        self.wire = wire
        self.proxy = proxy
        self.host = ""
        self.port = 0

    async def asked(self) -> None:
        """Read where the tunnel is to lead. Raises ConnectionError after refusing a wrong password."""
        if self.proxy.kind == "socks5":
            await self._asked_by_socks()
            return
        head = (await self.wire.head()).decode()
        self._leads_to(head.split()[1])
        wanted = self.proxy.credentials
        if wanted is not None and base64.b64encode(":".join(wanted).encode()).decode() not in head:
            await self.refuse(407)
            raise ConnectionRefusedError

    async def grant(self) -> None:
        """Say that the tunnel is there."""
        socks = self.proxy.kind == "socks5"
        await self.wire.send(_SOCKS_GRANTED if socks else b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def refuse(self, status: int) -> None:
        """Say that there will be none: an HTTP status, or SOCKS5's own reply code."""
        if self.proxy.kind == "socks5":
            await self.wire.send(bytes([5, status, 0, 1, 0, 0, 0, 0, 0, 0]))
        else:
            await self.wire.send(f"HTTP/1.1 {status} Played\r\nContent-Length: 0\r\n\r\n".encode())

    async def join(self, *, cut_after: int | None = None, drips_after: int | None = None) -> None:
        """Copy both ways until one side ends; after so many bytes of what comes back, cut it or let it drip."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        there = Wire(reader, writer)
        try:
            up = asyncio.ensure_future(_copy(self.wire, there))
            down = asyncio.ensure_future(_copy(there, self.wire, cut_after=cut_after, drips_after=drips_after))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        finally:
            there.close()

    def _leads_to(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.host, self.port = host, int(port)
        self.proxy.asked.append(target)

    async def _asked_by_socks(self) -> None:
        reader = self.wire.reader
        _, methods = await reader.readexactly(2)
        by_password = _PASSWORD in await reader.readexactly(methods)
        await self.wire.send(bytes([5, _PASSWORD if by_password else 0]))
        if by_password:
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = self.proxy.credentials in {None, (user.decode(), password.decode())}
            await self.wire.send(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                raise ConnectionRefusedError
        _, _, _, kind = await reader.readexactly(4)
        size = (await reader.readexactly(1))[0] if kind == _NAME else 4
        address = await reader.readexactly(size)
        host = address.decode() if kind == _NAME else socket.inet_ntoa(address)
        self._leads_to(f"{host}:{int.from_bytes(await reader.readexactly(2))}")


_PASSWORD = 2  # SOCKS5's way of asking for one
_NAME = 3  # SOCKS5's kind of address that is a host's name
_SOCKS_GRANTED = bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])


async def works(tunnel: Tunnel) -> None:
    """As it should be."""
    await tunnel.asked()
    await tunnel.grant()
    await tunnel.join()


async def hangs_at_once(tunnel: Tunnel) -> None:
    """It takes the connection and never says a word."""
    await tunnel.wire.hang()


async def hangs(tunnel: Tunnel) -> None:
    """It reads where to go, and never answers."""
    await tunnel.asked()
    await tunnel.wire.hang()


async def closes(tunnel: Tunnel) -> None:
    """It reads where to go, and closes."""
    await tunnel.asked()
    tunnel.wire.close()


async def speaks_no_http(tunnel: Tunnel) -> None:
    """It answers with something else."""
    await tunnel.asked()
    await tunnel.wire.send(b"220 mail.example ESMTP\r\n\r\n")
    tunnel.wire.close()


@dataclass(frozen=True)
class Refuses:
    """It says no."""

    status: int

    async def __call__(self, tunnel: Tunnel) -> None:
        await tunnel.asked()
        await tunnel.refuse(self.status)


@dataclass(frozen=True)
class Instead:
    """It grants the tunnel and then plays the API itself."""

    greeting: Greeting

    async def __call__(self, tunnel: Tunnel) -> None:
        await tunnel.asked()
        await tunnel.grant()
        await self.greeting(tunnel.wire, tunnel.proxy.certificates)


@dataclass(frozen=True)
class CutsAfter:
    """It closes when so many bytes came back."""

    size: int

    async def __call__(self, tunnel: Tunnel) -> None:
        await tunnel.asked()
        await tunnel.grant()
        await tunnel.join(cut_after=self.size)


async def drips(tunnel: Tunnel) -> None:
    """It brings the beginning back, and the rest a byte at a time."""
    await tunnel.asked()
    await tunnel.grant()
    await tunnel.join(drips_after=40_000)


class FaultProxy:
    """Use `serving` as an async context manager. A tunnel is made unless `act` says otherwise."""

    def __init__(
        self,
        certificates: Certificates,
        kind: Kind = "http",
        *,
        credentials: tuple[str, str] | None = None,  # that it wants
        certificate: Certificate = "good",
    ) -> None:
        self.port = 0
        self.kind = kind
        self.credentials = credentials
        self.certificate: Certificate = certificate
        self.certificates = certificates
        self.act: TunnelAct = works
        self.connections = 0
        self.asked: list[str] = []  # host:port of each tunnel

    @property
    def url(self) -> str:
        return f"{self.kind}://localhost:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async with Listener(self._accept).listening() as self.port:
            yield self

    async def _accept(self, wire: Wire) -> None:
        self.connections += 1
        if self.kind == "https":
            await wire.secure(self.certificates.context(self.certificate))
        await self.act(Tunnel(wire, self))


async def _copy(source: Wire, sink: Wire, *, cut_after: int | None = None, drips_after: int | None = None) -> None:
    passed = 0
    while chunk := await source.reader.read(65536):
        if cut_after is not None and passed + len(chunk) >= cut_after:
            await sink.send(chunk[: cut_after - passed])
            return
        if drips_after is not None and passed + len(chunk) >= drips_after:
            await _drip(chunk, sink)
            return
        await sink.send(chunk)
        passed += len(chunk)


async def _drip(chunk: bytes, sink: Wire) -> None:
    for start in range(len(chunk)):
        await sink.send(chunk[start : start + 1])
        await asyncio.sleep(DRIP_EVERY)

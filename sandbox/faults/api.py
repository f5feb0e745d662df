"""An API that does as it is told: how it meets a connection, and what it does with each request."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from sandbox.faults.answers import Act, Reply
from sandbox.faults.wire import Certificate, Listener, Wire

if TYPE_CHECKING:  # the table is read where trustme is not installed
    from sandbox.faults.certificates import Certificates

Greeting = Callable[[Wire, "Certificates"], Awaitable[None]]  # what happens before the first request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Shows:
    """TLS, with one of the certificates."""

    certificate: Certificate = "good"

    async def __call__(self, wire: Wire, certificates: Certificates) -> None:
        await wire.secure(certificates.context(self.certificate))


async def closes(wire: Wire, _: Certificates) -> None:
    """The connection is accepted and closed."""
    wire.close()


async def hangs(wire: Wire, _: Certificates) -> None:
    """The connection is accepted, and TLS never begins."""
    await wire.hang()


async def speaks_no_tls(wire: Wire, _: Certificates) -> None:
    """A page for people, where TLS should begin."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>welcome to the hotel</html>")
    await wire.hang()


class FaultApi:
    """Use `serving` as an async context manager. What is played comes first; `good` answers by path after it."""

    def __init__(self, certificates: Certificates, good: dict[str, Act] | None = None) -> None:
        self.port = 0
        self.connections = 0
        self.seen: list[Seen] = []
        self.good = good or {}
        self._greeting: Greeting | None = None
        self._greets_once = False
        self._certificates = certificates
        self._acts: deque[Act] = deque()
        self._lasting: Act | None = None
        self._at = ""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def play(self, *acts: Act, at: str = "/", lasting: bool = False) -> None:
        """Do these with the next requests to paths that begin with `at`; lasting: the last with all that follow."""
        self._acts = deque(acts)
        self._lasting = acts[-1] if lasting else None
        self._at = at

    def greet(self, greeting: Greeting, *, lasting: bool = False) -> None:
        """Meet the next connection so, or all."""
        self._greeting, self._greets_once = greeting, not lasting

    def behave(self) -> None:
        """Answer as one should from now on."""
        self._acts, self._lasting, self._greeting = deque(), None, None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        async with Listener(self._accept).listening() as self.port:
            yield self

    async def _accept(self, wire: Wire) -> None:
        self.connections += 1
        greeting = self._greeting or Shows()
        if self._greets_once:
            self._greeting = None
        await greeting(wire, self._certificates)
        while wire.is_open:
            seen = await _request(wire)
            self.seen.append(seen)
            await self._act(seen.path)(wire)

    def _act(self, path: str) -> Act:
        if path.startswith(self._at):
            if self._acts:
                return self._acts.popleft()
            if self._lasting is not None:
                return self._lasting
        return self.good.get(path.partition("?")[0]) or Reply()


async def _request(wire: Wire) -> Seen:
    head = await wire.head()
    length = _LENGTH.search(head)
    body = await wire.reader.readexactly(int(length[1])) if length else b""
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return Seen(method, path, headers, body)

"""What httpcore asks of a connection at every turn, with less work: all TLS records that have come, and its socket."""

# ruff: noqa: ASYNC109 - `timeout` is of httpcore's interface
from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore


class DrainingBackend(httpcore.AsyncNetworkBackend):
    """Connects as another backend does, and gives streams of which a read takes what there is.

    By itself httpcore reads one record at a time, which costs 45 us on its way through h11, httpcore, httpx, us. Under
    load four have come (November 2026).
    """

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return Draining(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class Draining(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._tls: ssl.SSLObject | None = stream.get_extra_info("ssl_object")
        self._failure: ssl.SSLError | None = None
        self._socket: socket.socket | None = stream.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._failure is not None:  # OpenSSL says it once, and then that the stream is at its end
            raise self._failure
        got = await self._stream.read(max_bytes, timeout)
        if self._tls is None or not got:
            return got
        records, size = [got], len(got)
        try:
            while size < max_bytes and (record := self._tls.read(max_bytes - size)):
                records.append(record)
                size += len(record)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # no more has come
        except ssl.SSLError as error:
            self._failure = error  # for the next read: these records are good
        return b"".join(records)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return Draining(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of each idle connection at each request, twice: anyio looks for it 10 us long
            return self._is_readable()
        return self._stream.get_extra_info(info)

    def _is_readable(self) -> bool:
        """Whether bytes or the end have come, so that it cannot serve another request."""
        if self._socket is None or self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

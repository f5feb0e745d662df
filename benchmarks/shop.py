"""A marketplace that costs next to nothing to ask: Ozon's prices over TLS, through proxies which are its own port."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import trustme

from collectors.ozon.api import SELLER

_WORDS = ("Платье", "Рубашка", "Кроссовки", "чёрный", "белый", "хлопок", "летний", "размер", "складской", "доставка")
_KINDS = 6  # of bodies: their first bytes differ each time, the rest comes round again


@dataclass
class Shop:
    """Each answer is `size` bytes unpacked and comes `delay` seconds after it was asked for.

    `endless`: every page has a next one; else a walk is one page.
    """

    size: int
    delay: float = 0.0
    endless: bool = False
    answers: int = 0
    asked: list[float] = field(default_factory=list)  # when, by the monotonic clock
    port: int = 0
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self._rest = cycle(_rests(self.size))

    @property
    def hosts(self) -> Mapping[str, str]:
        """Where the marketplace's host is, as the setting wants it."""
        return {SELLER: f"https://127.0.0.1:{self.port}"}

    def proxies(self, number: int) -> Sequence[str]:
        """Return the URLs of so many proxies: each has an address, and all are this port."""
        return [f"http://127.0.{1 + n // 250}.{1 + n % 250}:{self.port}" for n in range(number)]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
        # Cancelled with the loop: Python 3.11 would write a traceback for each connection.
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            if (await _request(reader)).startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.start_tls(tls)
                while await _request(reader):
                    self.asked.append(time.monotonic())
                    await asyncio.sleep(self.delay)
                    self.answers += 1
                    writer.writelines(self._answer())
                    await writer.drain()
        writer.close()

    def _answer(self) -> Sequence[bytes]:
        number = next(self._numbers)
        following = str(number) if self.endless else ""
        first = gzip.compress(f'{{"number":{number},"cursor":"{following}",'.encode(), 1)
        rest = next(self._rest)
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
            f"content-length: {len(first) + len(rest)}\r\n\r\n"
        )
        return (head.encode(), first, rest)


@asynccontextmanager
async def open_shop(home: Path, *, size: int, delay: float = 0.0, endless: bool = False) -> AsyncIterator[Shop]:
    """Open it on a free port; its authority's certificate is `home`/ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file(home)))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", SELLER).configure_cert(tls)
    shop = Shop(size, delay, endless)
    server = await asyncio.start_server(lambda reader, writer: shop.talk(reader, writer, tls), "0.0.0.0", backlog=1000)  # noqa: S104 - its proxies are addresses of the loopback
    shop.port = server.sockets[0].getsockname()[1]
    try:
        yield shop
    finally:
        server.close()


def ca_file(home: Path) -> Path:
    return home / "ca.pem"


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read a request and return its first line; nothing if no other one comes."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line[15:]))
    return head.partition(b"\r\n")[0]


def _rests(size: int) -> Sequence[bytes]:
    """Return what follows the first bytes of a body, packed, as members that a gzip may go on with."""
    chance = random.Random(size)
    return [gzip.compress(b'"items":[' + _items(chance, size) + b"]}", 1) for _ in range(_KINDS)]


def _items(chance: random.Random, size: int) -> bytes:
    items: list[bytes] = []
    length = 40
    while not items or length < size:
        item = {
            "product_id": chance.randrange(10**9),
            "offer_id": f"SKU-{chance.randrange(10**9):09d}",
            "name": " ".join(chance.choices(_WORDS, k=5)),
            "price": {"price": f"{chance.randrange(10**6) / 100:.4f}", "currency_code": "RUB"},
            "commissions": {"sales_percent": chance.randrange(50), "fbo_deliv": chance.randrange(10**4) / 100},
        }
        items.append(json.dumps(item, ensure_ascii=False).encode())
        length += len(items[-1]) + 1
    return b",".join(items)

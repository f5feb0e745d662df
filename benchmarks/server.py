"""Static pages over HTTP and HTTPS, as fast as there is: nginx, or without it `benchmarks/static.py`.

A site has sellers; `GET /{pages}/{seller}/goods?cursor=3` answers with the fourth page of that seller, as if it had so
many pages in all. Each page names the next one's cursor, the last one is empty. A site has two addresses, one of which
packs what it answers (gzip); both forms were made before.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from sandbox.authority import Authority, authority
from worker.embedded_process import free_port

RECORDS = 1_000  # in a page
SELLERS = 12
_GZIP_LEVEL = 6  # what servers use by default
_WORDS = (
    "Платье",
    "Рубашка",
    "Кроссовки",
    "чёрный",
    "белый",
    "хлопок",
    "летний",
    "женский",
    "мужской",
    "размер",
    "складской",
    "доставка",
)

_NGINX = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000;
    client_body_temp_path {home}/tmp;
    proxy_temp_path {home}/tmp;
    fastcgi_temp_path {home}/tmp;
    uwsgi_temp_path {home}/tmp;
    scgi_temp_path {home}/tmp;
    ssl_certificate {tls.certificate_file};
    ssl_certificate_key {tls.key_file};
    root {home}/pages;
    map $arg_cursor $page {{ "" 0; default $arg_cursor; }}
    server {{
        listen 127.0.0.1:{plain.http};
        listen 127.0.0.1:{plain.https} ssl;
        location ~ ^(?<seller>/[0-9]+/[0-9]+)/goods$ {{ try_files $seller/$page.json =404; }}
    }}
    server {{
        listen 127.0.0.1:{packed.http};
        listen 127.0.0.1:{packed.https} ssl;
        gzip_static always;
        location ~ ^(?<seller>/[0-9]+/[0-9]+)/goods$ {{ try_files $seller/$page.json =404; }}
    }}
}}
"""


@dataclass(frozen=True)
class Ports:
    http: int
    https: int


@dataclass(frozen=True)
class Site:
    """Where the pages are, and what is on them."""

    home: Path
    tls: Authority
    plain: Ports
    packed: Ports
    sellers: Sequence[int]
    sums: Sequence[Sequence[int]]  # of the field `amount`, by seller and page
    program: str

    def url(self, *, packed: bool, pages: int, tls: bool = True) -> str:
        """Return the address below which the sellers are that have so many pages."""
        self._lay_out(pages)
        ports = self.packed if packed else self.plain
        return f"https://localhost:{ports.https}/{pages}" if tls else f"http://localhost:{ports.http}/{pages}"

    def amount(self, pages: int) -> int:
        """Return what the field `amount` of all records adds up to, if every seller has so many pages."""
        return sum(sum(of_seller[:pages]) for of_seller in self.sums)

    def _lay_out(self, pages: int) -> None:
        for seller in self.sellers:
            place = self.home / "pages" / str(pages) / str(seller)
            if place.is_dir():
                continue
            place.mkdir(parents=True)
            for number in range(pages):
                for suffix in ("json", "json.gz"):
                    os.link(self.home / f"{seller}-{number}.{suffix}", place / f"{number}.{suffix}")
            _write(place / f"{pages}", b'{"items":[],"next":""}')


@contextmanager
def serving(home: Path, *, pages: int, sellers: int = SELLERS, records: int = RECORDS) -> Iterator[Site]:
    """Make the pages and serve them, up to `pages` of each seller."""
    tls = authority(home)
    site = Site(
        home=home,
        tls=tls,
        plain=Ports(free_port(None), free_port(None)),
        packed=Ports(free_port(None), free_port(None)),
        sellers=range(sellers),
        sums=[[_make(home, seller, page, records) for page in range(pages)] for seller in range(sellers)],
        program="nginx" if shutil.which("nginx") else "Python, for nginx is not installed",
    )
    with _running(_command(site)) as process:
        _wait_until_it_answers(site, process)
        yield site


@contextmanager
def tunnelling(home: Path) -> Iterator[int]:
    """Run a proxy; yields its port."""
    port = free_port(None)
    with _running([sys.executable, "-m", "benchmarks.static", str(home), "0", "0", "0", "0", str(port)]):
        for _ in range(100):
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port


@contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _command(site: Site) -> list[str]:
    nginx = shutil.which("nginx")
    if nginx is None:
        ports = (site.plain.http, site.plain.https, site.packed.http, site.packed.https)
        return [sys.executable, "-m", "benchmarks.static", str(site.home), *map(str, ports), "0"]
    user = "user root;" if os.getuid() == 0 else ""  # the pages are in a private directory
    configuration = site.home / "nginx.conf"
    configuration.write_text(
        _NGINX.format(home=site.home, user=user, tls=site.tls, plain=site.plain, packed=site.packed)
    )
    return [nginx, "-e", "stderr", "-p", str(site.home), "-c", str(configuration)]


def _wait_until_it_answers(site: Site, process: subprocess.Popen[bytes]) -> None:
    asked = f"{site.url(packed=True, pages=0)}/0/goods"
    context = site.tls.client_context()
    for _ in range(100):
        try:
            httpx.get(asked, verify=context).raise_for_status()
        except httpx.ConnectError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"the server of the benchmark ({site.program}) does not answer: see what it said above")


def _make(home: Path, seller: int, page: int, records: int) -> int:
    """Write a page of so many kilobytes; return what its amounts add up to."""
    chance = random.Random(seller * 1_000_000 + page)
    first = (seller * 1_000 + page) * RECORDS
    amounts = [chance.randrange(1_000_000) for _ in range(records)]
    items = [_record(chance, first + number, amount) for number, amount in enumerate(amounts)]
    _write(home / f"{seller}-{page}", msgspec.json.encode({"items": items, "next": str(page + 1)}))
    return sum(amounts)


def _write(path: Path, body: bytes) -> None:
    path.with_suffix(".json").write_bytes(body)
    path.with_suffix(".json.gz").write_bytes(gzip.compress(body, _GZIP_LEVEL))


def _record(chance: random.Random, number: int, amount: int) -> dict[str, object]:
    """Return what a marketplace says of a product, in 1,000 bytes. It holds no lists: elsewhere these become tables."""
    return {
        "id": number,
        "offer_id": f"SKU-{chance.randrange(10**9):09d}",
        "barcode": f"{chance.randrange(10**13):013d}",
        "name": " ".join(chance.choices(_WORDS, k=6)),
        "description": " ".join(chance.choices(_WORDS, k=31)),
        "amount": amount,
        "price": chance.randrange(10**8) / 100,
        "currency": "RUB",
        "is_archived": chance.random() < 0.1,
        "created_at": f"2026-10-{chance.randrange(1, 29):02d}T{chance.randrange(24):02d}:15:00Z",
        "updated_at": f"2026-11-{chance.randrange(1, 21):02d}T{chance.randrange(24):02d}:45:00Z",
        "category_id": chance.randrange(10**6),
        "stocks": {"present": chance.randrange(1000), "reserved": chance.randrange(100), "warehouse": "Хоругвино"},
        "commission": {"percent": chance.randrange(30), "value": chance.randrange(10**6) / 100},
        "image": f"https://images.marketplace.example/s3/{chance.randrange(16**16):016x}/cover.jpg",
    }

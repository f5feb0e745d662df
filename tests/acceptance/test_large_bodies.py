"""What is too large costs a worker little memory, whether it is refused or kept. Real sockets, a process of its own."""

import asyncio
import hashlib
import json
import os
import sys
import zlib
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from tests.acceptance.large_bodies import HOST
from tests.stage import Account, Stage

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20
LARGE = 300 * MEGABYTE
MOST = 64 * MEGABYTE  # what a large body may cost

BLOCK = os.urandom(2**16) + b"0" * (MEGABYTE - 2**16)  # packs 15 times: a large page, no bomb
SMALL_ANSWERS = {"/small": b"[1]", "/create": b'{"id": "r1"}', "/state": b"{}"}


def packed(block: bytes, times: int) -> Iterator[bytes]:
    """Yield gzip of the block so many times, but for its end, which nobody should come to see."""
    packer = zlib.compressobj(1 if block is BLOCK else 9, wbits=31)
    yield packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(times - 1):
        yield again


def plain() -> Iterator[bytes]:
    """Yield a body whose every megabyte is another."""
    for number in range(LARGE // MEGABYTE):
        yield number.to_bytes(8, "big") + BLOCK[8:]


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.path in SMALL_ANSWERS:
        return web.Response(body=SMALL_ANSWERS[request.path], content_type="application/json")
    response = web.StreamResponse()
    match request.path:
        case "/bomb":
            response.headers["Content-Encoding"] = "gzip"
            pieces = packed(bytes(MEGABYTE), 1024)
        case "/packed":
            response.headers["Content-Encoding"] = "gzip"
            pieces = packed(BLOCK, LARGE // MEGABYTE)
        case _:
            pieces = plain()
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


@dataclass(frozen=True)
class Large:
    """An account whose marketplace sends what is too large."""

    stage: Stage
    account: Account
    url: str

    async def cost(self, stream: str) -> int:
        """Collect the stream in a process of its own; return how many bytes of memory that took."""
        account = str(self.account.organization_id), str(self.account.id)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.acceptance.large_bodies", *account, stream),
            stdout=PIPE,
            cwd=ROOT,
            env=self.stage.environment() | {"COLLECTOR_HOSTS": json.dumps({HOST: self.url})},
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return int(said.splitlines()[-1])

    async def runs(self, stream: str) -> list[tuple[str, int]]:
        runs = await self.stage.rows("SELECT outcome, bytes FROM collect.run WHERE stream = $1", stream)
        return [(run["outcome"], run["bytes"]) for run in runs]


@pytest.fixture
async def large(stage: Stage) -> AsyncIterator[Large]:
    runner = web.ServerRunner(web.Server(answer), handle_signals=False, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=stage.box.authority.server_context()).start()
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    yield Large(stage, account, f"https://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_a_gigabyte_in_a_megabyte_of_gzip_is_quarantined_and_costs_little(large: Large) -> None:
    assert await large.cost("bomb") < MOST
    assert await large.runs("bomb") == [("quarantined", 0)]
    (kept,) = await large.stage.rows("SELECT reason, octet_length(body) AS size FROM collect.quarantine")
    assert "is a bomb" in kept["reason"]
    assert kept["size"] == 2**16, "enough to look at"


@pytest.mark.parametrize("stream", ["plain", "packed"])
async def test_a_page_of_300_megabytes_is_refused_and_costs_little(large: Large, stream: str) -> None:
    assert await large.cost(stream) < MOST
    assert await large.runs(stream) == [("failed", 0)]
    assert await large.stage.value("SELECT count(*) FROM raw.payload WHERE stream = $1", stream) == 0


async def test_a_report_of_300_megabytes_is_kept_in_parts_and_costs_little(large: Large) -> None:
    assert await large.cost("file") < MOST
    assert await large.runs("file") == [("done", LARGE)]
    parts = await large.stage.rows(
        "SELECT id, fetched_at, part, parts_id, sha256 FROM raw.page WHERE stream = 'file' ORDER BY part"
    )
    assert [part["part"] for part in parts] == [*range(len(parts))]
    assert len({(part["parts_id"], part["sha256"]) for part in parts}) == 1
    kept, served = hashlib.sha256(), hashlib.sha256()
    for part in parts:
        body = "SELECT body FROM raw.page WHERE id = $1 AND fetched_at = $2"
        kept.update(await large.stage.value(body, part["id"], part["fetched_at"]))
    for piece in plain():
        served.update(piece)
    assert kept.digest() == served.digest() == parts[0]["sha256"]

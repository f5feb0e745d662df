"""Four worker processes, each with a wrong clock, against a server that counts: nothing refused, the quota used."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).parents[2]
SECONDS = 4.0
SKEWS = (-2.0, -0.7, 0.7, 2.0)

# What each process runs: 12 requests at a time to each of two methods, of one seller who is two accounts of ours.
WORKER = """
import asyncio, datetime, json, sys, time

methods, valkey, skew, lasts = json.loads(sys.argv[1])
right = time.time
time.time = lambda: right() + skew

import aiohttp
from redis.asyncio import Redis
from collectors.errors import RateLimited
from collectors.stream import Bucket, Rate
from worker.http.limits import Limits, bucket_key

async def main():
    async with Redis.from_url(valkey) as redis, aiohttp.ClientSession() as http:
        accounts = [Limits(redis), Limits(redis)]
        waited = []

        async def wait(seconds):
            waited.append(seconds)
            await asyncio.sleep(seconds)

        async def work(limits, url, every, burst):
            bucket = Bucket(name=url, rate=Rate(datetime.timedelta(seconds=every), burst))
            keys = [(bucket, bucket_key("vendor", "one seller", bucket, egress="direct"))]
            while time.monotonic() - begun < lasts:
                try:
                    async with limits.turn(keys, "", wait=wait):
                        async with http.get(url) as answer:
                            await answer.read()
                except RateLimited as error:
                    await asyncio.sleep(0.05)

        async with http.get(methods[0][0] + "ready") as answer:
            await answer.read()
        begun = time.monotonic()
        await asyncio.gather(*(work(accounts[number % 2], *method) for number in range(12) for method in methods))
        print(max(waited))

asyncio.run(main())
"""


@dataclass
class Counting:
    """A vendor's token bucket over real sockets: `burst` at once, then one each `every` seconds."""

    every: float
    burst: int
    workers: int
    full_at: float = 0.0
    given: int = 0
    refused: int = 0
    first: float = 0.0
    last: float = 0.0
    port: int = 0
    _ready: asyncio.Barrier = field(init=False)

    def __post_init__(self) -> None:
        self._ready = asyncio.Barrier(self.workers)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/ready":
            await self._ready.wait()
            return web.Response()
        now = time.monotonic()
        self.first = self.first or now
        self.last = now
        full_at = max(self.full_at, now) + self.every
        if full_at - now > self.every * self.burst:
            self.refused += 1
            return web.Response(status=429)
        self.full_at = full_at
        self.given += 1
        await asyncio.sleep(0.002 * (self.given % 10))
        return web.Response(body=b"{}")

    @property
    def quota(self) -> float:
        """How many may have been given in the time between the first and the last."""
        return self.burst + (self.last - self.first) / self.every

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        runner = web.ServerRunner(web.Server(self.answer), handle_signals=False, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()


async def start(vendors: list[tuple[str, Counting]], valkey: str, skew: float) -> Process:
    # The time that Python takes to start is not the vendor's; who is ready waits for the others.
    methods = [(url, vendor.every, vendor.burst) for url, vendor in vendors]
    asked = json.dumps([methods, valkey, skew, SECONDS])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, asked, cwd=ROOT, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def test_many_processes_use_a_sellers_quota_and_are_never_refused(redis_url: str) -> None:
    """100 a second with a burst of 10, and 300 a minute with a burst of 20, ten times faster."""
    hundred, fifty = Counting(0.01, 10, workers=len(SKEWS)), Counting(0.02, 20, workers=len(SKEWS))
    async with hundred.serve() as one, fifty.serve() as other, asyncio.timeout(30):
        vendors = [(one, hundred), (other, fifty)]
        workers = [await start(vendors, redis_url, skew) for skew in SKEWS]
        told = [await worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(SKEWS), told
    assert all(0 < float(longest) <= 2 for longest, _ in told), "no wait was longer than is slept in place"
    for vendor in (hundred, fifty):
        assert vendor.last - vendor.first > SECONDS - 1
        assert vendor.refused == 0
        assert vendor.given >= 0.95 * vendor.quota, f"{vendor.given} of {vendor.quota:.0f}"

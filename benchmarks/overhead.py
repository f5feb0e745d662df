"""What a collected page costs the client beside a bare GET: small pages, TLS, a hundred accounts with a proxy each.

`python -m benchmarks.overhead [--json]`. CPU seconds of this process, so what else runs matters little. All go through
the same pools and read their bodies: a bare GET by httpx's client; fetching as a run does it (limits, proxies, caps,
judging, reading); and the loop of `worker/collect.py`, which fetches and keeps.

A run brings 20 pages and finds the next one empty: some tens, as of a list of a thousand rows, and a fifth of what one
transaction may hold. So each page bears a twentieth of a lease, of two looks at the position and of a commit. What a
whole run costs that finds nothing (lease, account, one request, the record of its end) is reported on its own.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import structlog
import uvloop

from benchmarks.collecting import Collector, collecting
from benchmarks.contest import AGAIN, machine
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.server import Site, serving, tunnelling
from worker.http.proxies import Proxy, ranked
from worker.memory import look_for_garbage_less_often, memory_given_back

ROUNDS = 5
ACCOUNTS = 100
PAGES = 20  # of each account
RECORDS = 5  # in a page: 5 KB
BARE, FETCHED, COLLECTED, IDLE = "bare GET", "fetched", "collected", "a run that finds nothing"
_AT_MOST = 2.5


async def measure(ours: Collector, proxies: list[Proxy]) -> list[Figure]:
    url, nothing = (ours.site.url(packed=True, pages=pages) for pages in (PAGES, 0))
    pages = ACCOUNTS * (PAGES + 1)  # the last one of each is empty

    transports = (ours.resources.fetcher.pools.transport(ranked(proxies, str(account))[0]) for account in ours.accounts)
    clients = [httpx.AsyncClient(transport=one, trust_env=False) for one in transports]  # noqa: TID251 - the rival's

    async def bare(seller: int) -> None:
        for page in range(PAGES + 1):
            answer = await clients[seller].get(f"{url}/{seller}/goods", params={"cursor": page})
            answer.raise_for_status()

    async def all_bare() -> None:
        await asyncio.gather(*(bare(seller) for seller in ours.site.sellers))

    contestants: dict[str, Callable[[], Awaitable[object]]] = {
        BARE: all_bare,
        BARE + AGAIN: all_bare,
        FETCHED: lambda: ours.fetch(url, proxies),
        COLLECTED: lambda: ours.collect(url, proxies),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*contestants, IDLE)}
    for number in range(-1, ROUNDS):
        await ours.clean()
        found = {name: await _cpu_seconds(name, work) for name, work in contestants.items()}
        records, _ = await ours.found()
        assert records == ACCOUNTS * PAGES * RECORDS, f"{records} records arrived"
        await ours.clean()
        found[IDLE] = await _cpu_seconds(IDLE, lambda: ours.run(nothing))
        if number >= 0:
            for name, took in found.items():
                seconds[name].append(took)
    figures = [
        Figure(name=f"{name}, a page", unit="ms of CPU", rounds=[1000 * one / pages for one in seconds[name]])
        for name in contestants
    ]
    figures.append(Figure(name=IDLE, unit="ms of CPU", rounds=[1000 * one / ACCOUNTS for one in seconds[IDLE]]))
    for name in (BARE + AGAIN, FETCHED, COLLECTED):
        ratio = [own / other for own, other in zip(seconds[name], seconds[BARE], strict=True)]
        goal = _AT_MOST if name == COLLECTED else None
        figures.append(Figure(name=f"{name} : {BARE}", unit="×", rounds=ratio, at_most=goal))
    return figures


async def _cpu_seconds(name: str, work: Callable[[], Awaitable[object]]) -> float:
    began, wall = time.process_time(), time.perf_counter()
    await work()
    took = time.process_time() - began
    sys.stderr.write(f"{name}: {took:.1f} s of CPU in {time.perf_counter() - wall:.1f} s\n")
    return took


async def compare(ground: Ground, site: Site, port: int) -> list[Figure]:
    # One program, but to us a hundred proxies: each has its pool and its health.
    proxies = [
        Proxy(name=f"proxy {number}", group="bench", url=f"http://127.0.0.1:{port}") for number in range(ACCOUNTS)
    ]
    async with memory_given_back(), collecting(ground, site) as ours:  # as a worker does
        return await measure(ours, proxies)


def main() -> None:
    # The line that each run logs would stand among the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    look_for_garbage_less_often()  # as a worker does
    home = Path(tempfile.mkdtemp(prefix="collector-benchmark-pages-"))
    try:
        with (
            make_ground() as ground,
            serving(home, pages=PAGES, sellers=ACCOUNTS, records=RECORDS) as site,
            tunnelling(home) as port,
        ):
            found = uvloop.run(compare(ground, site, port))
    finally:
        shutil.rmtree(home)
    sys.stderr.write(machine() + "\n")
    show(found, as_json="--json" in sys.argv)


if __name__ == "__main__":
    main()

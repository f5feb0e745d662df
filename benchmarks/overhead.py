"""What a collected page costs the client beside a bare GET: small pages, TLS, a hundred accounts with a proxy each.

`python -m benchmarks.overhead [--json]`. CPU seconds of this process, so what else runs matters little. All go through
the same pools: a bare GET by httpx; fetching as a run does it (limits, proxies, caps, judging, reading); and the loop
of `worker/collect.py`, which fetches and keeps.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import uvloop

from benchmarks.collecting import Collector, collecting
from benchmarks.contest import AGAIN, machine
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.server import Site, serving, tunnelling
from worker.http.proxies import Proxy, ranked

ROUNDS = 5
ACCOUNTS = 100
PAGES = 6  # of each account
RECORDS = 5  # in a page: 5 KB
BARE, FETCHED, COLLECTED = "bare GET", "fetched", "collected"
_AT_MOST = 2.5


async def measure(ours: Collector, proxies: list[Proxy], url: str) -> list[Figure]:
    pages = ACCOUNTS * (PAGES + 1)  # the last one of each is empty

    async def bare(seller: int) -> None:
        proxy = ranked(proxies, str(ours.accounts[seller]))[0]
        transport = ours.resources.fetcher.pools.transport(proxy)
        client = httpx.AsyncClient(transport=transport, trust_env=False)  # noqa: TID251 - what people would use
        for page in range(PAGES + 1):
            answer = await client.get(f"{url}/{seller}/goods", params={"cursor": page})
            answer.raise_for_status()

    async def all_bare() -> None:
        await asyncio.gather(*(bare(seller) for seller in ours.site.sellers))

    async def fetched() -> None:
        await ours.fetch(url, proxies)

    async def collected() -> None:
        await ours.collect(url, proxies)

    contestants: dict[str, Callable[[], Awaitable[None]]] = {
        BARE: all_bare,
        BARE + AGAIN: all_bare,
        FETCHED: fetched,
        COLLECTED: collected,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(-1, ROUNDS):
        await ours.clean()
        for name, run in contestants.items():
            began, wall = time.process_time(), time.perf_counter()
            await run()
            sys.stderr.write(
                f"{name}: {time.process_time() - began:.1f} s of CPU in {time.perf_counter() - wall:.1f} s\n"
            )
            if number >= 0:
                seconds[name].append(time.process_time() - began)
        records, _ = await ours.found()
        assert records == ACCOUNTS * PAGES * RECORDS, f"{records} records arrived"
    found = [
        Figure(name=f"{name}, a page", unit="ms of CPU", rounds=[1000 * one / pages for one in seconds[name]])
        for name in contestants
    ]
    for name in (BARE + AGAIN, FETCHED, COLLECTED):
        ratio = [own / other for own, other in zip(seconds[name], seconds[BARE], strict=True)]
        found.append(Figure(name=f"{name} : {BARE}", unit="×", rounds=ratio, at_most=_AT_MOST))
    return found


async def compare(ground: Ground, site: Site, port: int) -> list[Figure]:
    # One program, but to us a hundred proxies: each has its pool and its health.
    proxies = [
        Proxy(name=f"proxy {number}", group="bench", url=f"http://127.0.0.1:{port}") for number in range(ACCOUNTS)
    ]
    async with collecting(ground, site) as ours:
        return await measure(ours, proxies, site.url(packed=True, pages=PAGES))


def main() -> None:
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

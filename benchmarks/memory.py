"""What a worker's memory is, with 50 jobs on pages of 8 MB and with 10,000 accounts.

`python -m benchmarks.memory [--json] [--gigabytes N]`; exit code 1 if a goal of issue 6 was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

from uuid_utils.compat import uuid7

from benchmarks import crew
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.shop import Shop, open_shop
from collectors.registry import STREAMS
from worker.http.limits import bucket_key
from worker.http.proxies import Proxy
from worker.resources import Resources

JOBS = 50
PAGE = 8_000_000
ACCOUNTS = 10_000
PROXY_ACCOUNTS = 20  # of a proxy
_STARTED_UP = 100  # pages, two of each job: until then it only grows into its size
_EVERY = 0.1  # seconds
_NOTHING_FOR = 60.0  # seconds without a page: it does not work


async def collecting(ground: Ground, home: Path, gigabytes: float) -> list[Figure]:
    """Watch a worker that collects so much."""
    async with open_shop(home, size=PAGE, endless=True) as shop:
        await crew.fill(ground, shop, accounts=JOBS, streams=1, proxies=10)
        await crew.make_due(ground, JOBS)
        async with crew.at_work(ground, shop, home) as process:
            seen = await _watched(process.pid, shop, pages=round(gigabytes * 1e9 / PAGE))
    pages = seen[-1][0]
    steady = [rss for done, rss in seen if done >= min(_STARTED_UP, pages // 2)]
    half = len(steady) // 2
    drift = (statistics.median(steady[half:]) / statistics.median(steady[:half]) - 1) * 100
    return [
        Figure(name="collected meanwhile", unit="GB", rounds=[pages * PAGE / 1e9]),
        Figure(name="a worker of 50 jobs, pages of 8 MB: median", unit="MB", rounds=steady),
        Figure(name="… at most", unit="MB", rounds=[max(steady)], at_most=300),
        Figure(name="… its later half beside the earlier", unit="± %", rounds=[abs(drift)], at_most=5),
    ]


async def accounts(ground: Ground) -> list[Figure]:
    """Let every account of a large fleet ask once: for its turn, its proxy and the proxy's client, and be counted."""
    async with ground.resources() as resources:
        await _ask(resources, range(100))
        gc.collect()
        before = resident()
        await _ask(resources, range(100, 100 + ACCOUNTS))
        gc.collect()
        added = resident() - before
    name = f"limiter, proxies and metrics of {ACCOUNTS:,} accounts add"
    return [Figure(name=name, unit="MB", rounds=[added], at_most=50)]


async def _ask(resources: Resources, numbers: range) -> None:
    """Do for each account what its first request does, apart from sending it."""
    fetcher, metrics = resources.fetcher, resources.metrics
    streams = [(name, stream) for name, of_one in STREAMS.items() for stream in of_one]
    coming = iter(numbers)

    async def ask_on() -> None:
        for number in coming:
            marketplace, stream = streams[number % len(streams)]
            account, seller = str(uuid7()), str(number)
            group = _group(number)
            keys = [
                (bucket, bucket_key(marketplace, seller, bucket, egress=group[0].way_out))
                for bucket in STREAMS[marketplace][stream].buckets
            ]
            async with fetcher.limits.turn(keys, "", wait=asyncio.sleep):
                proxy = await fetcher.health.choose(group, account_id=account, marketplace=marketplace)
                fetcher.pools.transport(proxy)
                with metrics.request(marketplace, stream):
                    await asyncio.sleep(0)
            metrics.run_ended(marketplace, stream, "done", seconds=1.0)
            metrics.kept(marketplace, stream, rows=1, same_as=0, size=1)

    await asyncio.gather(*(ask_on() for _ in range(JOBS)))


def _group(number: int) -> list[Proxy]:
    """Return the proxies of the account's group: ten, which two hundred accounts share."""
    first = number // (10 * PROXY_ACCOUNTS) * 10
    return [
        Proxy(name=f"proxy {n}", group=f"group {first}", url=f"http://127.0.{1 + n // 250}.{1 + n % 250}:3128")
        for n in range(first, first + 10)
    ]


async def _watched(pid: int, shop: Shop, *, pages: int) -> list[tuple[int, float]]:
    """Return pages so far and MB, again and again until there are so many pages."""
    seen: list[tuple[int, float]] = []
    last, changed = 0, time.monotonic()
    while shop.answers < pages:
        await asyncio.sleep(_EVERY)
        if shop.answers != last:
            last, changed = shop.answers, time.monotonic()
        elif time.monotonic() - changed > _NOTHING_FOR:
            raise RuntimeError("the worker collects nothing: see what it wrote above")
        if last:
            seen.append((last, resident(pid)))
    return seen


def resident(pid: int | str = "self") -> float:
    """Return the memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has left")


async def measure(ground: Ground, gigabytes: float) -> list[Figure]:
    figures = await accounts(ground)
    with tempfile.TemporaryDirectory(prefix="collector-benchmark-") as home:
        return [*figures, *await collecting(ground, Path(home), gigabytes)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="to collect; 10 take some minutes")
    options = parser.parse_args()
    with make_ground() as ground:
        figures = asyncio.run(measure(ground, options.gigabytes))
    show(figures, as_json=options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How much more two and four worker processes do, and what a job costs in a schedule of 1,000 and of 100,000 pairs.

`python -m benchmarks.scale_out [--json]`; exit code 1 if a goal of issue 6 was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis

from benchmarks import crew
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.shop import Shop, open_shop

PROCESSES = (1, 2, 4)
SLOTS = 50  # of a process
JOB = 3.0  # seconds that the marketplace takes to answer; the rest is ours
_WARM = 6.0  # seconds from the first answers on: every process is at it
_MEASURED = 12.0
_ACCOUNTS = 900  # of one stream, for an account has few requests at a time; more than end in a tick

_LARGE = 100_000  # pairs: a hundred streams of a thousand accounts
_DUE = 600  # pairs due at a time, in a small schedule and in a large one
_JOBS = 500  # of them that are measured
_COST_ROUNDS = 2
_TICKS = os.sysconf("SC_CLK_TCK")  # in a second of processor time

_PATIENCE = 120.0  # seconds without what should happen

_PARTS = ("processes", "pairs")

_ENDED = "SELECT count(*) FROM collect.run WHERE outcome = 'done'"
_DUE_AGAIN = "UPDATE collect.stream_state SET next_due_at = now() WHERE next_due_at > now() AND lease_token IS NULL"
_FAILED = "SELECT count(*) FROM collect.run WHERE outcome NOT IN ('done', 'stopped')"


async def processes(ground: Ground, home: Path) -> list[Figure]:
    """Let jobs wait for a slow marketplace, in ever more processes."""
    async with open_shop(home, size=5_000, delay=JOB) as shop:
        await crew.fill(ground, shop, accounts=_ACCOUNTS, streams=1, proxies=50)
        figures = []
        for number in PROCESSES:
            sys.stderr.write(f"{number} × {SLOTS} jobs …\n")
            await crew.make_due(ground, _ACCOUNTS)
            async with _kept_due(ground), crew.at_work(ground, shop, home, processes=number):
                await _until(lambda: shop.answers > 0)
                await asyncio.sleep(_WARM)
                before, began = await _ended(ground), time.perf_counter()
                await asyncio.sleep(_MEASURED)
                jobs, took = await _ended(ground) - before, time.perf_counter() - began
            shop.answers = 0
            await _forget(ground)
            share = jobs * JOB / took / (SLOTS * number)
            name = f"{number} process{'es' if number > 1 else ''} of {SLOTS} jobs: of the ideal"
            figures.append(
                Figure(name=name, unit=f"of {SLOTS * number / JOB:.0f} jobs/s", rounds=[share], at_least=0.95)
            )
    return figures


async def pairs(small: Ground, large: Ground, home: Path) -> list[Figure]:
    """Work off as many jobs in both schedules, in turn, and count processor time: the worker's and PostgreSQL's."""
    costs: dict[str, list[float]] = {"1,000 pairs": [], "100,000 pairs": []}
    async with open_shop(home, size=5_000) as shop:
        grounds = {"1,000 pairs": (small, 1), "100,000 pairs": (large, 100)}
        for name, (ground, streams) in grounds.items():
            sys.stderr.write(f"{name}: rows are made …\n")
            await crew.fill(ground, shop, accounts=_LARGE // 100, streams=streams, proxies=50)
        for number in range(_COST_ROUNDS):
            for name, (ground, streams) in list(grounds.items())[:: 1 if number % 2 else -1]:
                sys.stderr.write(f"{name}: jobs …\n")
                costs[name].append(await _cost(ground, shop, home, streams))
    (few, many) = costs.values()
    return [
        *(Figure(name=f"processor time of a job, {name}", unit="ms", rounds=found) for name, found in costs.items()),
        Figure(
            name="… with 100,000 pairs beside 1,000",
            unit="×",
            rounds=[large / small for small, large in zip(few, many, strict=True)],
            at_most=1.1,
        ),
    ]


async def _cost(ground: Ground, shop: Shop, home: Path, streams: int) -> float:
    """Return the milliseconds of processor time that a job costs, beginning when the first ones have ended."""
    shop.answers = 0
    await crew.make_due(ground, _DUE)
    async with ground.admin() as admin, crew.at_work(ground, shop, home, streams=streams) as worker:
        of_postgres = _parent(await admin.fetchval("SELECT pg_backend_pid()"))
        await _until(lambda: shop.answers >= _DUE - _JOBS)
        before, answers = _used(worker.pid) + _used(of_postgres), shop.answers
        await _until(lambda: shop.answers >= _DUE)
        used, jobs = _used(worker.pid) + _used(of_postgres) - before, shop.answers - answers
    await _forget(ground)
    return used * 1000 / jobs


async def _ended(ground: Ground) -> int:
    async with ground.admin() as admin:
        if failed := await admin.fetchval(_FAILED):
            sys.stderr.write(f"{failed} runs did not end well\n")
        return int(await admin.fetchval(_ENDED))


@asynccontextmanager
async def _kept_due(ground: Ground) -> AsyncIterator[None]:
    """Let each pair be due again soon after its job has ended."""

    async def keep() -> None:
        async with ground.admin() as admin:
            while True:
                await admin.execute(_DUE_AGAIN)
                await asyncio.sleep(2)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _forget(ground: Ground) -> None:
    """Let nothing be due, nor in the queue."""
    async with ground.admin() as admin:
        await admin.execute(
            "UPDATE collect.stream_state SET next_due_at = now() + interval '1 day', lease_until = NULL"
        )
        await admin.execute("VACUUM ANALYZE collect.stream_state")
    async with Redis.from_url(ground.servers.redis_url) as redis:
        await redis.flushdb()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not condition():  # noqa: ASYNC110 - the shop would have to set an event with each of thousands of answers
            await asyncio.sleep(0.05)


def _used(pid: int) -> float:
    """Return the processor time of a process and its children, dead or alive, in seconds."""
    fields = _stat(pid)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, fields[11:15])) / _TICKS + sum(_used(int(child)) for child in children if _lives(child))


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


async def measure(grounds: Sequence[Ground], parts: Sequence[str]) -> list[Figure]:
    slow, small, large = grounds
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="collector-benchmark-") as home:
        if "processes" in parts:
            figures += await processes(slow, Path(home))
        if "pairs" in parts:
            figures += await pairs(small, large, Path(home))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--part", choices=_PARTS, action="append", help="only this one; each takes a minute or so")
    options = parser.parse_args()
    with ExitStack() as stack:
        figures = asyncio.run(measure([stack.enter_context(make_ground()) for _ in range(3)], options.part or _PARTS))
    show(figures, as_json=options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

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
_WARM = 10  # cycles of jobs, from the first question on: all begin at once, and have to come apart
_CYCLES = 5  # that are measured then
_ACCOUNTS = 1000  # of a stream, for an account has few requests at a time; more than end in a tick

_LARGE = 100  # streams, which make 100,000 pairs
_DUE = 400  # pairs due at a time, in a small schedule and in a large one
_JOBS = 300  # of them that are measured
_COST_ROUNDS = 3
_TICKS = os.sysconf("SC_CLK_TCK")  # in a second of processor time

_PATIENCE = 120.0  # seconds without what should happen

_PARTS = ("processes", "pairs")

_DUE_AGAIN = "UPDATE collect.stream_state SET next_due_at = now() WHERE next_due_at > now() AND lease_token IS NULL"
_FAILED = "SELECT count(*) FROM collect.run WHERE outcome NOT IN ('done', 'stopped')"


async def processes(ground: Ground, shop: Shop, home: Path) -> list[Figure]:
    """Let jobs wait for a slow marketplace, in ever more processes."""
    figures = []
    for number in PROCESSES:
        sys.stderr.write(f"{number} × {SLOTS} jobs …\n")
        shop.delay = JOB
        shop.asked.clear()
        await crew.make_due(ground, _ACCOUNTS)
        async with _kept_due(ground), crew.at_work(ground, shop, home, processes=number):
            await _until(lambda: bool(shop.asked))
            began = time.monotonic()
            await asyncio.sleep(JOB * (_WARM + _CYCLES))
        shop.delay = 0.0
        cycles = [began + JOB * cycle for cycle in range(_WARM + _CYCLES)]
        shares = [_jobs(shop.asked, since, since + JOB) / (SLOTS * number) for since in cycles]
        name = f"{number} process{'es' if number > 1 else ''} of {SLOTS} jobs: of the ideal"
        unit = f"of {SLOTS * number / JOB:.0f} jobs/s"
        figures += [
            Figure(name=f"{name}, while they come apart", unit=unit, rounds=shares[:_WARM]),
            Figure(name=name, unit=unit, rounds=shares[_WARM:], at_least=0.95),
        ]
        await _forget(ground)
    return figures


def _jobs(asked: Sequence[float], since: float, until: float) -> float:
    """Return how many answers were waited for in that time; of one that began or ended outside, the part."""
    return sum(max(0.0, min(at + JOB, until) - max(at, since)) for at in asked) / JOB


async def pairs(small: Ground, large: Ground, shop: Shop, home: Path) -> list[Figure]:
    """Work off as many jobs in both schedules, in turn, and count processor time: the worker's and PostgreSQL's."""
    grounds = {"1,000 pairs": (small, 1), "100,000 pairs": (large, _LARGE)}
    costs: dict[str, list[float]] = {name: [] for name in grounds}
    for number in range(_COST_ROUNDS):
        for name, (ground, streams) in list(grounds.items())[:: 1 if number % 2 else -1]:
            sys.stderr.write(f"{name}: jobs, {number + 1} of {_COST_ROUNDS} …\n")
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
    """Let nothing be due, nor in the queue. Raises RuntimeError if a run so far did not go well."""
    async with ground.admin() as admin:
        if failed := await admin.fetchval(_FAILED):
            raise RuntimeError(f"{failed} runs did not end well: see what the worker wrote above")
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


async def measure(small: Ground, large: Ground | None, parts: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="collector-benchmark-") as home:
        async with open_shop(Path(home), size=5_000) as shop:
            await crew.fill(small, shop, accounts=_ACCOUNTS, streams=1, proxies=50)
            if "processes" in parts:
                figures += await processes(small, shop, Path(home))
            if large is not None:
                sys.stderr.write("100,000 pairs: rows are made …\n")
                await crew.fill(large, shop, accounts=_ACCOUNTS, streams=_LARGE, proxies=50)
                figures += await pairs(small, large, shop, Path(home))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--part", choices=_PARTS, action="append", help="only this one; each takes a minute")
    options = parser.parse_args()
    parts = options.part or _PARTS
    with ExitStack() as stack:
        small = stack.enter_context(make_ground())
        large = stack.enter_context(make_ground()) if "pairs" in parts else None
        figures = asyncio.run(measure(small, large, parts))
    show(figures, as_json=options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a worker tells those who watch it: that its loop lives, that it can work, and its figures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from collectors.errors import PutOff
from worker.db.accounts import ProxyRow
from worker.db.engine import pool_figures
from worker.db.figures import read_figures
from worker.db.migrate import NotMigrated, require_current
from worker.db.partitions import months_ahead
from worker.http.proxies import Proxy
from worker.metrics import Figure
from worker.port import JSON, HttpAddress, Page, Reply, serving
from worker.queue import QueueUnavailable, ping, ready_count
from worker.resources import Resources
from worker.runtime import ALIVE_WITHIN, CollectorWorker

_FRESH = timedelta(seconds=15)  # figures are as old at most, and read once in that time by the whole fleet
_ANSWERS_WITHIN = timedelta(seconds=2)  # PostgreSQL and Redis each, when asked whether they are there
_READ_WITHIN = 4.0  # seconds, for the figures: under the 10 that Prometheus waits, with twice the answer of Redis
_SHARED = "collector:figures"
_FELT_EVERY = 0.5  # seconds
_FELT_FOR = 60.0  # seconds

_UNREACHABLE = (DBAPIError, PoolTimeout, OSError)  # OSError has TimeoutError below it


class Vitals:
    """Answers for one process. `worker` is None until it has started."""

    def __init__(self, resources: Resources) -> None:
        self.worker: CollectorWorker | None = None
        self._resources = resources
        self._metrics = resources.metrics
        self._lags = deque([0.0], maxlen=round(_FELT_FOR / _FELT_EVERY))
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def pages(self) -> Mapping[str, Page]:
        return {"/healthz": self.health, "/readyz": self.readiness, "/metrics": self.metrics}

    async def health(self) -> Reply:
        """Tell whether the loop that takes jobs turns. That there is an answer says that Python's does."""
        age = self._turn_age()
        alive = age <= ALIVE_WITHIN.total_seconds()
        return _json(200 if alive else 503, {"alive": alive, "seconds_since_last_turn": round(age, 3)})

    async def readiness(self) -> Reply:
        """Tell whether it can work, and if not, why."""
        reasons = [reason async for reason in self._obstacles()]
        told = {"ready": not reasons, "reasons": reasons, "pool": asdict(pool_figures(self._resources.engine))}
        return _json(503 if reasons else 200, told)

    async def metrics(self) -> Reply:
        """Tell all figures; those of the fleet are left out while PostgreSQL is away."""
        async with self._reading:
            if time.monotonic() - self._read_at > _FRESH.total_seconds():
                await self._read()
                self._read_at = time.monotonic()
        self._look_at_ourselves()
        # In a thread: writing some thousand lines would hold the loop for 30 ms.
        return Reply(200, await asyncio.to_thread(self._metrics.text), CONTENT_TYPE_LATEST)

    async def feel_the_loop(self) -> None:
        """Measure, until cancelled, how late the loop is in coming back to us."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_FELT_EVERY)
            self._lags.append(max(0.0, time.monotonic() - began - _FELT_EVERY))

    async def _obstacles(self) -> AsyncIterator[str]:
        if self.worker is None:
            yield "it is starting"
        elif self.worker.is_stopping:
            yield "it was told to stop"
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN.total_seconds()):
                async with self._resources.engine.connect() as connection:
                    await require_current(connection)
                ahead = await months_ahead(self._resources.sessions, self._resources.clock.now())
        except NotMigrated as error:
            yield str(error)
        except _UNREACHABLE as error:
            yield f"PostgreSQL does not answer ({type(error).__name__}): check that it runs, and the pool's figures"
        else:
            if ahead < 1:
                yield "next month has no partitions: run `collector partitions ensure`"
        try:
            await ping(self._resources.redis, _ANSWERS_WITHIN)
        except QueueUnavailable as error:
            yield str(error)

    async def _read(self) -> None:
        redis_up, figures = await self._shared()
        self._metrics.redis_up.set(redis_up)
        proxies: Sequence[ProxyRow] | None = None
        try:
            async with asyncio.timeout(_READ_WITHIN):
                if figures is None:
                    figures, proxies = await read_figures(self._resources.sessions, self._resources.clock.now())
                else:
                    async with self._resources.engine.connect() as connection:
                        await connection.exec_driver_sql("SELECT 1")
        except _UNREACHABLE:
            self._metrics.database_up.set(0)
            figures = []
        else:
            self._metrics.database_up.set(1)
        if redis_up and proxies is not None:
            figures = await self._share(figures, proxies)
        self._metrics.fleet.figures = figures

    async def _shared(self) -> tuple[bool, Sequence[Figure] | None]:
        """Look whether another process has just read the figures; tell whether Redis answered."""
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN.total_seconds()):
                found = await self._resources.redis.get(_SHARED)
        except (RedisError, OSError):
            return False, None
        with contextlib.suppress(msgspec.DecodeError):  # another release wrote it
            return True, None if found is None else msgspec.json.decode(found, type=list[Figure])
        return True, None

    async def _share(self, figures: Sequence[Figure], proxies: Sequence[ProxyRow]) -> Sequence[Figure]:
        """Add what Redis knows, and leave all of it there for the other processes."""
        redis = self._resources.redis
        with contextlib.suppress(RedisError, OSError, PutOff):
            async with asyncio.timeout(_ANSWERS_WITHIN.total_seconds()):
                ready = Figure("queue_ready", [], await ready_count(redis))
                figures = [*figures, ready, *await self._proxies(proxies)]
                await redis.set(_SHARED, msgspec.json.encode(figures), ex=_FRESH)
        return figures

    async def _proxies(self, rows: Sequence[ProxyRow]) -> list[Figure]:
        proxies = [Proxy(row.name, row.group, row.url, egress=row.egress) for row in rows]
        standing = await self._resources.fetcher.health.standing(proxies) if proxies else {}
        now = self._resources.clock.now()
        out = {name for name, one in standing.items() if one.out_until is not None and one.out_until > now}
        figures = []
        for group in sorted({proxy.group for proxy in proxies}):
            names = [proxy.name for proxy in proxies if proxy.group == group]
            figures += [
                Figure("proxies", [group, "out"], len(out.intersection(names))),
                Figure("proxies", [group, "usable"], len(names) - len(out.intersection(names))),
            ]
        for marketplace in self._resources.streams:
            refused = sum(one.banned.get(marketplace, now) > now for one in standing.values())
            figures.append(Figure("proxies_refused", [marketplace], refused))
        return figures

    def _look_at_ourselves(self) -> None:
        metrics, pool, budget = self._metrics, pool_figures(self._resources.engine), self._resources.fetcher.budget
        metrics.turn_age.set(self._turn_age())
        metrics.loop_lag.set(max(self._lags))
        if self.worker is not None:
            metrics.jobs.set(len(self.worker.tasks))
            metrics.most_jobs.set(self.worker.max_jobs)
        metrics.pool.labels("in use").set(pool.in_use)
        metrics.pool.labels("idle").set(pool.idle)
        metrics.most_pool.set(pool.most)
        metrics.budget.set(budget.limit)
        metrics.budget_used.set(budget.used)

    def _turn_age(self) -> float:
        return 0.0 if self.worker is None else time.monotonic() - self.worker.turned_at


def _json(status: int, told: Mapping[str, object]) -> Reply:
    return Reply(status, msgspec.json.encode(told) + b"\n", JSON)


@asynccontextmanager
async def shown(address: HttpAddress | None, resources: Resources) -> AsyncIterator[Vitals]:
    """Answer at this address, if there is one, until the block is left. Raises PortUnavailable."""
    vitals = Vitals(resources)
    if address is None:
        yield vitals
        return
    async with serving(address, vitals.pages()):
        feeling = asyncio.create_task(vitals.feel_the_loop())
        try:
            yield vitals
        finally:
            feeling.cancel()

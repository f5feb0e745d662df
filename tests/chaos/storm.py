"""What can go wrong around the workers, done to real processes: servers, workers, proxies, the API and the clock."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec
from redis.asyncio import Redis

from sandbox.ledger import Failure
from sandbox.proxies import Proxies
from tests.chaos.crew import Crew
from tests.stage import FEW, Stage
from worker.db.progress import LEASE
from worker.embedded import Embedded, start

# With what takes its ids from another stream and that from a third, reports for which there is one place, tokens that
# are exchanged, and reports that we name.
STORMY = {
    "wildberries": (*FEW["wildberries"], "campaigns", "adv_stats", "nm_report"),
    "ozon": (*FEW["ozon"], "product_info", "stocks_fbo", "perf_campaigns", "perf_report"),
    "yandex_market": FEW["yandex_market"],
}
_PAUSE = (0.3, 1.2)  # seconds between two of the blows
_AWAY = 2.0  # seconds that a proxy is dead
_JUMPED = 5.0  # seconds that a clock is a month ahead
_REFUSALS = 15  # requests of a stream that the API answers with 503
_BUSY_EVERY = 4.0  # seconds
_HELD = LEASE.total_seconds() + 3  # past its lease


@dataclass
class Storm:
    """Strikes `blows` times, of each kind in turn in an order that the seed says."""

    stage: Stage
    home: Path
    proxies: Proxies
    crew: Crew
    blows: int
    chance: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    _servers: list[Embedded] = field(default_factory=list)
    _aside: list[asyncio.Task[None]] = field(default_factory=list)

    async def rage(self) -> None:
        """Return when all blows are struck and their lasting effects are over."""
        self._aside.append(asyncio.create_task(self._hold_one_past_its_lease()))
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.worker_killed,
            self.worker_killed,
            self.worker_told_to_stop,
            self.valkey_killed_with_its_data,
            self.valkey_emptied,
            self.postgres_stopped_at_once,
            self.proxy_dead,
            self.api_failing,
            self.clock_jumping,
        ]
        for number in range(self.blows):
            if number % len(kinds) == 0:
                self.chance.shuffle(kinds)
            blow = kinds[number % len(kinds)]
            self.struck[blow.__name__] += 1
            await blow()
            await asyncio.sleep(self.chance.uniform(*_PAUSE))
        await asyncio.gather(*self._aside)

    async def worker_killed(self) -> None:
        await self.crew.kill(self._somebody())

    async def worker_told_to_stop(self) -> None:
        await self.crew.stop(self._somebody())

    async def valkey_killed_with_its_data(self) -> None:
        await self._restart("valkey", signal.SIGKILL)

    async def valkey_emptied(self) -> None:
        url = self.stage.settings.redis_url
        assert url is not None
        async with Redis.from_url(url.get_secret_value()) as redis:
            await redis.flushall()

    async def postgres_stopped_at_once(self) -> None:
        await self._restart("postgres", signal.SIGQUIT)  # what pg_ctl -m immediate sends

    async def proxy_dead(self) -> None:
        proxy = self.proxies[self.chance.randrange(len(self.proxies))]
        await asyncio.to_thread(proxy.kill)
        await asyncio.sleep(_AWAY)
        await asyncio.to_thread(proxy.start)

    async def api_failing(self) -> None:
        marketplace = self.chance.choice(sorted(STORMY))
        for stream in self.chance.sample(STORMY[marketplace], 2):
            self.stage.box.ledger.plan(Failure(marketplace, stream, _REFUSALS, 503))

    async def clock_jumping(self) -> None:
        member = self._somebody()
        if member.returncode is None:
            member.send_signal(signal.SIGUSR1)
        self._aside.append(asyncio.create_task(self._set_right(member)))

    async def _set_right(self, member: Process) -> None:
        await asyncio.sleep(_JUMPED)
        if member.returncode is None:
            member.send_signal(signal.SIGUSR2)

    async def _hold_one_past_its_lease(self) -> None:
        """The last of the crew stands still, as on a machine that swaps, while others take over what it held."""
        held = self.crew.members[-1]
        held.send_signal(signal.SIGSTOP)
        self.struck["worker_held"] += 1
        await asyncio.sleep(_HELD)
        held.send_signal(signal.SIGCONT)

    def _somebody(self) -> Process:
        return self.chance.choice(self.crew.members[:-1])

    async def _restart(self, server: str, with_signal: signal.Signals) -> None:
        record = msgspec.json.decode((self.home / "servers.json").read_bytes())
        os.kill(record[server]["process"]["pid"], with_signal)
        self._servers.append(await asyncio.to_thread(start, self.home))

    def end_servers(self) -> None:
        """End what was started anew."""
        for servers in self._servers:
            servers.stop(whoever_started=True)


async def let_time_pass(stage: Stage, *, since: datetime | None = None) -> None:
    """Let every slice that has not been brought up to date `since` be due, and no wait go on."""
    with suppress(asyncpg.DeadlockDetectedError):  # runs that end hold the same rows in another order
        await stage.change(
            "UPDATE collect.stream_state SET next_due_at = now(), not_before = NULL"
            " WHERE lease_until IS NULL AND (last_success_at < $1) IS NOT FALSE",
            since,
        )


@asynccontextmanager
async def kept_busy(stage: Stage) -> AsyncIterator[None]:
    """Let every slice be due every few seconds, whatever became of its last run."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(_BUSY_EVERY)
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # the database is restarted
                await let_time_pass(stage)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()

"""What the tests of the limits share: buckets, waits that are recorded instead of slept, and a turn taken whole."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from redis.asyncio import Redis

from collectors.stream import Answer, Bucket, Rate, Scope, Told
from tests.integration.http.conftest import Slept
from tests.integration.http.peers import asked
from worker.http.limits import IN_PLACE, Limits, bucket_key
from worker.http.scripts import Keyed


def bucket(name: str = "orders", *, every: float = 60.0, burst: int = 1, scope: Scope = Scope.SELLER) -> Bucket:
    return Bucket(name=name, rate=Rate(timedelta(seconds=every), burst), scope=scope)


def keyed(*buckets: Bucket, seller: str = "s", egress: str = "direct") -> list[Keyed]:
    return [(bucket, bucket_key("vendor", seller, bucket, egress=egress)) for bucket in buckets]


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def an_answer(status: int = 200, body: bytes = b"{}") -> Answer:
    return Answer(request=asked(), status=status, headers={}, body=body, fetched_at=datetime.now(UTC))


async def take(
    limits: Limits,
    keys: Sequence[Keyed],
    token_type: str = "",
    *,
    answer: Answer | None = None,
    told: Iterable[Told] = (),
    max_wait: timedelta = IN_PLACE,
) -> float:
    """Take a turn and have it answered; return the seconds that it was told to wait, which pass at once."""
    slept = Slept()
    async with limits.turn(keys, token_type, wait=slept, max_wait=max_wait) as turn:
        turn.answered(answer or an_answer(), told)
    return sum(slept.seconds)


async def change(redis: Redis, key: str, **fields: float) -> dict[str, float]:
    """Change fields of a hash behind the limits' back; returns them all."""
    if fields:
        await cast("Awaitable[int]", redis.hset(key, mapping=fields))
    kept = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(key))
    return {name.decode(): float(value) for name, value in kept.items()}


class Kept:
    """Stands for `collect.bucket`."""

    def __init__(self) -> None:
        self.rows: dict[str, datetime] = {}
        self.reads = 0
        self.writes = 0  # of waits
        self.free = asyncio.Event()  # clear: a write hangs before it returns
        self.free.set()
        self.stuck = asyncio.Event()

    @property
    def waits(self) -> dict[str, datetime]:
        """What is kept, but for the marketplaces' marks."""
        return {key: until for key, until in self.rows.items() if not key.endswith("}")}

    async def write(self, key: str, until: datetime) -> None:
        self.writes += not key.endswith("}")
        self.rows[key] = max(until, self.rows.get(key, until))
        if not self.free.is_set():
            self.stuck.set()
            await self.free.wait()

    async def take_back(self, key: str, until: datetime) -> None:
        if self.rows.get(key) == until:
            del self.rows[key]

    async def read(self) -> Mapping[str, datetime]:
        self.reads += 1
        return dict(self.rows)

"""The rate limits, shared by all workers and counted by Valkey's clock.

A request takes from several buckets in one atomic call, which books the next free slot (GCRA) and tells how long to
sleep before sending: first come, first served, and nobody polls. Nothing is fetched without Valkey.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import RedisError

from collectors.errors import PutOff, RateLimited
from collectors.stream import Bucket, Rate, Scope

IN_PLACE = timedelta(seconds=2)  # a longer wait is handed back to the queue (arq's own grain is 0.5 s)
WORTH_KEEPING = timedelta(seconds=60)  # a wait that must outlive Valkey
_REMEMBERED = timedelta(hours=24)  # after opening: the longest interval of any known limit (Wildberries, base token)
_UNREACHABLE_WAIT = timedelta(seconds=5)
_SLOT_WAIT = timedelta(seconds=3)  # over IN_PLACE: we have waited for the slot already
_SLOT_POLL = 0.05  # seconds; a request takes about 0.3

OnLongWait = Callable[[str, datetime], Awaitable[None]]  # a bucket's key, and until when it is shut
Keyed = tuple[Bucket, str]


def bucket_key(marketplace: str, seller: str, bucket: Bucket, *, egress: str) -> str:
    """Name a bucket in Valkey. `seller` is the marketplace's own id; `egress` names the proxy, or "direct".

    The braces put all buckets of one request on one node of a cluster.
    """
    start = f"limit:{{{marketplace}}}:{bucket.name}"
    match bucket.scope:
        case Scope.SELLER:
            return f"{start}:seller:{seller}"
        case Scope.SLOTS:
            return f"{start}:slots:{seller}"
        case Scope.APPLICATION:
            return f"{start}:application"
        case Scope.EGRESS:
            return f"{start}:egress:{egress}"


class Limits:
    """All buckets. `scale` is how many times faster than the vendors' limits; a wait told by a server stays as told."""

    def __init__(self, redis: Redis, *, scale: float = 1.0, on_long_wait: OnLongWait | None = None) -> None:
        self._redis = redis
        self._scale = scale
        self._on_long_wait = on_long_wait
        self._gcra, self._sent, self._shut, self._slots, self._fill = (
            redis.register_script(_script(name)) for name in ("gcra", "sent", "shut", "slots", "fill")
        )

    async def reserve(
        self, keys: Sequence[Keyed], token_type: str, *, max_wait: timedelta = IN_PLACE, cost: int = 1
    ) -> timedelta:
        """Book the next free slot of all buckets and return how long to sleep before sending. Slots are not counted.

        Raises RateLimited, with nothing booked, when it is farther than `max_wait`; PutOff without Valkey.
        """
        counted = [(bucket, key) for bucket, key in keys if bucket.scope is not Scope.SLOTS]
        if not counted:
            return timedelta(0)
        arguments = [_microseconds(max_wait)]
        for bucket, _ in counted:
            rate = bucket.rate_for(token_type)
            arguments += [_microseconds(rate.every / self._scale), _safe_burst(rate), cost]
        async with _reached():
            booked, wait_us, slowest = await self._gcra(keys=[key for _, key in counted], args=arguments)
        wait = timedelta(microseconds=wait_us)
        if not booked:
            name = counted[slowest - 1][0].name
            raise RateLimited(f"the limit {name!r} is used up for {wait.total_seconds():.1f} s", wait=wait, bucket=name)
        return wait

    async def sent(self, keys: Sequence[Keyed], token_type: str) -> None:
        """Say that a request has been answered: where there is no burst, the interval counts from now.

        A booked slot is when we send; the marketplace counts when it receives, and a new tunnel takes a while.
        """
        rates = [(key, bucket.rate_for(token_type)) for bucket, key in keys if bucket.scope is not Scope.SLOTS]
        single = [(key, _microseconds(rate.every / self._scale)) for key, rate in rates if _safe_burst(rate) == 1]
        if single:
            with suppress(RedisError, OSError):  # the slot stays booked as it was
                await self._sent(keys=[key for key, _ in single], args=[interval for _, interval in single])

    @asynccontextmanager
    async def slots(self, keys: Sequence[Keyed], *, max_wait: timedelta = IN_PLACE) -> AsyncIterator[timedelta]:
        """Hold one slot of each bucket that counts requests under way; yields how long that took.

        Raises RateLimited when none is free within `max_wait`, PutOff without Valkey.
        """
        counted = [(bucket, key) for bucket, key in keys if bucket.scope is Scope.SLOTS]
        if not counted:
            yield timedelta(0)
            return
        holder = uuid.uuid4().hex
        try:
            yield await self._take_slots(counted, holder, max_wait)
        finally:
            with suppress(RedisError, OSError):  # what is not given back expires
                for _, key in counted:
                    await self._redis.zrem(key, holder)

    async def _take_slots(self, counted: Sequence[Keyed], holder: str, max_wait: timedelta) -> timedelta:
        arguments: list[str | int] = [holder]
        for bucket, _ in counted:
            arguments += [bucket.rate.burst, _microseconds(bucket.rate.every)]
        waited = 0.0
        while True:
            async with _reached():
                if await self._slots(keys=[key for _, key in counted], args=arguments):
                    return timedelta(seconds=waited)
            if waited >= max_wait.total_seconds():
                name = counted[0][0].name
                raise RateLimited(f"no slot of {name!r} became free", wait=_SLOT_WAIT, bucket=name)
            pause = _SLOT_POLL * random.uniform(0.5, 1.5)  # noqa: S311 - only spreads the polls
            await asyncio.sleep(pause)
            waited += pause

    async def penalise(self, keys: Sequence[Keyed], wait: timedelta) -> None:
        """Stop all workers for as long as the marketplace said; afterwards a bucket has one unit, not its burst."""
        counted = [key for bucket, key in keys if bucket.scope is not Scope.SLOTS]
        async with _reached():
            for bucket, key in keys:
                if bucket.scope is Scope.SLOTS:
                    await self._fill(keys=[key], args=[bucket.rate.burst, _microseconds(min(wait, bucket.rate.every))])
            if not counted:
                return
            opens = await self._shut(keys=counted, args=[_microseconds(wait), _microseconds(_REMEMBERED)])
        if wait > WORTH_KEEPING and self._on_long_wait is not None:
            until = datetime.fromtimestamp(int(opens) / 1_000_000, UTC)
            for key in counted:
                await self._on_long_wait(key, until)

    async def restore(self, waits: Mapping[str, datetime]) -> None:
        """Put waits that were kept elsewhere back, by key, after Valkey lost them. Harmless if it did not."""
        async with _reached():
            seconds, microseconds = await self._redis.time()
            now = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
            for key, until in waits.items():
                if until > now:
                    await self._shut(keys=[key], args=[_microseconds(until - now), _microseconds(_REMEMBERED)])


@cache
def _script(name: str) -> str:
    return (files("worker.http") / f"{name}.lua").read_text("utf-8")


def _safe_burst(rate: Rate) -> int:
    # One less than allowed: requests that we send evenly may arrive closer together.
    return rate.burst - 1 if rate.burst > 1 else 1


def _microseconds(time: timedelta) -> int:
    return round(time / timedelta(microseconds=1))


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    """Fail closed: whatever is wrong with Valkey, nothing is fetched until it answers again."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise PutOff(
            f"the limiter cannot be reached ({type(error).__name__}): nothing is fetched without it",
            wait=_UNREACHABLE_WAIT,
        ) from error

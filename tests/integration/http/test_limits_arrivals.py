"""However late requests leave, travel or are answered: the marketplace never counts more than its bucket admits."""

import asyncio
import random
import time

import pytest
from redis.asyncio import Redis

from collectors.errors import RateLimited
from collectors.stream import Bucket
from tests.integration.http.turns import an_answer, bucket, keyed, seconds
from worker.http.limits import Limits


class Counting:
    """A vendor's token bucket: `burst` at once, then one each `every` seconds. Nothing is forgiven.

    It counts whole nanoseconds: seconds since the machine's start, as floats, are rounded more from nine hours on, and
    the first request to an empty bucket of one would be over the limit.
    """

    def __init__(self, every: float, burst: int) -> None:
        self._every = round(every * 1e9)
        self._burst = burst
        self._full_at = 0
        self.arrived = 0
        self.refused = 0

    def take(self, units: int = 1) -> None:
        now = time.monotonic_ns()
        self._full_at = max(self._full_at, now) + self._every * units
        self.arrived += 1
        self.refused += self._full_at - now > self._every * self._burst


# Interval and burst, the longest delay between booking and arrival, how many send, how often one of them stands still.
MIXES = [(0.01, 10, 0.005, 20, 0.0), (0.01, 10, 0.2, 40, 0.1), (0.02, 3, 0.1, 10, 0.1), (0.05, 1, 0.1, 5, 0.2)]


@pytest.mark.parametrize(("every", "burst", "delay", "senders", "stalls"), MIXES)
async def test_no_mix_of_late_sends_and_penalties_exceeds_the_bucket(
    redis: Redis, every: float, burst: int, delay: float, senders: int, stalls: float
) -> None:
    rng = random.Random(every * burst)  # noqa: S311 - repeatable
    limits, keys, vendor = Limits(redis), keyed(bucket(every=every, burst=burst)), Counting(every, burst)
    ends = time.monotonic() + 1.2

    async def travel() -> None:
        await asyncio.sleep(rng.uniform(0, delay))

    async def send() -> None:
        while time.monotonic() < ends:
            try:
                async with limits.turn(keys, "", wait=asyncio.sleep, max_wait=seconds(0.3)) as turn:
                    await travel()
                    if rng.random() < stalls / 4:
                        turn.unsent()
                        continue
                    vendor.take()
                    await travel()
                    if rng.random() < 0.9:
                        turn.answered(an_answer())
            except RateLimited:
                await asyncio.sleep(0.01)
            if rng.random() < stalls:
                time.sleep(rng.uniform(0, 0.03))  # noqa: ASYNC251 - the whole worker stands still: it sends late
            if rng.random() < 0.002:
                await limits.penalise(keys, seconds(0.02))

    await asyncio.gather(*(send() for _ in range(senders)))
    assert vendor.arrived > burst + 3, "it did send"
    assert vendor.refused == 0


async def test_costs_that_differ_never_exceed_the_bucket(redis: Redis) -> None:
    """Up to 20 items an answer are counted, of 1,000 a second."""
    costs: dict[bytes, int] = {str(number).encode(): number for number in range(21)}
    items = Bucket(name="items", rate=bucket(every=0.001, burst=60).rate, most=20, cost=lambda it: costs[it.body])
    limits, keys, vendor = Limits(redis), keyed(items), Counting(0.001, 60)
    ends, given, rng = time.monotonic() + 1.0, 0, random.Random(7)  # noqa: S311 - repeatable

    async def send() -> None:
        nonlocal given
        while time.monotonic() < ends:
            try:
                async with limits.turn(keys, "", wait=asyncio.sleep) as turn:
                    cost = rng.randint(0, 20)
                    vendor.take(cost)
                    given += cost
                    turn.answered(an_answer(body=str(cost).encode()))
            except RateLimited:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(send() for _ in range(5)))
    assert vendor.refused == 0
    assert given > 800

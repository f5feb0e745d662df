"""So many requests at the same time, and not one more."""

import asyncio
import time
from datetime import timedelta

import pytest
import structlog
from redis.asyncio import Redis

from collectors.errors import RateLimited
from collectors.stream import Scope
from tests.integration.http.conftest import Slept
from tests.integration.http.turns import bucket, keyed, seconds, take
from worker.http.limits import Limits


async def test_no_more_slots_are_held_than_there_are(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=120, burst=4, scope=Scope.SLOTS))
    held = highest = 0
    all_taken = asyncio.Event()

    async def request() -> None:
        nonlocal held, highest
        async with limits.turn(keys, "", wait=asyncio.sleep, max_wait=seconds(60)):
            held += 1
            highest = max(highest, held)
            if held == 4:
                all_taken.set()
            await all_taken.wait()
            held -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(request() for _ in range(12)))
    assert highest == 4


async def test_who_waits_for_a_unit_holds_no_slot_meanwhile(redis: Redis) -> None:
    limits = Limits(redis)
    slots, slow, quick = bucket("slots", every=120, scope=Scope.SLOTS), bucket("slow", every=1), bucket("quick")
    await take(limits, keyed(slots, slow))
    others = []

    async def wait(time: float) -> None:
        others.append(await take(limits, keyed(slots, quick), max_wait=timedelta(0)))
        assert time > 0.9

    async with limits.turn(keyed(slots, slow), "", wait=wait):
        assert others == [0.0], "another stream of the seller went while this one waited"
        with pytest.raises(RateLimited, match="no slot of 'slots'"):
            await take(limits, keyed(slots), max_wait=timedelta(0))


async def test_without_a_free_slot_the_request_is_put_off_and_nothing_is_booked(redis: Redis) -> None:
    limits = Limits(redis)
    slots, counted = bucket("slots", every=120, scope=Scope.SLOTS), bucket("counted", every=3600)
    slept = Slept()
    async with limits.turn(keyed(slots), "", wait=slept):
        with pytest.raises(RateLimited, match="no slot of 'slots'") as caught:
            async with limits.turn(keyed(slots, counted), "", wait=slept):
                raise AssertionError("it was taken twice")
    assert caught.value.wait == seconds(3)
    assert 1.8 < sum(slept.seconds) <= 2.0
    assert all(0.02 < pause < 0.08 for pause in slept.seconds)
    assert await take(limits, keyed(slots, counted)) == 0


async def test_a_slot_is_given_back_when_the_request_is_cancelled(redis: Redis) -> None:
    limits, keys, under_way = Limits(redis), keyed(bucket(every=120, scope=Scope.SLOTS)), asyncio.Event()

    async def request() -> None:
        async with limits.turn(keys, "", wait=Slept()):
            under_way.set()
            await asyncio.Event().wait()

    cancelled = asyncio.create_task(request())
    await under_way.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await take(limits, keys, max_wait=timedelta(0)) == 0


async def test_a_slot_is_held_as_long_as_its_request_runs(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=0.3, scope=Scope.SLOTS))
    tasks = asyncio.all_tasks()
    with structlog.testing.capture_logs() as logs:
        async with limits.turn(keys, "", wait=Slept()):
            await asyncio.sleep(0.7)
            with pytest.raises(RateLimited, match="no slot"):
                await take(limits, keys, max_wait=timedelta(0))
    assert logs == []
    assert await take(limits, keys, max_wait=timedelta(0)) == 0
    assert asyncio.all_tasks() == tasks, "who has given it back renews it no more"


async def test_a_slot_that_a_killed_worker_held_is_free_after_every(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=30, scope=Scope.SLOTS))
    async with limits.turn(keys, "", wait=Slept()):
        ((entry, until),) = await redis.zrange(f"{keys[0][1]}:held", 0, -1, withscores=True)
        assert until / 1_000_000 - time.time() == pytest.approx(30, abs=1)
        await redis.zadd(f"{keys[0][1]}:held", {entry: until - 30_000_000})
        assert await take(limits, keys, max_wait=timedelta(0)) == 0


async def test_a_slot_that_others_were_given_is_not_taken_back_and_it_is_said(redis: Redis) -> None:
    """Valkey could not be reached for longer than a slot is held."""
    limits, keys = Limits(redis), keyed(bucket(every=0.3, scope=Scope.SLOTS))
    with structlog.testing.capture_logs() as logs:
        async with limits.turn(keys, "", wait=Slept()):
            await redis.delete(f"{keys[0][1]}:held")
            await asyncio.sleep(0.15)
            assert await take(limits, keys, max_wait=timedelta(0)) == 0
    assert [line["buckets"] for line in logs if "outlasted" in line["event"]] == [["orders"]]


async def test_a_penalty_on_slots_holds_when_slots_are_given_back(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=120, burst=4, scope=Scope.SLOTS))
    async with limits.turn(keys, "", wait=Slept()), limits.turn(keys, "", wait=Slept()):
        await limits.penalise(keys, seconds(30))
    with pytest.raises(RateLimited) as caught:
        await take(limits, keys)
    assert seconds(29) < caught.value.wait <= seconds(30)

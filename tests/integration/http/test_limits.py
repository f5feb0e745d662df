"""Limits hold for all workers together, by Valkey's clock."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from collectors.errors import PutOff, RateLimited
from collectors.stream import Bucket, Rate, Scope
from worker.http.limits import Keyed, Limits, bucket_key


def bucket(name: str = "orders", *, every: float = 60.0, burst: int = 1, scope: Scope = Scope.SELLER) -> Bucket:
    return Bucket(name=name, rate=Rate(timedelta(seconds=every), burst), scope=scope)


def keyed(*buckets: Bucket, seller: str = "s", egress: str = "direct") -> list[Keyed]:
    return [(bucket, bucket_key("vendor", seller, bucket, egress=egress)) for bucket in buckets]


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


async def test_slots_are_booked_one_after_another_for_all_workers(redis: Redis) -> None:
    """Four workers, a burst of 6, of which one is spared: the n-th is told to come (n - 5) × 10 s later."""
    workers = [Limits(redis) for _ in range(4)]
    keys = keyed(bucket(every=10, burst=6))
    waits = await asyncio.gather(
        *(worker.reserve(keys, "", max_wait=seconds(1000)) for worker in workers for _ in range(15))
    )
    told = sorted(wait.total_seconds() for wait in waits)
    assert told[:5] == [0.0] * 5
    assert told[5:] == pytest.approx([10.0 * n for n in range(1, 56)], abs=2.0)


async def test_a_slot_too_far_away_is_refused_with_its_wait_and_not_booked(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=60))
    await limits.reserve(keys, "")
    for _ in range(3):
        with pytest.raises(RateLimited, match="'orders'") as caught:
            await limits.reserve(keys, "")
        assert caught.value.bucket == "orders"
        assert seconds(58) < caught.value.wait <= seconds(60)


async def test_without_a_burst_the_interval_counts_from_the_answer(redis: Redis) -> None:
    """The way to the marketplace took a while, and it counts from when it received us."""
    limits, keys = Limits(redis), keyed(bucket(every=1))
    await limits.reserve(keys, "")
    await asyncio.sleep(0.3)
    await limits.sent(keys, "")
    assert await limits.reserve(keys, "") > seconds(0.9)


async def test_of_several_buckets_all_are_taken_or_none(redis: Redis) -> None:
    limits = Limits(redis)
    wide, narrow = bucket("wide", every=60, burst=3), bucket("narrow", every=60)
    await limits.reserve(keyed(wide, narrow), "")
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(keyed(wide, narrow), "")
    assert caught.value.bucket == "narrow"
    assert await limits.reserve(keyed(wide), "") == timedelta(0), "the refused one took nothing of the wide bucket"


async def test_buckets_are_shared_by_what_their_scope_says(redis: Redis) -> None:
    limits = Limits(redis)
    for scope, shared in ((Scope.SELLER, False), (Scope.APPLICATION, True), (Scope.EGRESS, False)):
        own = bucket(scope.value, scope=scope)
        await limits.reserve(keyed(own, seller="a", egress="p1"), "")
        if shared:
            with pytest.raises(RateLimited):
                await limits.reserve(keyed(own, seller="b", egress="p2"), "")
        else:
            assert await limits.reserve(keyed(own, seller="b", egress="p2"), "") == timedelta(0)


async def test_a_token_type_has_its_own_rate_and_scale_divides_all(redis: Redis) -> None:
    own = Bucket(name="orders", rate=Rate(seconds(1)), by_token={"base": Rate(seconds(3600))})
    limits = Limits(redis, scale=10)
    await limits.reserve(keyed(own), "base")
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(keyed(own), "base")
    assert seconds(358) < caught.value.wait <= seconds(360)


async def test_an_error_may_cost_more_than_one_unit(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=1, burst=11))
    assert await limits.reserve(keys, "", cost=10) == timedelta(0)
    assert await limits.reserve(keys, "") > seconds(0.5)


async def test_a_penalty_stops_all_workers_and_ends_with_one_unit(redis: Redis) -> None:
    workers = [Limits(redis) for _ in range(3)]
    keys = keyed(bucket(every=10, burst=5))
    await workers[0].penalise(keys, seconds(30))
    waits = [await worker.reserve(keys, "", max_wait=seconds(1000)) for worker in workers]
    assert [wait.total_seconds() for wait in waits] == pytest.approx([30, 40, 50], abs=1.0)
    with pytest.raises(RateLimited):
        await workers[1].reserve(keys, "")


async def test_a_shorter_penalty_does_not_open_earlier(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=1))
    await limits.penalise(keys, seconds(100))
    await limits.penalise(keys, seconds(5))
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(keys, "")
    assert caught.value.wait > seconds(98)


async def test_a_long_wait_is_told_and_survives_an_emptied_valkey(redis: Redis) -> None:
    kept: dict[str, datetime] = {}

    async def keep(key: str, until: datetime) -> None:
        kept[key] = until

    limits, keys = Limits(redis, scale=1000, on_long_wait=keep), keyed(bucket(every=10, burst=3))
    await limits.penalise(keys, seconds(60))
    assert kept == {}
    await limits.penalise(keys, seconds(3600))
    assert list(kept) == [keys[0][1]]
    assert abs(kept[keys[0][1]] - datetime.now(UTC) - seconds(3600)) < seconds(5)
    await redis.flushdb()
    await limits.restore(kept | {"limit:{vendor}:past": datetime.now(UTC) - seconds(1)})
    with pytest.raises(RateLimited) as caught:
        await limits.reserve(keys, "")
    assert caught.value.wait > seconds(3590)
    assert await redis.exists("limit:{vendor}:past") == 0


async def test_no_more_slots_are_held_than_there_are(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=120, burst=4, scope=Scope.SLOTS))
    held = highest = 0
    all_taken = asyncio.Event()

    async def request() -> None:
        nonlocal held, highest
        async with limits.slots(keys, max_wait=seconds(60)):
            held += 1
            highest = max(highest, held)
            if held == 4:
                all_taken.set()
            await all_taken.wait()
            held -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(request() for _ in range(12)))
    assert highest == 4


async def test_without_a_free_slot_the_request_is_put_off(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=120, scope=Scope.SLOTS))
    async with limits.slots(keys):
        with pytest.raises(RateLimited, match="no slot"):
            async with limits.slots(keys, max_wait=timedelta(0)):
                raise AssertionError("it was taken twice")
    async with limits.slots(keys, max_wait=timedelta(0)):
        pass


async def test_a_slot_of_a_worker_that_died_expires(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=0.05, scope=Scope.SLOTS))
    await redis.zadd(keys[0][1], {"a worker that died": 1.0})
    async with limits.slots(keys, max_wait=timedelta(0)):
        pass


async def test_a_penalty_on_slots_fills_them(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=120, burst=4, scope=Scope.SLOTS))
    await limits.penalise(keys, seconds(30))
    with pytest.raises(RateLimited):
        async with limits.slots(keys, max_wait=timedelta(0)):
            raise AssertionError("it was taken")


async def test_forgotten_scripts_are_loaded_again(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(burst=3))
    await limits.reserve(keys, "")
    await redis.script_flush()
    await limits.reserve(keys, "")


async def test_keys_do_not_stay_for_ever(redis: Redis) -> None:
    limits = Limits(redis)
    keys = keyed(bucket("a"), bucket("b"))
    await limits.reserve(keys, "")
    await limits.penalise(keys[:1], seconds(10))
    async with limits.slots(keyed(bucket("c", scope=Scope.SLOTS, burst=2))):
        names = await redis.keys("*")
        assert len(names) == 3
        assert all([await redis.pttl(name) > 0 for name in names])


async def test_without_valkey_nothing_is_fetched() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Redis(port=unused.getsockname()[1]) as redis:
            limits = Limits(redis)
            for refused in (
                limits.reserve(keyed(bucket()), ""),
                limits.penalise(keyed(bucket()), seconds(1)),
                limits.slots(keyed(bucket(scope=Scope.SLOTS))).__aenter__(),
            ):
                with pytest.raises(PutOff, match="cannot be reached") as caught:
                    await refused
                assert caught.value.wait == seconds(5)

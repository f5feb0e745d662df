"""Limits hold for all workers together, by Valkey's clock."""

import asyncio
import socket
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from collectors.errors import PutOff, RateLimited
from collectors.stream import Bucket, Rate, Scope
from tests.integration.http.conftest import Slept
from tests.integration.http.turns import an_answer, bucket, keyed, seconds, take
from worker.http.limits import Limits


async def test_units_are_booked_one_after_another_for_all_workers(redis: Redis) -> None:
    """Four workers, a burst of 6, of which one is spared: the n-th is told to come (n - 5) × 10 s later."""
    keys, told, all_here = keyed(bucket(every=10, burst=6)), [], asyncio.Barrier(61)
    workers = [Limits(redis) for _ in range(4)]

    async def come(worker: Limits) -> None:
        async def wait(time: float) -> None:
            told.append(time)
            await all_here.wait()
            raise asyncio.CancelledError

        async with worker.turn(keys, "", wait=wait, max_wait=seconds(1000)):
            told.append(0.0)
            await all_here.wait()

    coming = [asyncio.create_task(come(worker)) for worker in workers for _ in range(15)]
    async with asyncio.timeout(30):
        await all_here.wait()
        await asyncio.gather(*coming, return_exceptions=True)
    told.sort()
    assert told[:5] == [0.0] * 5
    assert told[5:] == pytest.approx([10.0 * n for n in range(1, 56)], abs=2.0)


async def test_a_unit_too_far_away_is_refused_with_its_wait_and_not_booked(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=60))
    await take(limits, keys)
    for _ in range(3):
        with pytest.raises(RateLimited, match="'orders'") as caught:
            await take(limits, keys)
        assert caught.value.bucket == "orders"
        assert seconds(58) < caught.value.wait <= seconds(60)


async def test_of_several_buckets_all_are_taken_or_none(redis: Redis) -> None:
    limits = Limits(redis)
    wide, narrow = bucket("wide", every=60, burst=3), bucket("narrow", every=60)
    await take(limits, keyed(wide, narrow))
    with pytest.raises(RateLimited) as caught:
        await take(limits, keyed(wide, narrow))
    assert caught.value.bucket == "narrow"
    assert await take(limits, keyed(wide)) == 0, "the refused one took nothing of the wide bucket"


async def test_buckets_are_shared_by_what_their_scope_says(redis: Redis) -> None:
    limits = Limits(redis)
    for scope, shared in ((Scope.SELLER, False), (Scope.APPLICATION, True), (Scope.EGRESS, False)):
        own = bucket(scope.value, scope=scope)
        await take(limits, keyed(own, seller="a", egress="p1"))
        if shared:
            with pytest.raises(RateLimited):
                await take(limits, keyed(own, seller="b", egress="p2"))
        else:
            assert await take(limits, keyed(own, seller="b", egress="p2")) == 0


async def test_a_token_type_has_its_own_rate_and_scale_divides_all(redis: Redis) -> None:
    own = Bucket(name="orders", rate=Rate(seconds(1)), by_token={"base": Rate(seconds(3600))})
    limits = Limits(redis, scale=10)
    await take(limits, keyed(own), "base")
    with pytest.raises(RateLimited) as caught:
        await take(limits, keyed(own), "base")
    assert seconds(358) < caught.value.wait <= seconds(360)


async def test_an_interval_counts_from_the_answer(redis: Redis) -> None:
    """The way to the marketplace took a while, and it counts from when it received us."""
    limits, keys = Limits(redis), keyed(bucket(every=1))
    async with limits.turn(keys, "", wait=Slept()) as turn:
        await asyncio.sleep(0.3)
        turn.answered(an_answer())
    assert await take(limits, keys) > 0.9


async def test_no_more_are_under_way_than_may_arrive_at_once(redis: Redis) -> None:
    """Three have left and none has arrived; if all three wait on the way, a fourth may arrive together with them."""
    limits, keys = Limits(redis), keyed(bucket(every=0.01, burst=3))
    turns = [limits.turn(keys, "", wait=asyncio.sleep) for _ in range(3)]
    going = [await turn.__aenter__() for turn in turns]
    await asyncio.sleep(0.1)
    with pytest.raises(RateLimited, match="'orders'"):
        await take(limits, keys, max_wait=seconds(0.05))
    going[0].answered(an_answer())
    await going[0].charge()
    assert await take(limits, keys) < 0.03
    for turn in turns:
        await turn.__aexit__(None, None, None)


async def test_a_booked_turn_waits_again_when_it_comes_late(redis: Redis) -> None:
    """The first was answered late, so its interval ends after the moment that the second had booked."""
    limits, keys, slept = Limits(redis), keyed(bucket(every=0.2)), Slept()
    first = limits.turn(keys, "", wait=slept)
    turn = await first.__aenter__()

    async def answer_meanwhile(time: float) -> None:
        await slept(time)
        if len(slept.seconds) == 1:
            await asyncio.sleep(0.1)
            turn.answered(an_answer())
            await turn.charge()

    async with limits.turn(keys, "", wait=answer_meanwhile):
        assert slept.seconds[0] == pytest.approx(0.2, abs=0.05)
        assert slept.seconds[1] == pytest.approx(0.1, abs=0.05)
    await first.__aexit__(None, None, None)


async def test_a_request_that_never_left_costs_nothing(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=3600))
    async with limits.turn(keys, "", wait=Slept()) as turn:
        turn.unsent()
    assert await take(limits, keys) == 0


async def test_a_request_without_an_answer_costs_what_was_booked(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=3600))
    with pytest.raises(ConnectionError):
        async with limits.turn(keys, "", wait=Slept()):
            raise ConnectionError
    with pytest.raises(RateLimited):
        await take(limits, keys)


async def test_who_is_told_to_stop_while_waiting_gives_its_booking_back(redis: Redis) -> None:
    limits, keys, waits = Limits(redis), keyed(bucket(every=1)), asyncio.Event()

    async def wait_for_ever(_: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    async def come() -> None:
        async with limits.turn(keys, "", wait=wait_for_ever):
            raise AssertionError("it went")

    await take(limits, keys)
    waiting = asyncio.create_task(come())
    await waits.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await take(limits, keys) <= 1.0


async def test_a_request_of_a_worker_that_died_is_forgotten_but_counted(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=1))
    await redis.zadd(f"{keys[0][1]}:held", {"a worker that died": 1.0})
    assert await take(limits, keys) == pytest.approx(1.0, abs=0.1)


async def test_what_was_not_used_is_given_back_and_what_was_more_is_taken(redis: Redis) -> None:
    """Items are counted: ten are booked, the answer says how many came."""
    items = Bucket(name="items", rate=Rate(seconds(60), 101), most=10, cost=lambda answer: len(answer.body))
    limits, keys = Limits(redis), keyed(items)
    for _ in range(9):
        assert await take(limits, keys, answer=an_answer(body=b"1")) == 0
    assert await take(limits, keys, answer=an_answer(body=b"1" * 81)) == 0, "9 × 1 are used of the 100"
    assert await take(limits, keys, answer=an_answer(body=b"")) == 0, "just ten are left"
    assert await take(limits, keys, answer=an_answer(body=b"1" * 20)) == 0, "and are given back"
    with pytest.raises(RateLimited) as caught:
        await take(limits, keys)
    assert caught.value.wait > seconds(19 * 60), "10 were left, 20 taken: 10 missing, and 10 to be booked"


async def test_a_refusal_may_cost_ten_units(redis: Redis) -> None:
    dear = Bucket(name="dear", rate=Rate(seconds(1), 12), cost=lambda answer: 10 if answer.status >= 400 else 1)
    limits, keys = Limits(redis), keyed(dear)
    await take(limits, keys, answer=an_answer(404))
    assert await take(limits, keys) == 0
    assert await take(limits, keys) > 0.5


async def test_who_books_more_than_there_ever_is_is_served_all_the_same(redis: Redis) -> None:
    greedy = Bucket(name="greedy", rate=Rate(seconds(0.01), 5), most=1000, cost=lambda _: 50)
    limits, keys = Limits(redis), keyed(greedy)
    assert await take(limits, keys) == 0
    assert 0.4 < await take(limits, keys) < 0.6


async def test_forgotten_scripts_are_loaded_again(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(burst=3))
    await take(limits, keys)
    await redis.script_flush()
    await take(limits, keys)


async def test_only_the_mark_stays_for_ever(redis: Redis) -> None:
    limits = Limits(redis)
    keys = keyed(bucket("a"), bucket("b"), bucket("c", scope=Scope.SLOTS, burst=2))
    await limits.penalise(keyed(bucket("d")), seconds(10))
    async with limits.turn(keys, "", wait=Slept()):
        names = {name.decode(): await redis.pttl(name) for name in await redis.keys("*")}
        assert len(names) == 7
        assert names.pop("limit:{vendor}") == -1
        assert all(lives > 0 for lives in names.values())


async def test_all_keys_of_a_turn_lie_on_one_node_of_a_cluster(redis: Redis) -> None:
    limits = Limits(redis)
    keys = keyed(*(bucket(scope.value, scope=scope) for scope in Scope), seller="s}{1", egress="{p}")
    async with limits.turn(keys, "", wait=Slept()):
        names = [name.decode() for name in await redis.keys("*")]
    assert len(names) == 1 + 3 + 5, "the mark, three hashes of counted buckets, and who is under way in each"
    assert all(name.startswith("limit:{vendor}") for name in names)


async def test_without_valkey_nothing_is_fetched() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Redis(port=unused.getsockname()[1]) as redis:
            limits, keys = Limits(redis), keyed(bucket())
            for refused in (take(limits, keys), limits.penalise(keys, seconds(1))):
                with pytest.raises(PutOff, match="cannot be reached") as caught:
                    await refused
                assert caught.value.wait == timedelta(seconds=5)


async def test_without_limits_there_is_nothing_to_ask(redis: Redis) -> None:
    await take(Limits(redis), [])
    assert await redis.keys("*") == []

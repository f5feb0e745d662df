"""What the marketplace says of its limits: refusals and headers, obeyed by every worker."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from collectors.errors import RateLimited
from collectors.stream import Scope, Told
from tests.integration.http.conftest import Slept
from tests.integration.http.turns import bucket, change, keyed, seconds, take
from worker.http.limits import Limits
from worker.http.scripts import Keyed


async def wait_of(limits: Limits, keys: list[Keyed]) -> float:
    """Return the seconds until the next turn; it takes none."""
    try:
        async with limits.turn(keys, "", wait=Slept(), max_wait=timedelta(0)) as turn:
            turn.unsent()
    except RateLimited as error:
        return error.wait.total_seconds()
    return 0.0


async def test_a_penalty_stops_all_workers_and_ends_with_one_unit(redis: Redis) -> None:
    workers = [Limits(redis) for _ in range(3)]
    keys = keyed(bucket(every=0.7, burst=5))
    await workers[0].penalise(keys, seconds(30))
    for worker in workers:
        assert await wait_of(worker, keys) == pytest.approx(30, abs=0.5)
    waits = [await take(worker, keys, max_wait=seconds(100)) for worker in workers]
    assert waits == pytest.approx([30, 31, 32], abs=0.5), "0.7 s, slowed down to a whole one"


async def test_a_penalty_while_we_wait_stops_what_was_booked(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=1))
    await take(limits, keys)

    async def wait(_: float) -> None:
        await limits.penalise(keys, seconds(60))

    with pytest.raises(RateLimited) as caught:
        async with limits.turn(keys, "", wait=wait):
            raise AssertionError("it was sent")
    assert caught.value.wait > seconds(58)


async def test_a_shorter_penalty_does_not_open_earlier(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=1))
    await limits.penalise(keys, seconds(100))
    await limits.penalise(keys, seconds(5))
    assert await wait_of(limits, keys) > 98


async def test_an_unexpected_refusal_slows_a_bucket_down_for_a_while(redis: Redis) -> None:
    """Refusals of what was under way together count as one; at 600 times the speed, 20 minutes are 2 s."""
    limits, keys = Limits(redis, scale=600), keyed(bucket(every=6000))
    for _ in range(3):
        await limits.penalise(keys, seconds(0.01))
    kept = await change(redis, keys[0][1])
    assert kept["pace"] == pytest.approx(0.7)
    await take(limits, keys)
    assert 12 < await wait_of(limits, keys) < 10 / 0.7 + 0.1
    await change(redis, keys[0][1], paced=kept["paced"] - 600_000, tat=0, real=0)
    await take(limits, keys)
    assert await wait_of(limits, keys) == pytest.approx(10, abs=0.2), "it has recovered"


async def test_it_is_never_slowed_more_than_ten_times(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=10))
    for _ in range(20):
        await change(redis, keys[0][1], fined=0)
        await limits.penalise(keys, seconds(0.01))
    assert (await change(redis, keys[0][1]))["pace"] == pytest.approx(0.1)


async def test_units_that_are_left_bind_us_if_they_are_fewer(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=10, burst=10))
    await take(limits, keys, told=[Told(left=9), Told(left=3)])
    for _ in range(3):
        assert await wait_of(limits, keys) == 0
        await take(limits, keys)
    assert await wait_of(limits, keys) == pytest.approx(10, abs=0.5)


async def test_units_that_are_left_never_loosen(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket(every=10, burst=3))
    await take(limits, keys)
    await take(limits, keys, told=[Told(left=1000)])
    assert await wait_of(limits, keys) > 9


async def test_an_answer_that_names_when_it_opens_stops_all_until_then(redis: Redis) -> None:
    keys = keyed(bucket(every=0.1, burst=100))
    await take(Limits(redis), keys, told=[Told(left=0, opens=seconds(30))])
    assert await wait_of(Limits(redis), keys) == pytest.approx(30, abs=0.5)


async def test_a_moment_of_opening_beside_units_that_are_left_stops_nobody(redis: Redis) -> None:
    keys = keyed(bucket(every=0.1, burst=100))
    await take(Limits(redis), keys, told=[Told(left=50, opens=seconds(30))])
    assert await wait_of(Limits(redis), keys) == 0


@pytest.mark.parametrize(("named", "shut"), [("a", {"a"}), (None, {"a", "b"}), ("unknown", {"a", "b"})])
async def test_the_buckets_that_are_named_are_meant_or_else_all_that_count_a_seller(
    redis: Redis, named: str | None, shut: set[str]
) -> None:
    limits = Limits(redis)
    buckets = [
        bucket("a", every=0.1, burst=100),
        bucket("b", every=0.1, burst=100, scope=Scope.APPLICATION),
        bucket("c", every=0.1, burst=100, scope=Scope.EGRESS),
        bucket("d", every=120, scope=Scope.SLOTS),
    ]
    await take(limits, keyed(*buckets), told=[Told(bucket=named, opens=seconds(30))])
    assert {each.name for each in buckets if await wait_of(limits, keyed(each)) > 1} == shut


async def test_a_slot_may_be_told_shut_as_well(redis: Redis) -> None:
    limits, keys = Limits(redis), keyed(bucket("d", every=120, burst=4, scope=Scope.SLOTS))
    await take(limits, keys, told=[Told(bucket="d", opens=seconds(30))])
    assert await wait_of(limits, keys) == pytest.approx(30, abs=0.5)

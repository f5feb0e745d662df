"""A budget of hours outlives a restart, and Valkey's loss of what it knew."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from redis.asyncio import Redis

from collectors.errors import RateLimited
from collectors.stream import Told
from tests.integration.http.conftest import Slept
from tests.integration.http.turns import Kept, an_answer, bucket, change, keyed, seconds, take
from worker.http.limits import Limits
from worker.http.scripts import Keyed

SLOW = bucket("slow", every=3 * 3600)
QUICK = bucket("quick", every=0.1, burst=3)


async def refused_for(limits: Limits, keys: list[Keyed]) -> float:
    with pytest.raises(RateLimited) as caught:
        await take(limits, keys)
    return caught.value.wait.total_seconds()


def ahead(until: datetime) -> float:
    return (until - datetime.now(UTC)).total_seconds()


async def test_a_slow_bucket_is_kept_before_its_request_is_sent(redis: Redis) -> None:
    kept, keys = Kept(), keyed(SLOW, QUICK)
    async with Limits(redis, keep=kept).turn(keys, "", wait=Slept()):
        assert list(kept.waits) == [keys[0][1]]
        assert ahead(kept.waits[keys[0][1]]) == pytest.approx(3 * 3600, abs=5)
        assert kept.writes == 1


async def test_a_long_penalty_is_kept_once_and_a_short_one_is_not(redis: Redis) -> None:
    kept, keys = Kept(), keyed(QUICK)
    limits = Limits(redis, scale=1000, keep=kept)
    await limits.penalise(keys, seconds(60))
    assert kept.waits == {}
    await limits.penalise(keys, seconds(3600))
    await limits.penalise(keys, seconds(1800))
    assert kept.writes == 1
    assert ahead(kept.waits[keys[0][1]]) == pytest.approx(3600, abs=5)


async def test_a_long_wait_that_an_answer_tells_is_kept(redis: Redis) -> None:
    kept, keys = Kept(), keyed(QUICK)
    await take(Limits(redis, keep=kept), keys, told=[Told(opens=seconds(600))])
    assert ahead(kept.waits[keys[0][1]]) == pytest.approx(600, abs=5)


async def test_an_empty_valkey_burns_no_budget_of_hours(redis: Redis) -> None:
    kept, slow = Kept(), keyed(SLOW)
    await take(Limits(redis, keep=kept), slow)
    await redis.flushdb()
    for limits in (Limits(redis, keep=kept), Limits(redis, keep=kept)):
        assert await refused_for(limits, slow) > 3 * 3600 - 10
    assert kept.reads == 2, "before the first request, and after the loss"


async def test_a_loss_while_running_is_noticed_by_the_next_request(redis: Redis) -> None:
    kept, slow, quick = Kept(), keyed(SLOW), keyed(bucket("quick", every=0.2, burst=3))
    limits = Limits(redis, keep=kept)
    await take(limits, slow)
    await redis.flushdb()
    with structlog.testing.capture_logs() as logs:
        assert await take(limits, quick) == pytest.approx(0.2, abs=0.05), "its burst may be used up: one interval"
    assert [(line["marketplace"], line["waits_put_back"]) for line in logs] == [("vendor", 1)]
    assert await refused_for(limits, slow) > 3 * 3600 - 10
    await redis.flushdb()
    with pytest.raises(RateLimited) as caught:
        await take(limits, keyed(bucket("other", every=3600)))
    assert caught.value.wait <= seconds(60), "what was not kept is at most a minute away"


async def test_a_loss_while_we_wait_is_noticed_before_sending(redis: Redis) -> None:
    kept, keys = Kept(), keyed(bucket("quick", every=1), SLOW)
    limits = Limits(redis, keep=kept)
    await take(limits, keys[:1])

    async def wait(_: float) -> None:
        await redis.flushdb()
        await kept.write(keys[1][1], datetime.now(UTC) + timedelta(hours=1))

    with pytest.raises(RateLimited):
        async with limits.turn(keys, "", wait=wait):
            raise AssertionError("it was sent")


async def test_another_server_with_an_older_state_counts_as_a_loss(redis: Redis) -> None:
    """It started again from a snapshot, or a replica took over: the mark is there, and the wait is not."""
    kept, keys = Kept(), keyed(SLOW)
    limits = Limits(redis, keep=kept)
    await take(limits, keys)
    await redis.delete(keys[0][1])
    await change(redis, "limit:{vendor}", server=0)
    assert await refused_for(limits, keys) > 3 * 3600 - 10


async def test_many_may_restore_at_once_and_the_longest_wait_stays(redis: Redis) -> None:
    kept, keys = Kept(), keyed(SLOW)
    await kept.write(keys[0][1], datetime.now(UTC) + timedelta(hours=1))
    await kept.write("limit:{vendor}:past", datetime.now(UTC) - timedelta(seconds=1))
    await kept.write("limit:{other}:slow", datetime.now(UTC) + timedelta(hours=1))
    workers = [Limits(redis, keep=kept) for _ in range(8)]
    await workers[0].penalise(keys, timedelta(hours=2))
    for wait in await asyncio.gather(*(refused_for(worker, keys) for worker in workers)):
        assert wait == pytest.approx(7200, abs=5)
    assert await redis.exists("limit:{vendor}:past", "limit:{other}:slow") == 0


async def test_a_start_puts_nothing_back_where_nothing_was_lost(redis: Redis) -> None:
    """Valkey knows better: what was kept may have been given back since."""
    kept, keys = Kept(), keyed(SLOW)
    limits = Limits(redis, keep=kept)
    await limits.restore(["vendor"])
    await kept.write(keys[0][1], datetime.now(UTC) + timedelta(hours=1))
    await Limits(redis, keep=kept).restore(["vendor"])
    assert await take(limits, keys) == 0


async def test_a_booking_that_was_not_used_is_not_kept(redis: Redis) -> None:
    kept, keys = Kept(), keyed(bucket("slow", every=3600), bucket("quick", every=1))
    limits = Limits(redis, keep=kept)
    await take(limits, keys[1:])

    async def wait(_: float) -> None:
        assert kept.waits == {}, "it was booked and has not gone"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        async with limits.turn(keys, "", wait=wait):
            raise AssertionError("it was sent")
    assert kept.waits == {}


async def test_a_request_that_never_left_blocks_nobody_after_a_loss(redis: Redis) -> None:
    kept, keys = Kept(), keyed(SLOW)
    limits = Limits(redis, keep=kept)
    async with limits.turn(keys, "", wait=Slept()) as turn:
        assert len(kept.waits) == 1
        turn.unsent()
    await redis.flushdb()
    assert await take(limits, keys, max_wait=seconds(61)) <= 60


async def test_what_is_taken_back_leaves_what_others_have_used(redis: Redis) -> None:
    kept, keys = Kept(), keyed(bucket("slow", every=3600, burst=4))
    limits = Limits(redis, keep=kept)
    await take(limits, keys)
    async with limits.turn(keys, "", wait=Slept()) as turn, limits.turn(keys, "", wait=Slept()) as another:
        another.unsent()
        turn.unsent()
    assert kept.waits == {}
    assert [await take(limits, keys) for _ in range(2)] == [0.0, 0.0]
    assert ahead(kept.waits[keys[0][1]]) == pytest.approx(3600, abs=5)


async def test_the_first_start_of_all_has_its_whole_burst(redis: Redis) -> None:
    kept, keys = Kept(), keyed(bucket(every=60, burst=3))
    workers = [Limits(redis, keep=kept) for _ in range(4)]
    await asyncio.gather(*(worker.restore(["vendor"]) for worker in workers))
    assert [await take(worker, keys) for worker in workers[:2]] == [0.0, 0.0]


async def test_a_loss_while_no_worker_ran_gives_no_burst_again(redis: Redis) -> None:
    """Only PostgreSQL knows that the marketplace was in use: all workers are new."""
    kept, keys = Kept(), keyed(bucket(every=10, burst=100))
    for lost in (False, True, True):
        limits = Limits(redis, keep=kept)
        with structlog.testing.capture_logs() as logs:
            await limits.restore(["vendor"])
        assert [line["event"] for line in logs] == ["Redis had lost what the limits count"] * lost
        if lost:
            assert await take(limits, keys, max_wait=seconds(60)) == pytest.approx(10, abs=1)
        else:
            assert [await take(limits, keys) for _ in range(99)] == [0.0] * 99
        await redis.flushdb()


async def test_who_is_cut_off_while_an_answer_is_charged_charges_it_once(redis: Redis) -> None:
    kept, keys, charging = Kept(), keyed(SLOW), asyncio.Event()
    limits = Limits(redis, keep=kept)

    async def request() -> None:
        async with limits.turn(keys, "", wait=Slept()) as turn:
            kept.free.clear()
            charging.set()
            turn.answered(an_answer())

    cut_off = asyncio.create_task(request())
    await charging.wait()
    async with asyncio.timeout(5):
        await kept.stuck.wait()
        cut_off.cancel()
        await asyncio.wait([cut_off], timeout=0.1)
        kept.free.set()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
    assert await refused_for(limits, keys) == pytest.approx(3 * 3600, abs=5)


async def test_who_is_cut_off_before_sending_takes_back_what_was_kept(redis: Redis) -> None:
    kept, keys = Kept(), keyed(SLOW)
    limits = Limits(redis, keep=kept)
    await limits.restore(["vendor"])
    kept.free.clear()
    cut_off = asyncio.create_task(take(limits, keys))
    async with asyncio.timeout(5):
        await kept.stuck.wait()
        assert len(kept.waits) == 1
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
    kept.free.set()
    assert kept.waits == {}
    assert await take(limits, keys) == 0

"""Who is claimed first: kinds of work in their order, organizations in turns, and the ticks before them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from arq import cron, func
from arq.connections import ArqRedis

from worker.db.progress import AccountId, SliceKey
from worker.db.requests import BACKFILL, INTERACTIVE, SCHEDULED
from worker.db.tenancy import OrganizationId
from worker.queue import QUEUE, Job, make_redis, offer, ready_count
from worker.runtime import CollectorWorker, worker_options
from worker.schedule import DEPTH, again, job_for
from worker.settings import redis_parts


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_parts(redis_url))
    yield client
    await client.aclose()


def key(stream: str) -> SliceKey:
    return SliceKey(
        organization_id=OrganizationId(uuid4()), account_id=AccountId(uuid4()), marketplace="ozon", stream=stream
    )


async def streams(redis: ArqRedis) -> list[str]:
    """In the order in which a worker claims them."""
    return [job_id.decode().split(":")[3] for job_id in await redis.zrange(QUEUE, 0, -1)]


async def test_a_ticks_jobs_are_claimed_in_the_order_in_which_they_were_offered(redis: ArqRedis) -> None:
    names = [f"s{number}" for number in range(DEPTH)]
    await offer(redis, [Job("collect", (), f"c:{uuid4()}:ozon:{name}") for name in names])
    assert await streams(redis) == names
    assert await ready_count(redis) == DEPTH, "all of them at once"


async def test_what_somebody_waits_for_passes_what_was_queued_before_and_a_backfill_is_passed(redis: ArqRedis) -> None:
    wanted = [("backfill", BACKFILL), ("scheduled", SCHEDULED), ("interactive", INTERACTIVE)]
    for name, priority in wanted:
        await offer(redis, [job_for(key(name), priority=priority)])
    assert await streams(redis) == ["interactive", "scheduled", "backfill"]


async def test_a_short_queue_passes_the_rest_of_a_long_one_that_was_offered_ticks_before(redis: ArqRedis) -> None:
    await offer(redis, [job_for(key(f"long {turn}"), turn=turn) for turn in range(1, 501)])
    await offer(redis, [job_for(key("short"), turn=1)])
    # In the same moment its place is beside the other's first; a tick later, beside those that would be claimed then.
    assert (await streams(redis)).index("short") <= 2


async def test_a_run_that_goes_on_later_is_not_begun_before(redis: ArqRedis) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    await offer(redis, [again(key("put off"), soon)])
    assert await ready_count(redis) == 0


async def test_a_tick_does_not_stand_in_the_queue_that_it_fills(redis: ArqRedis) -> None:
    async def nothing(*_: object, **__: object) -> None: ...

    await offer(redis, [job_for(key("asked for"), priority=INTERACTIVE)])
    tick = cron(nothing, name="cron:tick", second=set(range(60)))
    worker = CollectorWorker(
        **worker_options(redis=redis, functions=[func(nothing, name="collect")], cron_jobs=[tick], handle_signals=False)
    )
    now = datetime.now(UTC)
    await worker.run_cron(now, 0.5)
    await worker.run_cron(now + timedelta(seconds=1), 0.5)
    first: Sequence[bytes] = await redis.zrange(QUEUE, 0, 0)
    assert first[0].startswith(b"cron:tick:")

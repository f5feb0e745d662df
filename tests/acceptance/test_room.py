"""What is in the queue: never so many backfills that nothing else fits, and no run that is far away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from arq.connections import ArqRedis

from sandbox.ledger import Failure
from tests.stage import Stage
from worker import schedule
from worker.db.requests import BACKFILL
from worker.jobs import collect_slice
from worker.queue import QUEUE, ready_count

_DUE_BACKFILLS = """
INSERT INTO collect.stream_state
    (organization_id, marketplace_account_id, marketplace, stream, slice, lane, "interval", priority, next_due_at)
SELECT organization_id, id, marketplace, 'fbs_postings', n::text, 'backfill', '1 day', $1, now() - interval '9 hours'
FROM core.marketplace_account, generate_series(1, 1000) n
"""


async def lanes(redis: ArqRedis) -> list[str]:
    return [job_id.decode().rsplit(":", 1)[1] for job_id in await redis.zrange(QUEUE, 0, -1)]


async def test_backfills_of_many_organizations_leave_room_for_what_is_scheduled(stage: Stage) -> None:
    for number in range(1, 5):
        await stage.add_account(
            await stage.add_organization(f"Org {number}"), "ozon", number=number, streams=["prices"]
        )
    async with stage.resources() as resources:
        await stage.change("UPDATE collect.stream_state SET next_due_at = now() + interval '1 hour'")
        await stage.change(_DUE_BACKFILLS, BACKFILL)
        greedy = replace(resources, account_jobs=1000)
        for _ in range(3):
            await schedule.tick(greedy)
        assert await lanes(resources.redis) == ["backfill"] * (schedule.DEPTH // 2)
        await stage.change("UPDATE collect.stream_state SET next_due_at = now() WHERE lane = 'live'")
        assert await schedule.tick(greedy) == 4
        assert (await lanes(resources.redis))[:4] == ["live"] * 4, "and they come first"


@pytest.mark.parametrize(("retry", "offered"), [(600, 0), (5, 1)])
async def test_a_run_that_waits_for_longer_than_a_tick_is_left_to_the_tick(
    stage: Stage, retry: int, offered: int
) -> None:
    """Which offers no more than an organization and an account may have queued; a hint does not count them."""
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon", streams=["prices"])
    stage.box.ledger.plan(Failure("ozon", "prices", 1, 429, retry=retry))
    async with stage.resources() as resources:
        await collect_slice(resources, account.key("prices"), stopping=lambda: False)
        assert await resources.redis.zcard(QUEUE) == offered
        assert await ready_count(resources.redis) == 0
    assert await stage.value("SELECT outcome FROM collect.run") == "put off"

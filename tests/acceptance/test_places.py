"""Ozon makes one advertising report at a time for a seller: whoever of us asks for another waits for its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from collectors.registry import STREAMS
from collectors.stream import Fetch, Step, Walk, Window
from sandbox.clock import Clock
from sandbox.ozon import Ozon
from sandbox.server import Play, Sandbox
from tests.oracle import netted_order_ids
from tests.servers import Database
from tests.stage import Account, Stage, hasty, run_all, stage_settings
from worker.jobs import collect_slice

CREATE = "ozon/perf_report/create"


@pytest.fixture
async def strict(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose Ozon refuses a second report, which are ready at the second poll."""
    now = Clock.frozen(datetime.now(UTC))
    async with Sandbox(tmp_path / "sandbox", clock=now, rate_scale=1e6, play=Play(scale=0.3, report_polls=1)) as box:
        yield Stage(box, database, stage_settings(box, database, redis_url), tmp_path)


@pytest.fixture
async def account(strict: Stage) -> Account:
    account = await strict.add_account(await strict.add_organization("Sunrise"), "ozon")
    async with strict.resources() as resources:
        await run_all(resources, account, "perf_campaigns")
    return account


def of_one_campaign(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
    """Make the stream's reports of a campaign each: a small cabinet has too few for a second report of ten."""
    return STREAMS["ozon"]["perf_report"].pages(fetch, replace(walk, smaller=4))


async def collect(stage: Stage, account: Account, lane: str = "live", **changes: Any) -> str:
    """Run the stream, perhaps changed, in a worker of its own; return what became of the run."""
    stream = replace(STREAMS["ozon"]["perf_report"], **changes)
    streams = {"ozon": {**STREAMS["ozon"], stream.name: stream}}
    async with stage.resources() as resources:
        await collect_slice(
            replace(hasty(resources), streams=streams), account.key("perf_report", lane=lane), stopping=lambda: False
        )
    await stage.pass_waits()
    sql = "SELECT concat_ws(': ', outcome, error) FROM collect.run ORDER BY started_at DESC LIMIT 1"
    return str(await stage.value(sql))


async def add_twin(stage: Stage) -> Account:
    """Add another tenant's account of the same seller."""
    twin = await stage.add_account(await stage.add_organization("Moon"), "ozon")
    async with stage.resources() as resources:
        await run_all(resources, twin, "perf_campaigns")
    return twin


async def test_the_others_wait_until_a_report_is_fetched_whoever_they_are(strict: Stage, account: Account) -> None:
    twin = await add_twin(strict)
    assert "the report is not made yet" in await collect(strict, account)
    for _ in range(3):
        assert "put off: no place of 'performance_reports' is free yet" in await collect(strict, twin)
    assert strict.box.requests()[CREATE] == 1
    assert await strict.value("SELECT max(attempts) FROM collect.stream_state") == 0, "to wait costs no attempt"

    # Its second window takes the place that its first one has given back.
    for _ in range(8):
        if await collect(strict, account) == "done":
            break
    assert "the report is not made yet" in await collect(strict, twin)
    assert strict.box.violations() == []


async def test_a_walk_makes_one_report_of_its_campaigns_after_the_other_and_each_once(
    strict: Stage, account: Account
) -> None:
    for _ in range(30):
        if await collect(strict, account, pages=of_one_campaign) == "done":
            break
    walks = await strict.rows(
        "SELECT w.pages, w.completed_at IS NOT NULL AS is_complete FROM collect.walk w WHERE w.stream = 'perf_report'"
    )
    assert [tuple(walk) for walk in walks] == [(3, True)] * len(walks)
    assert strict.box.requests()[CREATE] == 3 * len(walks)
    files = await strict.rows("SELECT body, request::text FROM raw.page WHERE stream = 'perf_report'")
    told = Counter(file["body"].decode().partition("№ ")[2].partition(",")[0] for file in files)
    listed = strict.box.records("ozon", account.seller, "perf_daily", by="created")
    assert told == dict.fromkeys({key.partition("/")[0] for key in listed}, len(walks))
    assert strict.box.violations() == []


async def test_a_backfill_waits_for_live_collection_and_goes_on_after_it(strict: Stage, account: Account) -> None:
    async with strict.resources() as resources:
        now = resources.clock.now()
        past = Window(now - timedelta(days=200), now - timedelta(days=195))
        await strict.client(resources).request(
            account.organization_id, account.id, "perf_report", window=past, asked_by="a test"
        )
    assert "the report is not made yet" in await collect(strict, account)
    assert "no place" in await collect(strict, account, "backfill")
    while await collect(strict, account) != "done":
        pass
    assert "the report is not made yet" in await collect(strict, account, "backfill")
    assert await collect(strict, account, "backfill") in {"done", "nothing new"}
    assert strict.box.violations() == []
    walks = await strict.value("SELECT count(*) FROM collect.walk WHERE stream = 'perf_report'")
    assert strict.box.requests()[CREATE] == walks, "each report was made once"


async def test_what_a_killed_worker_holds_is_free_in_the_end(strict: Stage, account: Account, redis_url: str) -> None:
    twin = await add_twin(strict)
    await collect(strict, account)
    async with Redis.from_url(redis_url) as redis:
        (key,) = await redis.keys("*performance_reports:places:*:held")
        (held,) = await redis.zrange(key, 0, -1, withscores=True)
        seconds, _ = await redis.time()
        assert 14 * 60 < held[1] / 1e6 - seconds < 15 * 60 + 1
        await redis.zadd(key, {held[0]: seconds * 1e6})  # … and a quarter of an hour passes
    await collect(strict, twin)
    assert strict.box.requests()[CREATE] == 2


async def test_a_report_of_somebody_else_puts_all_of_ours_off_and_costs_one_call(
    strict: Stage, account: Account
) -> None:
    twin = await add_twin(strict)
    ours = strict.box.marketplaces["ozon"]
    assert isinstance(ours, Ozon)
    ours.adverts.occupy(account.seller)
    told = await collect(strict, account)
    assert told.startswith("put off: POST /api/client/statistics: 429")
    for each in (account, twin):
        assert "put off: the limit 'performance_reports' is used up for" in await collect(strict, each)
    assert strict.box.requests()[CREATE] == 1
    assert await strict.value("SELECT max(attempts) FROM collect.stream_state") == 0


async def test_a_report_that_is_gone_is_made_again_in_its_own_place(strict: Stage, account: Account) -> None:
    await collect(strict, account)
    ours = strict.box.marketplaces["ozon"]
    assert isinstance(ours, Ozon)
    ours.adverts.purge()
    assert "the report was not made: the marketplace no longer knows it" in await collect(strict, account)
    assert "the report is not made yet" in await collect(strict, account)
    while await collect(strict, account) != "done":
        pass
    files = await strict.rows("SELECT file_name, content_type, body FROM raw.page WHERE stream = 'perf_report'")
    assert files
    for file in files:
        assert file["file_name"].endswith(".zip")
        assert file["content_type"] == "application/zip"
        assert len(netted_order_ids(file["body"])) == 3, "a CSV for each campaign"
    assert strict.box.violations() == []

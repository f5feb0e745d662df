"""Ozon makes one advertising report at a time for a seller: whoever of us asks for another waits for its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from collectors.stream import Window
from sandbox.clock import Clock
from sandbox.ozon import Ozon
from sandbox.server import Play, Sandbox
from tests.servers import Database
from tests.stage import Account, Stage, hasty, run_all, stage_settings
from worker.jobs import collect_slice

CREATE, POLL, FILE = "ozon/perf_report/create", "ozon/perf_report/info", "ozon/perf_report/file"


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


async def campaigns(stage: Stage) -> list[str]:
    sql = "SELECT DISTINCT slice FROM collect.stream_state WHERE stream = 'perf_report' ORDER BY slice"
    return [row["slice"] for row in await stage.rows(sql)]


async def collect(stage: Stage, account: Account, campaign: str, lane: str = "live") -> str:
    """Run one slice in a worker of its own; return what became of the run."""
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_report", campaign, lane), stopping=lambda: False)
    await stage.pass_waits()
    sql = "SELECT concat_ws(': ', outcome, error) FROM collect.run ORDER BY started_at DESC LIMIT 1"
    return str(await stage.value(sql))


async def test_the_others_wait_until_a_report_is_fetched_whoever_they_are(strict: Stage, account: Account) -> None:
    twin = await strict.add_account(await strict.add_organization("Moon"), "ozon")  # the same seller
    async with strict.resources() as resources:
        await run_all(resources, twin, "perf_campaigns")
    first, second, _ = await campaigns(strict)
    assert "the report is not made yet" in await collect(strict, account, first)
    for _ in range(3):
        for other in (account, twin):
            assert "put off: no place of 'performance_reports' is free yet" in await collect(strict, other, second)
    assert strict.box.requests()[CREATE] == 1
    assert await strict.value("SELECT max(attempts) FROM collect.stream_state") == 0, "to wait costs no attempt"

    # Its second window takes the place that its first one has given back.
    for _ in range(8):
        if await collect(strict, account, first) == "done":
            break
    assert "the report is not made yet" in await collect(strict, twin, second)
    assert strict.box.violations() == []


async def test_a_backfill_waits_for_live_collection_and_goes_on_after_it(strict: Stage, account: Account) -> None:
    first, *_ = await campaigns(strict)
    async with strict.resources() as resources:
        now = resources.clock.now()
        past = Window(now - timedelta(days=200), now - timedelta(days=195))
        await strict.client(resources).request(
            account.organization_id, account.id, "perf_report", slice=first, window=past, asked_by="a test"
        )
    assert "the report is not made yet" in await collect(strict, account, first)
    assert "no place" in await collect(strict, account, first, "backfill")
    while await collect(strict, account, first) != "done":
        pass
    assert "the report is not made yet" in await collect(strict, account, first, "backfill")
    assert await collect(strict, account, first, "backfill") in {"done", "nothing new"}
    assert strict.box.violations() == []
    walks = await strict.value("SELECT count(*) FROM collect.walk WHERE stream = 'perf_report'")
    assert strict.box.requests()[CREATE] == walks, "each report was made once"


async def test_what_a_killed_worker_holds_is_free_in_the_end(strict: Stage, account: Account, redis_url: str) -> None:
    first, second, _ = await campaigns(strict)
    await collect(strict, account, first)
    async with Redis.from_url(redis_url) as redis:
        (key,) = await redis.keys("*performance_reports:places:*:held")
        (held,) = await redis.zrange(key, 0, -1, withscores=True)
        seconds, _ = await redis.time()
        assert 14 * 60 < held[1] / 1e6 - seconds < 15 * 60 + 1
        await redis.zadd(key, {held[0]: seconds * 1e6})  # … and a quarter of an hour passes
    await collect(strict, account, second)
    assert strict.box.requests()[CREATE] == 2


async def test_a_report_of_somebody_else_puts_all_of_ours_off_and_costs_one_call(
    strict: Stage, account: Account
) -> None:
    first, second, _ = await campaigns(strict)
    ours = strict.box.marketplaces["ozon"]
    assert isinstance(ours, Ozon)
    ours.adverts.occupy(account.seller)
    told = await collect(strict, account, first)
    assert told.startswith("put off: POST /api/client/statistics: 429")
    for campaign in (first, second):
        assert "put off: the limit 'performance_reports' is used up for" in await collect(strict, account, campaign)
    assert strict.box.requests()[CREATE] == 1
    assert await strict.value("SELECT max(attempts) FROM collect.stream_state") == 0


async def test_a_report_that_is_gone_is_made_again_in_its_own_place(strict: Stage, account: Account) -> None:
    first, *_ = await campaigns(strict)
    await collect(strict, account, first)
    ours = strict.box.marketplaces["ozon"]
    assert isinstance(ours, Ozon)
    ours.adverts.purge()
    assert "the report was not made: the marketplace no longer knows it" in await collect(strict, account, first)
    assert "the report is not made yet" in await collect(strict, account, first)
    while await collect(strict, account, first) != "done":
        pass
    files = await strict.rows("SELECT file_name, content_type, body FROM raw.page WHERE stream = 'perf_report'")
    assert files
    for file in files:
        assert file["file_name"].endswith(".csv")
        assert file["content_type"] == "text/csv; charset=UTF-8"
        assert f"№ {first}, период" in file["body"].decode()
    assert strict.box.violations() == []

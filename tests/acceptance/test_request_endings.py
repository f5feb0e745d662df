"""How requests end: served, however they meet a run; or closed, if their slice is gone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from collectors.registry import STREAMS
from collectors.stream import Fetch, Step, Walk, Window
from tests.stage import Account, Stage, hasty
from worker.jobs import collect_slice

NOW = datetime.now(UTC)


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


async def test_a_request_written_while_a_run_begins_is_not_closed_unserved(stage: Stage, ozon: Account) -> None:
    """The request's transaction is still open when the run takes its lease."""
    postings = STREAMS["ozon"]["fbs_postings"]
    asking: asyncio.Task[object] | None = None

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        if asking is not None:
            await asking
        async for step in postings.pages(fetch, walk):
            yield step

    slow = {"ozon": {"fbs_postings": dataclasses.replace(postings, pages=pages)}}
    async with stage.resources(streams=slow) as resources:
        client = stage.client(resources)
        window = Window(NOW - timedelta(days=80), NOW - timedelta(days=79))
        earlier = Window(NOW - timedelta(days=75), NOW - timedelta(days=74))
        await client.request(ozon.organization_id, ozon.id, "fbs_postings", window=earlier, asked_by="a test")
        async with stage.database.connect("postgres") as owner:
            await owner.execute(
                "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;"
                "CREATE TRIGGER slow AFTER INSERT ON collect.request FOR EACH STATEMENT EXECUTE FUNCTION public.slow()"
            )
        asking = asyncio.create_task(
            client.request(ozon.organization_id, ozon.id, "fbs_postings", window=window, asked_by="a test")
        )
        async with stage.database.connect("postgres") as owner:
            while not await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                await asyncio.sleep(0.01)
                assert not asking.done(), "the request was written at once: the test would prove nothing"
        await collect_slice(resources, ozon.key("fbs_postings", lane="backfill"), stopping=lambda: False)
        await asking
        await collect_slice(resources, ozon.key("fbs_postings", lane="backfill"), stopping=lambda: False)
    open_ones = "SELECT count(*) FROM collect.request WHERE done_at IS NULL OR NOT collected @> time_window"
    assert await stage.value(open_ones) == 0


async def test_a_request_of_a_slice_that_is_gone_is_closed(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        await stage.client(resources).request(ozon.organization_id, ozon.id, "products", asked_by="a test")
    fewer = {"ozon": {name: stream for name, stream in STREAMS["ozon"].items() if name != "products"}}
    async with stage.resources(streams=fewer):
        pass
    assert {row[0] for row in await stage.rows("SELECT outcome FROM collect.request")} == {"retired"}


async def test_a_request_that_waits_keeps_its_priority(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        await stage.client(resources).request(ozon.organization_id, ozon.id, "products", slice="ALL", asked_by="a test")
        stage.box.fail("ozon", "products", 503, count=3)
        priority = "SELECT priority FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'"
        await collect_slice(hasty(resources), ozon.key("products", "ALL"), stopping=lambda: False)
        assert await stage.value(priority) == 0
        await stage.pass_waits()
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
        assert await stage.value(priority) == 1


async def test_a_slice_that_is_retired_in_mid_run_stays_retired(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        retired: list[asyncio.Task[None]] = []

        def retire() -> bool:
            if not retired:
                sql = (
                    "UPDATE collect.stream_state SET state = 'retired', next_due_at = NULL"
                    " WHERE stream = 'products' AND slice = 'ALL'"
                )
                retired.append(asyncio.create_task(stage.change(sql)))
            return False

        await collect_slice(resources, ozon.key("products", "ALL"), stopping=retire)
        await retired[0]
    assert (
        await stage.value("SELECT state FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'")
        == "retired"
    )


async def test_a_window_of_before_there_were_marketplaces_is_refused(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        with pytest.raises(ValueError, match="2000-01-01"):
            await stage.client(resources).request(
                ozon.organization_id,
                ozon.id,
                "fbs_postings",
                window=Window(datetime(1, 1, 1, tzinfo=UTC), NOW - timedelta(days=1)),
                asked_by="a test",
            )


async def test_a_snapshot_that_was_under_way_does_not_serve_a_later_request(stage: Stage) -> None:
    """Its first pages are older than the request: whoever asks now wants to see now."""
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        key = account.key("prices")
        await collect_slice(resources, key, stopping=lambda: True)
        await stage.client(resources).request(account.organization_id, account.id, "prices", asked_by="a test")
        await collect_slice(resources, key, stopping=lambda: False)
        assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 1
        assert await stage.value("SELECT done_at FROM collect.request") is None
        await collect_slice(resources, key, stopping=lambda: False)
    assert await stage.value("SELECT outcome FROM collect.request") == "collected"
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 2

"""Streams that ask for the ids that other streams brought."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from collectors.fanout import by_ids
from collectors.ozon.api import SELLER
from collectors.paging import post
from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Request, Step, Stream, Walk
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage, run_all
from worker.jobs import collect_slice
from worker.kept_ids import KeptIds
from worker.queue import ready_count

OZON = STREAMS["ozon"]
NOTHING = '{"result": {"items": [], "total": 0, "last_id": ""}}'
WALKS = "SELECT pages, superseded_at IS NOT NULL AS superseded FROM collect.walk WHERE stream = $1 ORDER BY started_at"


class Killed(BaseException):
    """The worker died. Nothing catches it."""


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


async def test_a_stream_waits_for_its_ids_without_an_attempt_and_goes_on_when_they_are_there(
    stage: Stage, ozon: Account
) -> None:
    state = (
        "SELECT attempts, last_error, coalesce(not_before > now(), false) AS waits"
        " FROM collect.stream_state WHERE stream = 'product_info'"
    )
    put_off = {"attempts": 0, "last_error": "ozon/products has not been collected yet", "waits": True}
    async with stage.resources() as resources:
        await run_all(resources, ozon, "product_info")
        assert dict((await stage.rows(state))[0]) == put_off
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
        assert dict((await stage.rows(state))[0]) == put_off, "the archive is not collected yet"
        assert await ready_count(resources.redis) == 0
        assert "ozon/product_info" not in stage.box.requests()
        await run_all(resources, ozon, "products")
        assert dict((await stage.rows(state))[0]) == put_off | {"waits": False}
        assert await ready_count(resources.redis) == 1
        await run_all(resources, ozon, "product_info")
        await assert_whole(stage, ozon, ["products", "product_info"])


@asynccontextmanager
async def held_up(stage: Stage, stream: str) -> AsyncIterator[None]:
    """Let a run of the stream wait in the transaction that ends it, as long as the block lasts."""
    async with stage.database.connect("collector_owner") as owner:
        await owner.execute(
            "CREATE FUNCTION public.meet() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;"
            " CREATE TRIGGER meet BEFORE UPDATE ON collect.stream_state FOR EACH ROW"
            f" WHEN (NEW.stream = '{stream}' AND OLD.lease_token IS NOT NULL AND NEW.lease_token IS NULL)"
            " EXECUTE FUNCTION public.meet()"
        )
        async with owner.transaction():
            await owner.execute("SELECT pg_advisory_xact_lock(4711)")
            yield


async def is_held_up(stage: Stage, run: asyncio.Task[None]) -> None:
    async with stage.database.connect("collector_owner") as owner:
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            assert not run.done(), "it ended without waiting"
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("first", ["campaigns", "adv_stats"])
async def test_ids_that_come_while_their_stream_is_put_off_wake_it_whichever_is_committed_first(
    stage: Stage, first: str
) -> None:
    """Both runs see the other one as it was before: the one that is committed last has to wake the stream."""
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    last = {"campaigns": "adv_stats", "adv_stats": "campaigns"}[first]
    waits = "SELECT not_before > now() FROM collect.stream_state WHERE stream = 'adv_stats'"
    async with stage.resources() as resources:
        async with held_up(stage, last):
            run = asyncio.create_task(collect_slice(resources, account.key(last), stopping=lambda: False))
            await is_held_up(stage, run)
            await collect_slice(resources, account.key(first), stopping=lambda: False)
            assert bool(await stage.value(waits)) == (first == "adv_stats"), "nothing is to be woken yet"
        await run
        assert not await stage.value(waits)
        assert await ready_count(resources.redis) == 1
        await run_all(resources, account, "adv_stats")
        outcomes = await stage.rows("SELECT outcome FROM collect.run WHERE stream = 'adv_stats' ORDER BY started_at")
        assert [row["outcome"] for row in outcomes] == ["put off", "done"]


@pytest.mark.parametrize(
    ("state", "outcome"), [("unavailable", "unavailable"), ("retired", "unavailable"), ("quarantined", "put off")]
)
async def test_a_stream_whose_ids_cannot_come_now_is_left_alone_until_they_can(
    stage: Stage, ozon: Account, state: str, outcome: str
) -> None:
    waiting = "SELECT greatest(not_before, next_due_at) > now() AS waits FROM collect.stream_state WHERE stream = $1"
    async with stage.resources() as resources:
        await stage.change("UPDATE collect.stream_state SET state = $1 WHERE stream = 'products'", state)
        for stream in ("product_info", "product_info", "stocks_fbo"):
            await run_all(resources, ozon, stream)
        runs = await stage.rows("SELECT outcome FROM collect.run WHERE stream = 'product_info'")
        assert [run["outcome"] for run in runs] == [outcome], "it woke itself"
        assert await stage.value(waiting, "product_info")
        assert await ready_count(resources.redis) == 0
        await stage.change("UPDATE collect.stream_state SET state = 'active' WHERE stream = 'products'")
        for stream in ("products", "product_info"):
            await run_all(resources, ozon, stream)
            assert await ready_count(resources.redis) >= 1
        await run_all(resources, ozon, "stocks_fbo")
        await assert_whole(stage, ozon, ["product_info", "stocks_fbo"])
    states = await stage.rows(
        "SELECT DISTINCT state FROM collect.stream_state WHERE stream IN ('product_info', 'stocks_fbo')"
    )
    assert [row["state"] for row in states] == ["active"]


async def test_the_ids_of_a_stream_that_is_no_longer_wanted_are_still_good(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, ozon, "products")
        await stage.change("UPDATE collect.stream_state SET state = 'retired' WHERE stream = 'products'")
        await run_all(resources, ozon, "product_info")
        await assert_whole(stage, ozon, ["product_info"])


async def test_a_list_without_ids_completes_the_walk_and_nothing_is_asked(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        for stream in ("products", "product_info"):
            await run_all(resources, ozon, stream)
        asked = stage.box.requests()["ozon/product_info"]
        await stage.make_due()
        stage.box.fail("ozon", "products", 200, count=2, body=NOTHING)
        for stream in ("products", "product_info"):
            await run_all(resources, ozon, stream)
    assert stage.box.requests()["ozon/product_info"] == asked
    assert [tuple(walk) for walk in await stage.rows(WALKS, "product_info")] == [(1, True), (0, False)]
    outcomes = await stage.rows("SELECT outcome FROM collect.run WHERE stream = 'product_info' ORDER BY started_at")
    assert [run["outcome"] for run in outcomes] == ["done", "nothing new"]


async def test_a_walk_under_way_goes_on_with_its_ids_and_reads_no_pages_for_them(stage: Stage, ozon: Account) -> None:
    key = ozon.key("product_info")
    async with stage.resources() as resources:
        await run_all(resources, ozon, "products")
        few = replace(resources, streams={"ozon": {**OZON, "product_info": cards()}})
        await collect_slice(few, key, stopping=lambda: True)
        assert few.ids.size > 0
        await stage.change("UPDATE collect.walk SET superseded_at = now() WHERE stream = 'products'")
        await collect_slice(few, key, stopping=lambda: False)
        assert few.ids.size == 0, "the walk is over"
        (walk,) = await stage.rows(WALKS, "product_info")
        assert walk["pages"] > 1, "its ids were looked for again, where there are none"


async def test_a_page_that_does_not_tell_its_ids_is_an_error_that_names_it(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        stage.box.fail("ozon", "products", 200, body='{"result": {"items": [{"id": 1}], "total": 1, "last_id": ""}}')
        for stream in ("products", "product_info"):
            await run_all(resources, ozon, stream)
    (run,) = await stage.rows("SELECT outcome, error FROM collect.run WHERE stream = 'product_info'")
    assert run["outcome"] == "failed"
    assert run["error"].startswith("a page of ozon/products does not tell its ids: ")


def cards(*, killed_in: int | None = None) -> Stream:
    """Product cards, ten at a time; the worker dies in its run's request of that number."""
    ten = by_ids(
        post(SELLER, "/v3/product/info/list", lambda _, at: {"product_id": [str(one) for one in at["ids"]]}),
        rows="items",
        size=10,
    )

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        left = killed_in

        async def asking(request: Request) -> Answer:
            nonlocal left
            if left is not None and (left := left - 1) < 0:
                raise Killed
            return await fetch(request)

        async with aclosing(ten(asking, walk)) as steps:
            async for step in steps:
                yield step

    return replace(OZON["product_info"], pages=pages)


async def test_ids_renewed_and_a_worker_killed_in_mid_walk_cost_and_double_nothing(stage: Stage, ozon: Account) -> None:
    key = ozon.key("product_info")
    async with stage.resources() as resources:

        async def run(stream: Stream, *, one_page: bool = False) -> None:
            streams = {"ozon": {**OZON, stream.name: stream}}
            other_process = replace(resources, streams=streams, ids=KeptIds())
            await collect_slice(other_process, key, stopping=lambda: one_page)

        await run_all(resources, ozon, "products")
        listed = set(stage.box.records("ozon", ozon.seller, "products"))
        await run(cards(), one_page=True)
        stage.box.clock.advance(timedelta(days=3))
        await stage.make_due()
        await run_all(resources, ozon, "products")
        with pytest.raises(Killed):
            await run(cards(killed_in=1))
        await stage.change("UPDATE collect.stream_state SET lease_until = now()")
        await run(cards())
        await assert_whole(stage, ozon, ["product_info"])
    assert set(stage.box.records("ozon", ozon.seller, "products")) > listed, "nothing was renewed"
    requests = await stage.rows("SELECT request::text FROM raw.page WHERE stream = 'product_info'")
    asked = Counter(one for row in requests for one in json.loads(row["request"])["body"]["product_id"])
    assert set(asked.values()) == {1}, "an id was asked for twice"
    assert len(requests) >= 4
    await assert_honest(stage)

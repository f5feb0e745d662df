"""What a run that fails leaves behind: bytes given back, a reason that can be stored, attempts that are its own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from unittest import mock

import pytest

from collectors.registry import STREAMS
from collectors.stream import Fetch, Mark, Step, Walk
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage, hasty
from worker.http.hosts import Hosts
from worker.jobs import POISON, collect_slice


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


async def test_a_run_that_loses_its_lease_gives_its_bytes_back(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        stolen: list[asyncio.Task[None]] = []

        def steal() -> bool:
            if not stolen:
                stealing = stage.change("UPDATE collect.stream_state SET lease_token = uuidv7()")
                stolen.append(asyncio.create_task(stealing))
            return False

        await collect_slice(resources, ozon.key("fbs_postings"), stopping=steal)
        assert await stage.value(
            "SELECT lease_token IS NOT NULL FROM collect.stream_state WHERE stream = 'fbs_postings'"
        )
        assert resources.fetcher.budget.used == 0


async def test_words_of_the_api_that_cannot_be_stored_do_not_keep_the_run_from_ending(
    stage: Stage, ozon: Account
) -> None:
    stage.box.fail("ozon", "products", 401, body='{"code": 16, "message": "who are you?\\u0000"}')
    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
    assert await stage.value("SELECT outcome FROM collect.run") == "account refused"
    assert "who are you?" in await stage.value(
        "SELECT last_error FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'"
    )


async def test_words_of_the_api_are_kept_short(stage: Stage, ozon: Account) -> None:
    stage.box.fail("ozon", "products", 400, body='{"code": 3, "message": "%s"}' % ("no " * 20_000))
    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
    assert 500 < await stage.value("SELECT length(error) FROM collect.run") < 2_000


async def test_an_api_that_is_down_for_long_is_asked_until_it_is_back(stage: Stage, ozon: Account) -> None:
    stage.box.fail("ozon", "products", 503, count=2 * POISON)
    now = 0.0
    async with stage.resources() as opened:
        fetcher = dataclasses.replace(hasty(opened).fetcher, known=Hosts(lambda: now))
        resources = dataclasses.replace(opened, fetcher=fetcher)
        for _ in range(2 * POISON):
            await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
            await stage.pass_waits()
            now += 301.0
    assert await stage.value("SELECT count(*) FROM collect.run WHERE outcome = 'failed'") > POISON
    assert (
        await stage.value("SELECT state FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'")
        == "active"
    )
    assert (
        await stage.value("SELECT attempts FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'") == 0
    )


async def test_a_host_that_fails_for_everybody_is_left_alone_without_spending_attempts(
    stage: Stage, ozon: Account
) -> None:
    stage.box.fail("ozon", "products", 503, count=100)
    async with stage.resources() as resources:
        for _ in range(8):
            await collect_slice(hasty(resources), ozon.key("products", "ALL"), stopping=lambda: False)
            await stage.pass_waits()
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
    runs = await stage.rows("SELECT outcome, requests, error FROM collect.run ORDER BY started_at")
    assert [run["outcome"] for run in runs] == ["failed"] * 4 + ["put off"] * 5
    assert sum(run["requests"] for run in runs) == 10
    assert "left alone" in runs[-1]["error"]
    assert (
        await stage.value("SELECT attempts FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'") == 4
    )


async def test_a_run_that_always_kills_its_worker_is_set_aside(stage: Stage, ozon: Account) -> None:
    await _make_rows(stage)
    await stage.change("UPDATE collect.stream_state SET attempts = $1", POISON)
    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
    assert (
        await stage.value("SELECT state FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'")
        == "quarantined"
    )


async def _make_rows(stage: Stage) -> None:
    async with stage.resources():
        pass


async def test_only_unacceptable_answers_in_a_row_set_a_slice_aside(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:

        async def run() -> str:
            await collect_slice(hasty(resources), ozon.key("products", "ALL"), stopping=lambda: False)
            await stage.pass_waits()
            return str(
                await stage.value("SELECT state FROM collect.stream_state WHERE stream = 'products' AND slice = 'ALL'")
            )

        stage.box.fail("ozon", "products", 503, count=9)
        for _ in range(3):
            assert await run() == "active"
        stage.box.fail("ozon", "products", 400, count=3, body='{"code": 3, "message": "odd"}')
        assert [await run() for _ in range(3)] == ["active", "active", "quarantined"]


async def test_a_pool_without_a_free_connection_is_the_databases_failure_not_a_mistake(
    stage: Stage, ozon: Account
) -> None:
    async with stage.resources() as resources:
        engine = resources.engine

        async def secret(_: str, __: tuple[str, ...], *, fresh: bool = False) -> dict[str, str]:
            del fresh
            async with AsyncExitStack() as held:
                for _number in range(10):
                    await held.enter_async_context(engine.connect())
                with mock.patch.object(engine.sync_engine.pool, "_timeout", 0.01):
                    await engine.connect()
            raise AssertionError("the pool was not empty")

        starving = dataclasses.replace(resources, secret=secret)
        await collect_slice(starving, ozon.key("products", "ALL"), stopping=lambda: False)
    run = (await stage.rows("SELECT outcome, error FROM collect.run"))[0]
    assert run["error"].startswith("the database failed")


async def test_a_database_that_drops_every_connection_in_mid_run_costs_nothing(stage: Stage, ozon: Account) -> None:
    dropped: list[asyncio.Task[None]] = []

    def drop() -> bool:
        if not dropped:
            dropped.append(asyncio.create_task(_drop_connections(stage)))
        return False

    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=drop)
        await dropped[0]
    assert await stage.value("SELECT outcome FROM collect.run") == "done"
    await assert_whole(stage, ozon, ["fbs_postings"])
    await assert_honest(stage)


async def _drop_connections(stage: Stage) -> None:
    async with stage.database.connect("postgres") as owner:
        sql = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'collector_worker' AND datname = $1"
        )
        await owner.fetch(sql, stage.database.name)


async def test_one_bad_answer_leaves_its_window_and_stops_none_of_its_neighbours(stage: Stage, ozon: Account) -> None:
    stage.box.fail("ozon", "fbs_postings", 200, body='{"result": {"postings": []}}')  # the envelope moved
    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
        assert await stage.value("SELECT outcome FROM collect.run") == "quarantined"
        assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") > 50
        kept = (await stage.rows("SELECT reason, body, page_number FROM collect.quarantine"))[0]
        assert (kept["body"], kept["page_number"]) == (b'{"result": {"postings": []}}', 0)
        assert "postings" in kept["reason"]
        await stage.pass_waits()
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
    gaps = "SELECT count(*) FROM collect.coverage, unnest(covered) WHERE stream = 'fbs_postings'"
    assert await stage.value(gaps) == 1, "the hole was closed by itself"
    await assert_whole(stage, ozon, ["fbs_postings"])
    await assert_honest(stage)


async def test_odd_content_whose_paging_can_be_read_is_stored_and_stops_nothing(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    bodies = ['{"data": {"listGoods": [{"nmID": 1, "odd": NaN}]}}', '{"data": {"listGoods": [{"odd": "\\u0000"}]}}']
    for body in bodies:
        stage.box.fail("wildberries", "prices", 200, body=body)
    async with stage.resources() as resources:
        await collect_slice(resources, account.key("prices"), stopping=lambda: False)
    assert await stage.value("SELECT outcome FROM collect.run") == "done"
    odd = await stage.rows("SELECT body, body_reason FROM raw.page WHERE body IS NOT NULL ORDER BY page_number")
    assert [row["body"].decode() for row in odd] == bodies
    assert all(row["body_reason"] for row in odd)
    assert await stage.value("SELECT count(*) FROM raw.page WHERE payload IS NOT NULL") > 3


async def test_an_envelope_that_moved_for_good_is_asked_for_three_times_a_run_and_moves_nothing(
    stage: Stage, ozon: Account
) -> None:
    stage.box.fail("ozon", "fbs_postings", 200, count=1000, body='{"result": {"postings": []}}')
    async with stage.resources() as resources:
        for _ in range(3):
            await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
            await stage.pass_waits()
    assert stage.box.requests()["ozon/fbs_postings"] == 9
    state = (await stage.rows("SELECT state, last_error FROM collect.stream_state WHERE stream = 'fbs_postings'"))[0]
    assert state["state"] == "quarantined"
    assert await stage.value("SELECT covered FROM collect.coverage WHERE stream = 'fbs_postings'") == []
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0


async def test_pages_before_an_error_are_kept_and_the_walk_goes_on_behind_them(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    pages = 0

    def break_after_two_pages() -> bool:
        nonlocal pages
        pages += 1
        if pages == 2:
            stage.box.fail("wildberries", "prices", 500, count=3)
        return False

    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("prices"), stopping=break_after_two_pages)
        assert await stage.value("SELECT outcome FROM collect.run") == "failed"
        assert await stage.value("SELECT count(*) FROM raw.payload") == 2
        await stage.pass_waits()
        await collect_slice(resources, account.key("prices"), stopping=lambda: False)
    assert await stage.value("SELECT count(*) FROM collect.walk") == 1
    await assert_whole(stage, account, ["prices"])
    await assert_honest(stage)


@pytest.mark.parametrize(
    ("is_told_to_stop", "ends"),
    [
        pytest.param(False, ("timed out", 1, True), id="it took too long"),
        pytest.param(True, ("stopped", 0, False), id="its worker is told to stop"),
    ],
)
async def test_a_run_that_is_cancelled_spends_an_attempt_unless_its_worker_stops(
    stage: Stage, ozon: Account, *, is_told_to_stop: bool, ends: tuple[str, int, bool]
) -> None:
    reached = asyncio.Event()

    async def pages(_: Fetch, __: Walk) -> AsyncGenerator[Step, None]:
        reached.set()
        await asyncio.Event().wait()
        yield Mark({})

    hanging = dataclasses.replace(STREAMS["ozon"]["fbs_postings"], pages=pages)
    async with stage.resources(streams={"ozon": {"fbs_postings": hanging}}) as resources:
        key = ozon.key("fbs_postings")
        running = asyncio.create_task(collect_slice(resources, key, stopping=lambda: is_told_to_stop))
        async with asyncio.timeout(10):
            await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    (run,) = await stage.rows("SELECT outcome, error FROM collect.run")
    (state,) = await stage.rows("SELECT attempts, not_before > now() AS waits, lease_token FROM collect.stream_state")
    assert (run["outcome"], state["attempts"], bool(state["waits"])) == ends
    assert state["lease_token"] is None

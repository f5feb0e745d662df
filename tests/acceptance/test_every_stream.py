"""The main job: what the sandbox holds is in raw.page, byte for byte, for its tenant alone."""

import pytest

from tests.oracle import assert_honest, assert_verified, assert_whole, netted_order_ids
from tests.stage import FEW, Stage, every_stream, reports, run_all, silent

MARKETPLACES = ("wildberries", "ozon", "yandex_market")


@pytest.mark.parametrize("marketplace", MARKETPLACES)
async def test_every_stream_is_brought_whole_and_byte_for_byte(stage: Stage, marketplace: str) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), marketplace)
    streams = every_stream(marketplace)
    async with stage.resources() as resources:
        for stream in streams:
            await run_all(resources, account, stream)
        await assert_verified(stage, resources, account)
    # A slice may have nothing on one day and another, where the stream's others have: the sandbox goes by the calendar.
    outcomes = await stage.rows(
        "SELECT stream, array_agg(DISTINCT concat_ws(': ', outcome, error)) AS ended FROM collect.run GROUP BY stream"
        " HAVING NOT bool_or(outcome = 'done') OR bool_or(outcome NOT IN ('done', 'nothing new'))"
    )
    without = reports(marketplace) | silent(marketplace)
    assert {row["stream"] for row in outcomes} == without, outcomes
    await assert_whole(stage, account, [stream for stream in streams if stream not in without])
    await assert_honest(stage)


async def test_a_second_run_brings_only_what_is_new(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        for _ in range(2):
            for stream in FEW["wildberries"]:
                await run_all(resources, account, stream)
            bodies = await stage.value("SELECT count(*) FROM raw.payload WHERE same_as IS NULL")
            await stage.make_due()
        assert await stage.value("SELECT count(*) FROM raw.payload WHERE same_as IS NULL") == bodies
        assert await stage.value("SELECT count(*) FROM raw.payload WHERE same_as IS NOT NULL") > 0
        await assert_whole(stage, account, FEW["wildberries"])
        await assert_honest(stage)


async def test_a_page_that_stays_the_same_always_points_at_one_that_holds_the_body(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        for _ in range(3):
            await run_all(resources, account, "prices")
            await stage.make_due()
    pages = await stage.value("SELECT count(*) FROM raw.payload WHERE same_as IS NULL")
    assert pages >= 5
    assert await stage.value("SELECT count(*) FROM raw.payload WHERE same_as IS NOT NULL") == 2 * pages
    dangling = await stage.rows(
        "SELECT p.id FROM raw.payload p LEFT JOIN raw.payload body ON body.id = p.same_as"
        " AND body.fetched_at = p.same_as_fetched_at AND body.same_as IS NULL AND body.sha256 = p.sha256"
        " WHERE p.same_as IS NOT NULL AND body.id IS NULL"
    )
    assert dangling == []
    assert await stage.value("SELECT count(*) FROM raw.page WHERE payload IS NULL AND body IS NULL") == 0


async def test_reports_by_a_task_are_brought_whole(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        for stream in sorted(reports("wildberries")):
            for _ in range(8):  # windows, each put off once
                await run_all(resources, account, stream)
                await stage.pass_waits()
    await assert_whole(stage, account, sorted(reports("wildberries")))
    walks = await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL")
    asked = stage.box.requests()
    assert sum(asked.get(f"wildberries/{stream}/create", 0) for stream in reports("wildberries")) == walks >= 8


async def test_a_report_is_created_once_although_every_step_is_another_run(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")
    for _ in range(12):
        async with stage.resources() as resources:  # a new worker each time
            await run_all(resources, account, "united_netting")
        await stage.pass_waits()
    walks = await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL")
    assert walks >= 3
    assert stage.box.requests()["yandex_market/united_netting/create"] == walks
    files = await stage.rows("SELECT file_name, body, body_reason FROM raw.page WHERE file_name IS NOT NULL")
    assert files
    for file in files:
        assert file["body_reason"] == "a file"
        assert file["file_name"].endswith(".zip")
        assert netted_order_ids(file["body"])

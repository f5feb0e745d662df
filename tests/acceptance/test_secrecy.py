"""Keys that come back from a marketplace, and links that are keys."""

from __future__ import annotations

import pytest

from tests.stage import Account, Stage, run_all
from worker.jobs import collect_slice


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


@pytest.fixture
async def yandex(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")


async def test_a_key_that_the_api_repeats_is_not_written_down(stage: Stage, ozon: Account) -> None:
    key = stage.box.credentials("ozon", ozon.seller).split('"api_key"')[1].split('"')[1]
    stage.box.fail("ozon", "products", 400, body=f'{{"code": 3, "message": "the key {key} is odd"}}')
    async with stage.resources() as resources:
        await collect_slice(resources, ozon.key("products", "ALL"), stopping=lambda: False)
    assert await stage.value("SELECT count(*) FROM collect.quarantine") == 1
    said = await stage.value(
        "SELECT concat(error, last_error, reason, convert_from(body, 'UTF8'))"
        " FROM collect.run, collect.quarantine, collect.stream_state"
        " WHERE stream_state.stream = 'products' AND stream_state.slice = 'ALL'"
    )
    assert "is odd" in said
    assert key not in said


async def test_the_signature_of_a_link_is_not_stored(stage: Stage, yandex: Account) -> None:
    async with stage.resources() as resources:
        for _ in range(8):
            await run_all(resources, yandex, "united_netting")
            await stage.pass_waits()
    links = await stage.rows(
        "SELECT DISTINCT request -> 'query' ->> 'link' AS link FROM raw.payload WHERE file_name IS NOT NULL"
    )
    assert [row["link"] for row in links] == ["***"]

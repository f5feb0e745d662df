"""Slices that another stream lists, when its pages are odd."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.stage import Account, Stage, run_all
from worker import schedule

SLICES = (
    "SELECT array_agg(slice ORDER BY slice) FROM collect.stream_state"
    " WHERE stream = 'orders_stats' AND state = 'active'"
)


@pytest.fixture
async def yandex(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")


async def test_campaigns_on_a_page_that_postgresql_cannot_read_are_slices_too(stage: Stage, yandex: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        before = await stage.value(SLICES)
        async with stage.database.connect("postgres") as owner:
            await owner.execute(
                "UPDATE raw.payload SET body = convert_to(payload::text, 'UTF8'), payload = NULL,"
                " body_reason = 'holds \\u0000' WHERE page_number = 0"
            )
        await schedule.reconcile(resources)
        assert await stage.value(SLICES) == before


async def test_a_list_of_slices_that_cannot_be_read_leaves_the_slices_and_the_neighbours_alone(
    stage: Stage, yandex: Account
) -> None:
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        before = await stage.value(SLICES)
        await stage.make_due()
        stage.box.fail("yandex_market", "campaigns", 200, body='{"campaigns": [{"id": "?"}], "paging": {}}')
        await run_all(resources, yandex, "campaigns")
        assert await stage.value("SELECT count(*) FROM collect.run WHERE outcome = 'done'") == 2
        assert await stage.value(SLICES) == before
        neighbour = await stage.add_account(await stage.add_organization("Northern"), "ozon")
        await schedule.reconcile(resources)
    assert await stage.value(
        "SELECT count(*) FROM collect.stream_state WHERE marketplace_account_id = $1", neighbour.id
    )


async def test_a_slice_begins_when_it_is_listed_retires_when_it_is_not_and_goes_on_when_it_comes_back(
    stage: Stage, yandex: Account
) -> None:
    first, *_ = stage.box.records("yandex_market", yandex.seller, "campaigns")
    states = (
        "SELECT s.slice, s.state, c.wanted_from, c.covered::text FROM collect.stream_state s"
        " JOIN collect.coverage c USING (marketplace_account_id, stream, slice)"
        " WHERE s.stream = 'orders_stats' ORDER BY s.slice = $1 DESC"
    )
    async with stage.resources() as resources:

        async def list_campaigns(*ids: str) -> None:
            told = [{"id": int(one), "business": {"id": int(yandex.seller)}} for one in ids]
            body = json.dumps({"campaigns": told, "paging": {}})
            await stage.make_due()
            stage.box.fail("yandex_market", "campaigns", 200, body=body)
            await run_all(resources, yandex, "campaigns")

        await list_campaigns(first)
        await run_all(resources, yandex, "orders_stats")
        # As time would have it: the first store was listed long ago.
        await stage.change("UPDATE collect.coverage SET wanted_from = wanted_from - interval '90 days'")
        await list_campaigns(first, "77")
        old, new = await stage.rows(states, first)
        assert (old["state"], new["slice"], new["state"], new["covered"]) == ("active", "77", "active", "{}")
        assert new["wanted_from"] >= old["wanted_from"] + timedelta(days=90), "it begins when it was listed"
        await list_campaigns("77")
        gone, stays = await stage.rows(states, first)
        assert (gone["state"], stays["state"]) == ("retired", "active")
        await list_campaigns(first, "77")
        back, _ = await stage.rows(states, first)
        assert tuple(back) == tuple(old), "it goes on from where it stood"
        assert old["covered"] != "{}"

"""Slices that another stream lists, when its pages are odd."""

from __future__ import annotations

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

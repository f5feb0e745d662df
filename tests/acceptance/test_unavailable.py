"""A stream that an account cannot have: seen as such, asked for once a day, and back as soon as it answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.stage import Account, Stage, hasty
from worker import schedule
from worker.cli.opening import as_admin
from worker.db.administration import resume_account
from worker.db.quarantine import drop
from worker.jobs import POISON, collect_slice

A_DAY = timedelta(days=1)
REFUSAL = '{"message": "no subscription"}'


@pytest.fixture
async def account(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")


async def refuse(stage: Stage, times: int = 1) -> None:
    stage.box.fail("wildberries", "prices", 403, count=times, body=REFUSAL)


async def collect(stage: Stage, account: Account) -> None:
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("prices"), stopping=lambda: False)


async def pass_a_day(stage: Stage) -> None:
    await stage.change(
        "UPDATE collect.stream_state SET next_due_at = next_due_at - interval '1 day', not_before = NULL"
    )


async def state(stage: Stage) -> dict[str, Any]:
    sql = "SELECT state, last_error, attempts, next_due_at - now() AS due_in FROM collect.stream_state"
    return dict((await stage.rows(f"{sql} WHERE stream = 'prices' AND lane = 'live'"))[0])


async def outcomes(stage: Stage) -> list[str]:
    return [row["outcome"] for row in await stage.rows("SELECT outcome FROM collect.run ORDER BY started_at")]


async def test_it_is_asked_for_once_a_day_for_as_long_as_it_is_refused(stage: Stage, account: Account) -> None:
    await refuse(stage, POISON + 3)
    for day in range(POISON + 3):
        await collect(stage, account)
        await collect(stage, account)
        assert stage.box.requests()["wildberries/prices"] == day + 1, "and not before"
        seen = await state(stage)
        assert (seen["state"], seen["attempts"]) == ("unavailable", 0)
        assert "no subscription" in seen["last_error"]
        assert A_DAY * 0.9 < seen["due_in"] <= A_DAY
        await pass_a_day(stage)
    await collect(stage, account)
    assert (await outcomes(stage))[-1] == "done"
    seen = await state(stage)
    assert (seen["state"], seen["last_error"]) == ("active", None)


async def test_the_schedule_offers_it_when_its_day_is_over(stage: Stage, account: Account) -> None:
    await refuse(stage)
    await collect(stage, account)
    await stage.change("DELETE FROM collect.stream_state WHERE stream <> 'prices'")
    async with stage.resources(streams={}) as resources:
        assert await schedule.tick(resources) == 0
        await pass_a_day(stage)
        assert await schedule.tick(resources) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_what_says_nothing_of_it_leaves_it_unavailable_with_its_reason(
    stage: Stage, account: Account, status: int
) -> None:
    await refuse(stage)
    await collect(stage, account)
    await pass_a_day(stage)
    stage.box.fail("wildberries", "prices", status, count=9)
    await collect(stage, account)
    assert (await outcomes(stage))[-1] in {"put off", "failed"}
    seen = await state(stage)
    assert seen["state"] == "unavailable"
    assert "no subscription" in seen["last_error"]


async def test_resuming_the_account_asks_for_it_at_once(stage: Stage, account: Account) -> None:
    await refuse(stage)
    await collect(stage, account)
    async with as_admin(stage.settings) as session:
        await resume_account(session, account.id)
    assert (await state(stage))["state"] == "unavailable", "until it answers"
    await collect(stage, account)
    assert (await state(stage))["state"] == "active"


async def test_dropping_one_of_its_answers_asks_for_it_at_once(stage: Stage, account: Account) -> None:
    stage.box.fail("wildberries", "prices", 200, body='{"data": {"goods": 7}}')
    await collect(stage, account)
    await stage.pass_waits()
    await refuse(stage)
    await collect(stage, account)
    assert (await state(stage))["state"] == "unavailable"
    (row,) = await stage.rows("SELECT id FROM collect.quarantine")
    async with as_admin(stage.settings) as session:
        await drop(session, [row["id"]])
    await collect(stage, account)
    assert (await state(stage))["state"] == "active"

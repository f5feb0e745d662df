"""The rows of streams follow the registry and the account's own wishes, and what agrees is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from collectors.registry import STREAMS
from tests.stage import Account, Stage, run_all
from worker import schedule
from worker.cli.opening import as_admin
from worker.db.pauses import Place, pause
from worker.db.wishes import FoundAccount, set_every, set_streams

ROWS = "SELECT stream, slice, ctid::text, xmin::text, xmax::text FROM collect.stream_state ORDER BY stream, slice"
AN_HOUR = timedelta(hours=1)


@pytest.fixture
async def yandex(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")


def found(account: Account) -> FoundAccount:
    return FoundAccount(
        id=account.id, organization_id=account.organization_id, marketplace=account.marketplace, name="shop"
    )


async def active(stage: Stage) -> set[str]:
    rows = await stage.rows("SELECT DISTINCT stream FROM collect.stream_state WHERE state = 'active'")
    return {row["stream"] for row in rows}


async def test_what_agrees_is_neither_written_nor_locked(stage: Stage, yandex: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        before = await stage.rows(ROWS)
        for new_lists in (True, False):
            await schedule.reconcile(resources, new_lists=new_lists)
        assert await stage.rows(ROWS) == before


async def test_whatever_differs_is_mended_and_nothing_else_is_touched(stage: Stage, yandex: Account) -> None:
    neighbour = await stage.add_account(yandex.organization_id, "yandex_market", number=2)
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        of_neighbour = f"SELECT xmin, xmax FROM collect.stream_state WHERE marketplace_account_id = '{neighbour.id}'"
        before, streams = await stage.rows(of_neighbour), await active(stage)
        for change in (
            "DELETE FROM collect.stream_state WHERE stream = 'offers'",
            "UPDATE collect.stream_state SET state = 'retired' WHERE stream = 'prices'",
            "UPDATE collect.stream_state SET stream = 'gone' WHERE stream = 'bids'",
            "UPDATE collect.stream_state SET \"interval\" = '1 s' WHERE stream = 'campaign_offers'",
            "DELETE FROM collect.stream_state WHERE stream = 'orders'",  # listed, and there is a list
        ):
            await stage.change(f"{change} AND marketplace_account_id = $1", yandex.id)
        await schedule.reconcile(resources)
    assert await active(stage) == streams
    assert await stage.rows(of_neighbour) == before
    assert await stage.value("SELECT state FROM collect.stream_state WHERE stream = 'gone'") == "retired"
    every = STREAMS["yandex_market"]["campaign_offers"].every
    assert (
        await stage.value("SELECT min(\"interval\") FROM collect.stream_state WHERE stream = 'campaign_offers'")
        == every
    )


async def test_an_account_has_the_streams_that_were_chosen_and_they_come_back_where_they_stood(
    stage: Stage, yandex: Account
) -> None:
    streams = STREAMS["yandex_market"]
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        everything = await active(stage)
        await run_all(resources, yandex, "offers")
        at = "SELECT last_success_at FROM collect.stream_state WHERE stream = 'offers'"
        succeeded = await stage.value(at)
        async with as_admin(stage.settings) as session:
            await set_streams(session, found(yandex), ["campaigns", "campaign_offers"], streams)
        await schedule.reconcile(resources)
        assert await active(stage) == {"campaigns", "campaign_offers"}
        async with as_admin(stage.settings) as session:
            await set_streams(session, found(yandex), None, streams)
        await schedule.reconcile(resources)
    assert await active(stage) == everything
    assert await stage.value(at) == succeeded


async def test_a_stream_is_due_as_often_as_the_account_wants_and_new_slices_too(stage: Stage, yandex: Account) -> None:
    streams = STREAMS["yandex_market"]
    often, usual = timedelta(minutes=7), streams["campaign_offers"].every
    assert often < usual
    of_stream = "FROM collect.stream_state WHERE stream = 'campaign_offers' AND state = 'active'"
    due_in = f"SELECT max(next_due_at - now()) {of_stream}"
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        async with as_admin(stage.settings) as session:
            await set_every(session, found(yandex), streams["campaign_offers"], often)
        await stage.change(
            "DELETE FROM collect.stream_state WHERE stream = 'campaign_offers' AND slice = (SELECT max(slice)"
            " FROM collect.stream_state WHERE stream = 'campaign_offers')"
        )
        await stage.make_due()
        await run_all(resources, yandex, "campaigns")  # whose list has the slice: it is made again
        await run_all(resources, yandex, "campaign_offers")
        await schedule.reconcile(resources)
        assert await stage.value(due_in) <= often
        async with as_admin(stage.settings) as session:
            await set_every(session, found(yandex), streams["campaign_offers"], None)
        await stage.make_due()
        await run_all(resources, yandex, "campaign_offers")
        assert often < await stage.value(due_in) <= usual
    faster = replace(streams["campaigns"], every=timedelta(minutes=3))
    async with stage.resources(streams={"yandex_market": {**streams, "campaigns": faster}}):
        pass  # another release, whose interval counts from its start on
    assert await stage.value(
        "SELECT next_due_at - now() <= interval '3 min' FROM collect.stream_state WHERE stream = 'campaigns'"
    )


async def test_a_paused_stream_stays_so_and_its_new_slices_are_paused_with_it(stage: Stage, yandex: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, yandex, "campaigns")
        async with as_admin(stage.settings) as session:
            await pause(session, Place(account_id=yandex.id, stream="campaign_offers"), "too many", None)
        await stage.change(
            "DELETE FROM collect.stream_state WHERE stream = 'campaign_offers' AND slice = (SELECT max(slice)"
            " FROM collect.stream_state WHERE stream = 'campaign_offers')"
        )
        await stage.make_due()
        await run_all(resources, yandex, "campaigns")
        requests = stage.box.requests()
        await run_all(resources, yandex, "campaign_offers")
        assert stage.box.requests() == requests, "a queued job of it ends at once"
    rows = await stage.rows(
        "SELECT state, state_reason, attempts FROM collect.stream_state WHERE stream = 'campaign_offers'"
    )
    assert len(rows) > 1
    assert {tuple(row) for row in rows} == {("paused", "too many", 0)}

"""Asking for the past and looking at it: a backfill that is followed, closed, taken up again; and what is covered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from collectors.registry import STREAMS
from tests.oracle import assert_whole
from tests.stage import Account, Stage, run_all
from worker.cli.backfill import Question, ask, find, watch
from worker.cli.coverage import bar
from worker.cli.errors import Refused
from worker.cli.viewing import Row, viewing
from worker.db.backfills import COVERAGE, bounds
from worker.jobs import collect_slice
from worker.resources import Resources

NOW = datetime.now(UTC)


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


def question(account: Account, since: timedelta, until: timedelta | None) -> Question:
    return Question(
        account=str(account.id),
        stream="fbs_postings",
        since=(NOW - since).isoformat(),
        until=None if until is None else (NOW - until).isoformat(),
    )


class Closed(Exception):
    """Somebody closes the terminal."""


def working(resources: Resources, account: Account, *, looks: int | None = None) -> Callable[[float], Awaitable[None]]:
    """Between two looks a worker reads some of the backfill, and the live lane too. Closed after so many `looks`."""
    looked = 0

    async def work(_: float) -> None:
        nonlocal looked
        looked += 1
        if looked == looks:
            raise Closed
        for lane in ("backfill", "live"):
            await collect_slice(resources, account.key("fbs_postings", lane=lane), stopping=lambda: True)

    return work


async def test_a_backfill_that_was_closed_is_taken_up_where_it_is_and_never_asked_for_twice(
    stage: Stage, ozon: Account
) -> None:
    asked = question(ozon, timedelta(days=75), timedelta(days=70))
    async with stage.resources() as resources, viewing(stage.settings) as view:
        first, is_new = await ask(stage.settings, view, asked)
        assert is_new
        with pytest.raises(Closed):
            await watch(view, first, sleep=working(resources, ozon, looks=3))
        open_rows = await stage.rows("SELECT collected FROM collect.request WHERE done_at IS NULL")
        assert len(open_rows) == 1, "closed in the middle"
        assert open_rows[0]["collected"]
        assert await ask(stage.settings, view, asked) == (first, False)
        again = await find(view, str(first.ids[0]))
        assert again == first
        done = await watch(view, again, sleep=working(resources, ozon))
        assert (done.outcomes, done.open, done.windows) == ({"collected": 1}, 0, done.of)
        assert done.of >= 5
        kept = "SELECT sum(record_count) FROM raw.page WHERE NOT superseded AND lane = 'backfill'"
        assert done.records == await stage.value(kept)
        await run_all(resources, ozon, "fbs_postings")
    assert await stage.value("SELECT count(*) FROM collect.request") == 1
    live = "SELECT count(*) FROM collect.walk WHERE lane = 'live' AND completed_at IS NOT NULL"
    assert await stage.value(live) > 50
    await assert_whole(stage, ozon, ["fbs_postings"])


async def test_what_ends_now_is_the_same_backfill_a_moment_later_and_other_ends_are_others(
    stage: Stage, ozon: Account
) -> None:
    days = timedelta(days=1)
    async with stage.resources(), viewing(stage.settings) as view:
        for since, until in ((9, None), (9, 3), (9, 2), (8, None)):
            asked = question(ozon, since * days, None if until is None else until * days)
            assert (await ask(stage.settings, view, asked))[1], (since, until)
            assert not (await ask(stage.settings, view, asked))[1], (since, until)


async def test_a_backfill_that_cannot_be_is_refused_in_one_sentence(stage: Stage, ozon: Account) -> None:
    day = timedelta(days=1)
    other = await stage.add_account(ozon.organization_id, "wildberries")
    await stage.change("UPDATE core.marketplace_account SET name = 'same'")
    async with stage.resources(), viewing(stage.settings) as view:

        async def refusal(account: str, stream: str = "fbs_postings") -> str:
            asked = Question(account=account, stream=stream, since=(NOW - day).isoformat())
            with pytest.raises(Refused) as refused:
                await ask(stage.settings, view, asked)
            return str(refused.value)

        assert "2 accounts are called 'same'" in await refusal("same")
        assert "no account is called 'none'" in await refusal("none")
        assert "did you mean orders" in await refusal(str(other.id), "order")
        assert "a snapshot" in await refusal(str(ozon.id), "products")
        with pytest.raises(Refused, match="nothing with a window"):
            await find(view, str(ozon.id))
    assert await stage.value("SELECT count(*) FROM collect.request") == 0


async def covered(stage: Stage, stream: str) -> Row:
    async with viewing(stage.settings) as view:
        now = datetime.now(UTC)
        of_stream = [catalogue[stream] for catalogue in STREAMS.values() if stream in catalogue]
        (row,) = await view.rows(COVERAGE, {**bounds(of_stream, now), "accounts": None, "limit": 10})
    return row


async def test_a_hole_that_a_failure_left_is_pending_until_it_has_closed_by_itself(stage: Stage, ozon: Account) -> None:
    async with stage.resources() as resources:
        before = await covered(stage, "fbs_postings")
        assert (len(before["pending"]), before["covered"], before["impossible"]) == (1, [], [])
        stage.box.fail("ozon", "fbs_postings", 200, body='{"result": {"postings": []}}')  # the envelope moved
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
        holed = await covered(stage, "fbs_postings")
        hole, *newer = holed["pending"]
        assert hole.lower == before["pending"][0].lower
        assert hole.upper - hole.lower <= timedelta(days=1)
        assert all(NOW - one.lower < timedelta(minutes=5) for one in newer), "but for what is too young"
        await stage.pass_waits()
        await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
        assert hole.lower not in {one.lower for one in (await covered(stage, "fbs_postings"))["pending"]}
    await assert_whole(stage, ozon, ["fbs_postings"])


async def test_what_the_api_no_longer_keeps_is_impossible_and_what_was_asked_for_is_pending(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        await stage.change("UPDATE collect.coverage SET wanted_from = now() - interval '40 days'")
        row = await covered(stage, "order_feed")
        (gone,) = row["impossible"]
        assert abs((gone.upper - gone.lower) - timedelta(days=9)) < timedelta(minutes=5)
        await run_all(resources, account, "orders")
        assert (await covered(stage, "orders"))["covered"], "a watermark covers what is before its last success"
        async with viewing(stage.settings) as view:
            asked = Question(
                account=str(account.id),
                stream="orders",
                since=(NOW - timedelta(days=80)).isoformat(),
                until=(NOW - timedelta(days=79)).isoformat(),
            )
            await ask(stage.settings, view, asked)
        (pending, *_) = (await covered(stage, "orders"))["pending"]
        assert (pending.lower, pending.upper) == (NOW - timedelta(days=80), NOW - timedelta(days=79))


def test_a_bar_shows_holes_however_small() -> None:
    begin, hour = NOW, timedelta(hours=1)
    end = begin + 30 * hour
    drawn = bar(
        begin,
        end,
        covered=[(begin + 3 * hour, begin + 10 * hour), (begin + 10.5 * hour, begin + 20 * hour)],
        pending=[(begin + 10 * hour, begin + 10.5 * hour), (begin + 20 * hour, begin + 28 * hour)],
        impossible=[(begin, begin + 3 * hour)],
    )
    assert drawn == "×××" + "█" * 7 + "▒" + "█" * 9 + "░" * 8 + "··"

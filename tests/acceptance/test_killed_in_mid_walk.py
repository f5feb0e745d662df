"""A worker that is killed between two pages leaves half a walk, which nobody sees; also where the month ends there."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Request, Step, Stream, Walk
from tests.oracle import assert_whole
from tests.stage import Account, Stage
from worker import batch
from worker.clock import Clock
from worker.jobs import collect_slice

PRICES = STREAMS["wildberries"]["prices"]
NEW_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
MINUTE = timedelta(minutes=1)
SHOWN = "SELECT page_number FROM raw.page WHERE NOT superseded ORDER BY page_number"
IS_POINTER = (
    "SELECT p.same_as IS NOT NULL FROM raw.payload p JOIN collect.walk w ON w.id = p.walk_id"
    " WHERE w.superseded_at IS NULL ORDER BY p.page_number"
)


class Killed(BaseException):
    """As `kill -9` does: nothing of ours runs behind it that would tidy up."""


class Told(Clock):
    """Tells the time that a test sets, whatever the database says."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at


def dying(stream: Stream, *, before_page: int | None, clock: Told, turns_at: int | None) -> Stream:
    """The stream of a worker that is killed before it asks for a page; before another one the month turns."""

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async def asking(request: Request) -> Answer:
            number = -(-int(request.query["offset"]) // 7)  # pages of seven, of which the last may be short
            if number == before_page:
                raise Killed
            if turns_at is not None and number >= turns_at:
                clock.at = max(clock.at, NEW_MONTH + MINUTE)
            return await fetch(request)

        async with aclosing(stream.pages(asking, walk)) as steps:
            async for step in steps:
                yield step

    return dataclasses.replace(stream, pages=pages)


async def run(stage: Stage, account: Account, stream: Stream, clock: Told) -> None:
    """Run it as a worker of its own, due, after what the one before it held has run out."""
    await stage.change("UPDATE collect.stream_state SET next_due_at = now(), not_before = NULL, lease_until = NULL")
    async with stage.resources(streams={"wildberries": {"prices": stream}}, clock=clock) as resources:
        await collect_slice(resources, account.key("prices"), stopping=lambda: False)


async def shown(stage: Stage) -> list[int]:
    return [row["page_number"] for row in await stage.rows(SHOWN)]


@pytest.mark.parametrize("month_turns", [False, True], ids=["within a month", "across the month's end"])
async def test_of_a_walk_that_was_killed_at_any_page_nothing_is_shown_until_it_is_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, month_turns: bool
) -> None:
    monkeypatch.setattr(batch, "BATCH_PAGES", 1)  # each page is committed: what is stored of half a walk is the most
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    clock = Told(NEW_MONTH - timedelta(hours=7))
    await run(stage, account, PRICES, clock)
    before, whole = await stage.rows("SELECT id FROM raw.page ORDER BY page_number"), await shown(stage)
    pages = len(whole)
    assert pages >= 4

    clock.at, turns_at = NEW_MONTH - MINUTE, 2 if month_turns else None
    for page in range(1, pages + 1):
        with pytest.raises(Killed):
            await run(stage, account, dying(PRICES, before_page=page, clock=clock, turns_at=turns_at), clock)
        assert await stage.value("SELECT count(*) FROM raw.payload") == pages + page, "a page is stored once"
        assert await stage.rows("SELECT id FROM raw.page ORDER BY page_number") == before, "half a walk is shown"
    await run(stage, account, dying(PRICES, before_page=None, clock=clock, turns_at=turns_at), clock)

    assert await shown(stage) == whole
    assert await stage.value("SELECT count(*) FROM raw.page WHERE superseded") == pages
    assert await stage.value("SELECT count(*) FROM collect.walk") == 2, "it was begun again"
    await assert_whole(stage, account, ["prices"])
    turned = [month_turns and number >= 2 for number in range(pages)]
    assert [row[0] for row in await stage.rows(IS_POINTER)] == [not new for new in turned]

    clock.at = NEW_MONTH + timedelta(hours=7) if month_turns else NEW_MONTH - timedelta(seconds=1)
    await run(stage, account, PRICES, clock)
    assert [row[0] for row in await stage.rows(IS_POINTER)] == (turned if month_turns else [True] * pages)
    beyond = "SELECT count(*) FROM raw.payload WHERE date_trunc('month', fetched_at, 'UTC')"
    assert await stage.value(f"{beyond} <> date_trunc('month', same_as_fetched_at, 'UTC')") == 0
    await assert_whole(stage, account, ["prices"])

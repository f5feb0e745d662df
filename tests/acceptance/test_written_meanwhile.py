"""A batch is written while the pages behind it are fetched: one at a time, and before what relies on it."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from collectors.errors import Malformed
from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Mark, Page, Request, Skip, Step, Stream, Walk
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage
from worker import batch
from worker.jobs import collect_slice
from worker.resources import Resources

PRICES = STREAMS["wildberries"]["prices"]
STORED = "SELECT count(*) FROM raw.payload"


@pytest.fixture
async def prices(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(batch, "BATCH_PAGES", 1)
    return await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")


def telling(before: Callable[[int], Awaitable[None]]) -> Stream:
    """The stream of prices, which tells before it asks for a page."""

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async def asking(request: Request) -> Answer:
            await before(-(-int(request.query["offset"]) // 7))  # pages of seven, of which the last may be short
            return await fetch(request)

        async with aclosing(PRICES.pages(asking, walk)) as steps:
            async for step in steps:
                yield step

    return dataclasses.replace(PRICES, pages=pages)


@asynccontextmanager
async def working(stage: Stage, stream: Stream) -> AsyncIterator[Resources]:
    async with stage.resources(streams={"wildberries": {"prices": stream}}) as resources:
        yield resources
        assert resources.fetcher.budget.used == 0, "of the byte budget all is given back"


class Barrier:
    """Lets no run move its position, from the moment when it is put up until a run stands before it and may pass."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._up = asyncio.Event()
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.opened = False

    async def put_up(self) -> None:
        self._letting = asyncio.create_task(self._let_one_through())
        await self._up.wait()

    async def _let_one_through(self) -> None:
        async with self._stage.database.connect("postgres") as owner, owner.transaction():
            await owner.execute("SELECT FROM collect.stream_state FOR UPDATE")
            self._up.set()
            while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - no event of ours
                await asyncio.sleep(0.01)
            await self.may_open.wait()
            self.opened = True


async def test_a_page_is_fetched_while_the_one_before_is_written_and_no_further(stage: Stage, prices: Account) -> None:
    barrier, stored = Barrier(stage), list[int]()
    barrier.may_open.clear()

    async def before(page: int) -> None:
        stored.append(await stage.value(STORED))
        if page == 0:
            await barrier.put_up()
        elif page == 1:
            barrier.may_open.set()

    async with working(stage, telling(before)) as resources, asyncio.timeout(30):
        await collect_slice(resources, prices.key("prices"), stopping=lambda: False)
    assert barrier.opened
    assert len(stored) > 3
    assert all(page - 1 <= count <= page for page, count in enumerate(stored)), stored
    await assert_whole(stage, prices, ["prices"])
    await assert_honest(stage)


@pytest.mark.parametrize("behind_a_page", [False, True], ids=["alone", "behind a page"])
async def test_a_mark_is_written_before_anything_else_is_asked(
    stage: Stage, prices: Account, monkeypatch: pytest.MonkeyPatch, behind_a_page: bool
) -> None:
    monkeypatch.setattr(batch, "BATCH_PAGES", 100)  # a page alone would not be written yet
    barrier, opened = Barrier(stage), list[bool]()

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async with aclosing(PRICES.pages(fetch, walk)) as steps:
            await barrier.put_up()
            if behind_a_page:
                yield await anext(steps)
            yield Mark({"offset": 7 * behind_a_page})
            opened.append(barrier.opened)
            async for step in steps:
                yield step

    async with working(stage, dataclasses.replace(PRICES, pages=pages)) as resources, asyncio.timeout(30):
        await collect_slice(resources, prices.key("prices"), stopping=lambda: False)
    assert opened == [True]
    await assert_whole(stage, prices, ["prices"])


async def test_what_is_refused_while_a_batch_is_written_is_set_aside_with_the_next(
    stage: Stage, prices: Account
) -> None:
    barrier = Barrier(stage)
    barrier.may_open.clear()

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async with aclosing(PRICES.pages(fetch, walk)) as steps:
            first = await anext(steps)
            assert isinstance(first, Page)
            await barrier.put_up()
            yield first
            barrier.may_open.set()
            yield Skip(Malformed("odd", first.answer), {"offset": 7})

    async with working(stage, dataclasses.replace(PRICES, pages=pages)) as resources, asyncio.timeout(30):
        await collect_slice(resources, prices.key("prices"), stopping=lambda: False)
    assert await stage.value(STORED) == 1
    assert await stage.value("SELECT reason FROM collect.quarantine") == "odd"
    assert await stage.value("SELECT outcome FROM collect.run") == "quarantined"


async def test_a_batch_that_cannot_be_written_ends_its_run_at_the_next_page(stage: Stage, prices: Account) -> None:
    async with stage.database.connect("postgres") as owner:
        await owner.execute("ALTER TABLE raw.payload ADD CONSTRAINT refuse CHECK (page_number <> 1) NOT VALID")
    asked: list[int] = []

    async def before(page: int) -> None:
        asked.append(page)
        if page == 2:  # which is asked for while the page before is written
            batch.BATCH_PAGES = 100  # nothing would be committed from now on
            writing = [task for task in asyncio.all_tasks() if "Keeping._write" in repr(task)]
            assert len(writing) == 1
            await asyncio.wait(writing)

    async with working(stage, telling(before)) as resources, asyncio.timeout(30):
        await collect_slice(resources, prices.key("prices"), stopping=lambda: False)
    assert asked == [0, 1, 2]
    assert await stage.value(STORED) == 1
    run = (await stage.rows("SELECT outcome, error, pages FROM collect.run"))[0]
    assert run["outcome"] == "failed"
    assert run["error"].startswith("the database failed")
    assert run["pages"] == 1
    await assert_honest(stage)


async def test_a_run_whose_last_batch_cannot_be_written_has_failed(
    stage: Stage, prices: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_PAGES", 100)
    async with stage.database.connect("postgres") as owner:
        await owner.execute("ALTER TABLE raw.payload ADD CONSTRAINT refuse CHECK (page_number <> 0) NOT VALID")
    async with working(stage, PRICES) as resources:
        await collect_slice(resources, prices.key("prices"), stopping=lambda: True)  # after a page
    assert await stage.value("SELECT outcome FROM collect.run") == "failed"
    assert await stage.value(STORED) == 0


async def test_a_run_that_is_cut_off_gives_its_lease_back_only_when_nothing_is_written_any_more(
    stage: Stage, prices: Account
) -> None:
    barrier = Barrier(stage)
    reached = asyncio.Event()

    async def before(page: int) -> None:
        if page == 0:
            await barrier.put_up()
        elif page == 1:
            reached.set()
            await asyncio.Event().wait()

    async with working(stage, telling(before)) as resources, asyncio.timeout(30):
        run = asyncio.create_task(collect_slice(resources, prices.key("prices"), stopping=reached.is_set))
        await reached.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await stage.value(STORED) == 1, "what was being written is kept"
        assert await stage.value("SELECT pages FROM collect.run") == 1
        assert await stage.value("SELECT lease_token FROM collect.stream_state WHERE stream = 'prices'") is None
    await assert_honest(stage)

"""What the loop promises: page and position together, walks whole, one effect, a bounded number of statements."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import event, text

from collectors.registry import STREAMS
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage, run_all
from worker import schedule
from worker.clock import Clock
from worker.collect import collect
from worker.db.driver import Driver
from worker.db.progress import LeaseLost, take_lease
from worker.db.tenancy import tenant_driver, tenant_transaction
from worker.http.fetch import AccountFetch
from worker.jobs import collect_slice
from worker.keeping import Tally
from worker.resources import Resources


@pytest.fixture
async def prices(stage: Stage) -> Account:
    """A Wildberries account, of which these tests collect the prices: a snapshot of several pages."""
    return await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")


def after(pages: int) -> "StopAfter":
    return StopAfter(pages)


class StopAfter:
    """Says enough after so many pages, as a deadline would."""

    def __init__(self, pages: int) -> None:
        self._left = pages

    def __call__(self) -> bool:
        self._left -= 1
        return self._left <= 0


async def test_a_walk_is_complete_only_with_its_last_page_and_half_a_snapshot_is_not_shown(
    stage: Stage, prices: Account
) -> None:
    async with stage.resources() as resources:
        await run_all(resources, prices, "prices", stopping=after(2))
        assert await stage.value("SELECT count(*) FROM raw.payload") == 2
        assert await stage.value("SELECT count(*) FROM raw.page") == 0
        assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NULL") == 1

        await run_all(resources, prices, "prices")
    assert await stage.value("SELECT count(*) FROM collect.walk") == 1, "the walk was begun again"
    assert await stage.value("SELECT count(*) FROM raw.page WHERE NOT superseded") > 2
    await assert_whole(stage, prices, ["prices"])
    await assert_honest(stage)


async def test_a_new_snapshot_supersedes_the_earlier_one_only_when_it_is_whole(stage: Stage, prices: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, prices, "prices")
        whole = await stage.value("SELECT count(*) FROM raw.page WHERE NOT superseded")
        await stage.make_due()
        await run_all(resources, prices, "prices", stopping=after(2))
        assert await stage.value("SELECT count(*) FROM raw.page WHERE NOT superseded") == whole
        assert await stage.value("SELECT count(*) FROM raw.page WHERE superseded") == 0
        await run_all(resources, prices, "prices")
    assert await stage.value("SELECT count(*) FROM raw.page WHERE superseded") == whole
    await assert_whole(stage, prices, ["prices"])


async def test_a_walk_that_grew_too_old_is_left_incomplete_and_begun_again(stage: Stage, prices: Account) -> None:
    async with stage.resources() as resources:
        await run_all(resources, prices, "prices", stopping=after(2))
    impatient = dataclasses.replace(STREAMS["wildberries"]["prices"], walk_max_age=timedelta(0))
    async with stage.resources(streams={"wildberries": {"prices": impatient}}) as resources:
        await run_all(resources, prices, "prices")
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NULL") == 1
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 1
    await assert_whole(stage, prices, ["prices"])


async def test_a_window_that_grew_is_read_once_and_supersedes_what_was_read_of_it(stage: Stage) -> None:
    """Its earlier reading is due again too, but the new one holds all of it."""
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    async with stage.resources() as resources:
        await run_all(resources, account, "fbs_postings")
        async with stage.database.connect("postgres") as owner:  # two hours pass
            for table, column in (("collect.walk", "started_at"), ("raw.payload", "walk_started_at")):
                await owner.execute(f"UPDATE {table} SET {column} = {column} - interval '2 hours'")
        read = await stage.value("SELECT count(*) FROM collect.walk")
        await stage.make_due()
        await run_all(resources, account, "fbs_postings")
    assert await stage.value("SELECT count(*) FROM collect.walk") > read
    overlapping = await stage.rows(
        "SELECT a.time_window, b.time_window FROM collect.walk a JOIN collect.walk b ON a.id < b.id"
        " AND a.time_window && b.time_window WHERE a.superseded_at IS NULL AND b.superseded_at IS NULL"
    )
    assert overlapping == []
    await assert_whole(stage, account, ["fbs_postings"])


async def test_sixteen_runs_of_one_job_at_once_have_one_effect(stage: Stage, prices: Account) -> None:
    async with stage.resources() as resources:
        job = [collect_slice(resources, prices.key("prices"), stopping=lambda: False) for _ in range(16)]
        await asyncio.gather(*job)
    assert await stage.value("SELECT count(*) FROM collect.run") == 1
    assert await stage.value("SELECT count(*) FROM collect.walk") == 1
    assert stage.box.requests()["wildberries/prices"] == await stage.value("SELECT sum(requests) FROM collect.run")
    await assert_honest(stage)


async def test_a_worker_that_lost_the_lease_keeps_nothing(stage: Stage, prices: Account) -> None:
    key = prices.key("prices")
    async with stage.resources() as resources:
        async with tenant_driver(resources.sessions, key.organization_id) as driver:
            lease = await take_lease(driver, key)
        assert lease is not None
        async with stage.database.connect("collector_admin") as admin:
            await admin.execute("UPDATE collect.stream_state SET lease_token = uuidv7()")
        stream, fetch = resources.streams["wildberries"]["prices"], await _fetch(resources, prices, "prices")
        with pytest.raises(LeaseLost):
            await collect(
                resources,
                lease,
                stream=stream,
                seller=prices.seller,
                fetch=fetch,
                tally=Tally(without_keys=lambda answer: answer),
                enough=lambda: False,
            )
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0
    assert await stage.value("SELECT count(*) FROM collect.walk") == 0


async def test_a_worker_that_lost_the_race_for_the_position_keeps_nothing(stage: Stage, prices: Account) -> None:
    key = prices.key("prices")
    async with stage.resources() as resources:
        async with tenant_driver(resources.sessions, key.organization_id) as driver:
            lease = await take_lease(driver, key)
        assert lease is not None
        stream = resources.streams["wildberries"]["prices"]
        for again in (False, True):
            fetch = await _fetch(resources, prices, "prices")
            bring = collect(
                resources,
                lease,
                stream=stream,
                seller=prices.seller,
                fetch=fetch,
                tally=Tally(without_keys=lambda answer: answer),
                enough=lambda: False,
            )
            if not again:
                await bring
                kept = await stage.value("SELECT count(*) FROM raw.payload")
                continue
            with pytest.raises(LeaseLost):
                await bring
    assert await stage.value("SELECT count(*) FROM raw.payload") == kept
    await assert_honest(stage)


async def test_if_the_insert_fails_neither_position_nor_walk_nor_coverage_has_moved(
    stage: Stage, prices: Account
) -> None:
    async with stage.database.connect("postgres") as owner:
        await owner.execute("ALTER TABLE raw.payload ADD CONSTRAINT refuse CHECK (page_number < 2) NOT VALID")
    async with stage.resources() as resources:
        await run_all(resources, prices, "prices")
    state = (await stage.rows("SELECT position, version, attempts FROM collect.stream_state WHERE stream = 'prices'"))[
        0
    ]
    assert (state["position"], state["version"], state["attempts"]) == (None, 0, 1)
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0
    assert await stage.value("SELECT count(*) FROM collect.walk") == 0
    assert await stage.value("SELECT outcome FROM collect.run") == "failed"


@pytest.mark.parametrize("stream", ["orders", "prices"])
async def test_the_number_of_statements_does_not_grow_with_the_pages(
    stage: Stage, prices: Account, stream: str
) -> None:
    async with stage.resources() as resources:
        engine = resources.engine.sync_engine
        statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))  # its SQL
        event.listen(engine, "connect", lambda made, _: made.run_async(partial(_listen, statements)))
        await resources.engine.dispose()  # the connections that nobody listens to
        await run_all(resources, prices, stream)
    pages = await stage.value("SELECT count(*) FROM raw.payload")
    assert pages >= 5
    assert sum("INSERT INTO raw.payload" in statement for statement in statements) == 1
    assert len(statements) <= 30, f"{len(statements)} statements for {pages} pages"


async def _listen(statements: list[str], driver: Driver) -> None:
    def listened(query: LoggedQuery) -> None:
        if query.query not in {"BEGIN;", "COMMIT;"}:  # of SQLAlchemy's transactions too
            statements.append(query.query)

    driver.add_query_logger(listened)


async def test_a_deadlock_is_retried_and_nothing_is_doubled(stage: Stage, prices: Account) -> None:
    key = prices.key("prices")
    met = asyncio.Event()
    async with stage.resources() as resources, _rival(stage, met) as rival:
        running = asyncio.create_task(collect_slice(resources, key, stopping=lambda: False))
        await rival(running)
    assert met.is_set(), "there was no deadlock: the test would prove nothing"
    assert await stage.value("SELECT outcome FROM collect.run") == "done"
    await assert_whole(stage, prices, ["prices"])
    await assert_honest(stage)


@asynccontextmanager
async def _rival(stage: Stage, met: asyncio.Event) -> AsyncIterator[Callable[[asyncio.Task[None]], Awaitable[None]]]:
    """Another session that locks what the run's transaction needs, in the opposite order."""
    # The trigger makes the run wait for an advisory lock after it has locked the slice's row; the rival holds that
    # lock and wants the row.
    async with stage.database.connect("postgres") as owner:
        await owner.execute(
            "CREATE FUNCTION public.meet() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;"
            "CREATE TRIGGER meet BEFORE INSERT ON collect.walk FOR EACH ROW EXECUTE FUNCTION public.meet()"
        )
        await owner.execute("ALTER SYSTEM SET deadlock_timeout = '100ms'")
        await owner.execute("SELECT pg_reload_conf()")

    async def contend(running: asyncio.Task[None]) -> None:
        async with stage.database.connect("postgres") as rival:
            transaction = rival.transaction()
            await transaction.start()
            await rival.execute("SET LOCAL deadlock_timeout = '60s'")  # the run's session finds the deadlock first
            await rival.execute("SELECT pg_advisory_xact_lock(4711)")
            while not await rival.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
                await asyncio.sleep(0.01)
                assert not running.done(), "the run did not wait for us"
            await rival.execute("UPDATE collect.stream_state SET priority = priority WHERE stream = 'prices'")
            met.set()
            await transaction.commit()
        await running

    try:
        yield contend
    finally:
        async with stage.database.connect("postgres") as owner:
            await owner.execute("ALTER SYSTEM RESET deadlock_timeout")
            await owner.execute("SELECT pg_reload_conf()")


async def test_pages_read_by_visible_xid_while_they_are_written_miss_nothing(stage: Stage) -> None:
    organization = await stage.add_organization("Sunrise")
    accounts = [await stage.add_account(organization, "ozon", number=number) for number in range(1, 4)]
    seen: list[tuple[object, ...]] = []
    async with stage.resources() as resources:

        async def write() -> None:
            streams = [
                run_all(resources, account, stream)
                for account in accounts
                for stream in ("products", "fbs_postings", "accruals_by_day")
            ]
            await asyncio.gather(*streams)

        writing = asyncio.create_task(write())
        last = 0
        while True:
            finished = writing.done()
            last = await _read_new(stage, last, seen)
            if finished:
                break
        await writing
    shown = {tuple(row) for row in await stage.rows("SELECT id FROM raw.page")}
    assert len(shown) > 50
    assert {(row[0],) for row in seen} == shown
    assert len(seen) == len({row[0] for row in seen}), "a page was read twice"


async def _read_new(stage: Stage, last: int, seen: list[tuple[object, ...]]) -> int:
    async with (
        stage.database.connect("collector_reader_all") as reader,
        reader.transaction(isolation="repeatable_read"),
    ):
        horizon = int(await reader.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
        rows = await reader.fetch(
            "SELECT id FROM raw.page WHERE visible_xid >= $1::text::xid8 AND visible_xid < $2::text::xid8",
            str(last),
            str(horizon),
        )
    seen += [tuple(row) for row in rows]
    return horizon


async def test_a_month_without_partition_is_made_by_the_writer(stage: Stage, prices: Account) -> None:
    """Cron should have made it long ago, but the database was restored, or the clock jumped a month."""
    month = datetime.now(UTC).strftime("y%Ym%m")
    async with stage.database.connect("postgres") as owner:
        for table in ("raw.payload", "collect.walk", "collect.run"):
            await owner.execute(f"DROP TABLE {table}_{month}")
    async with stage.resources() as resources:
        await run_all(resources, prices, "prices")
    assert await stage.value("SELECT outcome FROM collect.run") == "done"
    await assert_whole(stage, prices, ["prices"])


async def test_a_worker_whose_clock_is_a_month_ahead_writes_the_time_of_the_database(
    stage: Stage, prices: Account
) -> None:
    ahead = Clock(lambda: datetime.now(UTC) + timedelta(days=62))
    async with stage.resources(clock=ahead) as resources:
        await run_all(resources, prices, "prices")
    furthest = await stage.value("SELECT max(abs(extract(epoch FROM fetched_at - now()))) FROM raw.payload")
    assert furthest < 60


@pytest.mark.usefixtures("prices")
async def test_an_emptied_queue_is_full_again_one_tick_later(stage: Stage) -> None:
    async with stage.resources() as resources:
        due = await schedule.tick(resources)
        assert due == await stage.value("SELECT count(*) FROM collect.stream_state") > 5
        assert await schedule.tick(resources) == 0, "the ids are not deterministic"
        await resources.redis.flushdb()
        assert await schedule.tick(resources) == due


async def _fetch(resources: Resources, account: Account, stream: str) -> AccountFetch:
    found = resources.streams[account.marketplace][stream]
    async with tenant_transaction(resources.sessions, account.organization_id) as session:
        reference = (
            await session.execute(
                text("SELECT secret_ref FROM core.marketplace_account WHERE id = :id"), {"id": account.id}
            )
        ).scalar_one()
    secret = await resources.secret(reference, found.marketplace.secret_fields)
    return AccountFetch(
        fetcher=resources.fetcher,
        stream=found,
        seller=account.seller,
        account_id=str(account.id),
        secret=secret,
        resolve=lambda: resources.secret(reference, found.marketplace.secret_fields),
        proxy_group=None,
        proxies=[],
    )

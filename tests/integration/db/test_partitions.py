"""Months are made ahead, by whoever comes first, and nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import insert

from tests.integration.db.refusals import AGAINST_A_CHECK, BAD_ARGUMENT, NOT_NOW, refused
from tests.integration.db.rows import PARTITIONED, Tenant, row_of, table_named
from tests.servers import Database
from worker.db.engine import Sessions
from worker.db.partitions import ensure_month, ensure_months, list_partitions, months_ahead
from worker.db.tenancy import tenant_transaction

NOW = datetime.now(UTC)
MADE_BY_MIGRATION = 3  # months after this one


def months_later(offset: int) -> datetime:
    years, month = divmod(NOW.month - 1 + offset, 12)
    return datetime(NOW.year + years, month + 1, 1, tzinfo=UTC)


def partition_of(table: str, month: datetime) -> str:
    return f"{table}_y{month:%Y}m{month:%m}"


@pytest.fixture
async def owner(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    async with database.connect("collector_owner") as connection:
        yield connection


async def test_months_are_made_once(sessions: Sessions) -> None:
    wanted = [f"{months_later(offset):%Y-%m}" for offset in (4, 5, 6)]
    assert await months_ahead(sessions, NOW) == MADE_BY_MIGRATION
    assert await ensure_months(sessions, ahead=6, now=NOW) == wanted
    assert await ensure_months(sessions, ahead=6, now=NOW) == []
    assert await months_ahead(sessions, NOW) == 6


async def test_months_end_where_the_next_begin_in_utc(sessions: Sessions) -> None:
    await ensure_months(sessions, ahead=12, now=NOW)
    for table in PARTITIONED:
        months = [partition for partition in await list_partitions(sessions) if partition.table == table]
        assert [month.name for month in months] == [partition_of(table, months_later(n)) for n in range(13)]
        assert [month.since for month in months] == [months_later(n) for n in range(13)]
        assert [month.until for month in months] == [months_later(n) for n in range(1, 14)]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Vladivostok"])
async def test_the_callers_time_zone_does_not_move_the_bounds(
    database: Database, sessions: Sessions, zone: str
) -> None:
    """Bounds without a zone are read in that of whoever asks: a gap that nobody sees until a page falls into it."""
    async with database.connect("collector_worker") as connection:
        await connection.execute(f"SET timezone = '{zone}'")
        for offset in (4, 5):
            assert await connection.fetchval("SELECT raw.ensure_partition($1)", months_later(offset).date()) == 3
    made = {partition.since for partition in await list_partitions(sessions)}
    assert {months_later(4), months_later(5)} <= made


async def test_last_month_can_be_made_for_late_pages(sessions: Sessions) -> None:
    assert await ensure_month(sessions, months_later(-1))
    assert not await ensure_month(sessions, months_later(-1) + timedelta(days=3))


@pytest.mark.parametrize("offset", [-2, 13, 1200])
async def test_a_far_month_is_refused(sessions: Sessions, offset: int) -> None:
    """A wrong clock must not fill the catalog."""
    with refused(BAD_ARGUMENT, saying="ask for a month from"):
        await ensure_month(sessions, months_later(offset))


async def test_a_page_without_a_month_has_nowhere_to_go(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    """There is no default partition; the writer makes the month when it meets this refusal."""
    payload = table_named("raw.payload")
    row = row_of(payload, tenants[0], fetched_at=months_later(5))
    with refused(AGAINST_A_CHECK, saying="no partition"):
        async with tenant_transaction(sessions, tenants[0].organization_id) as session:
            await session.execute(insert(payload).values(row))
    await ensure_month(sessions, months_later(5))
    async with tenant_transaction(sessions, tenants[0].organization_id) as session:
        await session.execute(insert(payload).values(row))


async def test_sixteen_workers_at_once_make_one_month(many_sessions: Sessions) -> None:
    made = await asyncio.gather(*(ensure_month(many_sessions, months_later(5)) for _ in range(16)))
    assert sorted(made) == [False] * 15 + [True]


async def test_an_open_insert_does_not_hold_up_a_new_month(
    many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    payload = table_named("raw.payload")
    async with tenant_transaction(many_sessions, tenants[0].organization_id) as session:
        await session.execute(insert(payload).values(row_of(payload, tenants[0])))
        assert await ensure_months(many_sessions, ahead=4, now=NOW) == [f"{months_later(4):%Y-%m}"]


async def test_a_new_month_does_not_hold_up_inserts(
    database: Database, many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    async with database.connect("collector_worker") as maker, maker.transaction():
        assert await maker.fetchval("SELECT raw.ensure_partition($1)", months_later(4).date()) == 3
        for name in PARTITIONED:
            table = table_named(name)
            async with tenant_transaction(
                many_sessions, tenants[0].organization_id, lock_timeout=timedelta(milliseconds=50)
            ) as session:
                await session.execute(insert(table).values(row_of(table, tenants[0])))


async def test_a_lock_that_is_taken_is_asked_for_again(database: Database, sessions: Sessions) -> None:
    """The holder lets go while we wait for the second attempt."""
    waits: list[float] = []
    async with database.connect("postgres") as holder:
        await holder.execute("SELECT pg_advisory_lock(hashtextextended('raw.ensure_partition', 0))")

        async def let_go(seconds: float) -> None:
            waits.append(seconds)
            await holder.execute("SELECT pg_advisory_unlock_all()")

        assert await ensure_months(sessions, ahead=4, now=NOW, sleep=let_go) == [f"{months_later(4):%Y-%m}"]
    assert len(waits) == 1


@pytest.mark.parametrize("table", PARTITIONED)
async def test_a_table_left_behind_is_taken_back(
    owner: "asyncpg.Connection[asyncpg.Record]", sessions: Sessions, table: str
) -> None:
    partition = partition_of(table, months_later(1))
    await owner.execute(f"ALTER TABLE {table} DETACH PARTITION {partition}")
    await owner.execute(f"ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY")
    await owner.execute(f"GRANT SELECT ON {partition} TO collector_worker, PUBLIC")
    assert await months_ahead(sessions, NOW) == 0

    assert await ensure_months(sessions, ahead=3, now=NOW) == [f"{months_later(1):%Y-%m}"]

    assert await months_ahead(sessions, NOW) == 3
    assert await owner.fetchval("SELECT relrowsecurity FROM pg_class WHERE oid = $1::regclass", partition)
    assert not await owner.fetchval("SELECT has_table_privilege('collector_worker', $1, 'SELECT')", partition)


async def test_default_privileges_do_not_reach_a_partition(
    owner: "asyncpg.Connection[asyncpg.Record]", sessions: Sessions
) -> None:
    await owner.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO collector_worker, PUBLIC")
    await ensure_month(sessions, months_later(4))
    granted = await owner.fetch(
        "SELECT acl.grantee::regrole FROM pg_class c, aclexplode(c.relacl) acl "
        "WHERE c.relname LIKE $1 AND c.relkind = 'r' AND acl.grantee <> c.relowner",
        f"%_y{months_later(4):%Y}m{months_later(4):%m}",
    )
    assert granted == []


async def test_a_half_detached_month_is_reported_with_its_cure(
    database: Database, owner: "asyncpg.Connection[asyncpg.Record]", sessions: Sessions
) -> None:
    month = months_later(1)
    partition = partition_of("raw.payload", month)
    async with database.connect("collector_reader_all") as reader, reader.transaction():
        await reader.execute("SELECT FROM raw.payload")
        await owner.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await owner.execute(f"ALTER TABLE raw.payload DETACH PARTITION {partition} CONCURRENTLY")
    assert await months_ahead(sessions, NOW) == 0
    with refused(NOT_NOW, saying="FINALIZE"):
        await ensure_month(sessions, month)
    await owner.execute(f"ALTER TABLE raw.payload DETACH PARTITION {partition} FINALIZE")
    assert await ensure_month(sessions, month)


async def test_nobody_but_the_worker_makes_months(database: Database) -> None:
    for role in ("collector_reader", "collector_reader_all", "collector_admin", "collector_metrics"):
        async with database.connect(role) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SELECT raw.ensure_partition($1)", date(NOW.year, NOW.month, 1))

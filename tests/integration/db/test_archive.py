"""Old months leave their tables while others read and write, whatever an earlier attempt left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from worker.db.administration import NotPossible
from worker.db.archive import archive_month, first_kept, old_months
from worker.db.audit import audit
from worker.db.engine import Sessions, make_engine
from worker.db.partitions import PARTITIONED, month_after
from worker.db.tenancy import tenant_transaction

NOW = datetime.now(UTC)
KEPT = first_kept(NOW, 1)  # last month
SOON = timedelta(milliseconds=50)
OLD, OLDER = month_after(NOW, -2), month_after(NOW, -3)


def at(month: date, day: int = 3) -> datetime:
    return datetime(month.year, month.month, day, tzinfo=UTC)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database.owner_url, null_pool=True)
    yield engine
    await engine.dispose()


@pytest.fixture
async def months(database: Database) -> None:
    """Last month and the two before it, as raw.ensure_partition made them when they were new."""
    async with database.connect("collector_owner") as connection:
        for month in (OLDER, OLD, KEPT):
            for table in PARTITIONED:
                child = f"{table}_y{month:%Y}m{month:%m}"
                await connection.execute(f"CREATE TABLE {child} (LIKE {table} INCLUDING ALL)")
                await connection.execute(f"ALTER TABLE {child} ENABLE ROW LEVEL SECURITY")
                until = month_after(at(month), 1)
                await connection.execute(
                    f"ALTER TABLE {table} ATTACH PARTITION {child} FOR VALUES FROM ('{month} +00') TO ('{until} +00')"
                )


async def keep(sessions: Sessions, tenant: Tenant, *, began: datetime, pages: list[datetime]) -> UUID:
    """Store a complete walk with a page at each of these moments."""
    walk_id = uuid7()
    walk, payload = table_named("collect.walk"), table_named("raw.payload")
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        ended = {"completed_at": pages[-1], "completed_xid": 1}
        await session.execute(insert(walk).values(row_of(walk, tenant, id=walk_id, started_at=began, **ended)))
        for page in pages:
            of_walk = {"walk_id": walk_id, "walk_started_at": began, "fetched_at": page}
            await session.execute(insert(payload).values(row_of(payload, tenant, **of_walk)))
    return walk_id


async def seen(database: Database, what: str) -> set[UUID]:
    async with database.connect("collector_reader_all") as reader:
        return {row[0] for row in await reader.fetch(what)}


@pytest.mark.usefixtures("months")
async def test_old_months_go_into_the_archive_and_readers_see_whole_walks_only(
    database: Database, owner: AsyncEngine, many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    """With the walks kept, the one that lost some of its pages is marked; a later one is as it was."""
    await keep(many_sessions, tenants[0], began=at(OLDER), pages=[at(OLDER), at(OLD)])
    across = await keep(many_sessions, tenants[0], began=at(OLD, 28), pages=[at(OLD, 28), at(KEPT)])
    whole = await keep(many_sessions, tenants[1], began=at(KEPT), pages=[at(KEPT), at(KEPT, 4)])

    for old in await old_months(owner, before=KEPT, only_pages=True):
        await archive_month(owner, old, drop=False)

    assert await seen(database, "SELECT walk_id FROM raw.page") == {whole}
    assert await seen(database, "SELECT walk_id FROM raw.payload") == {across, whole}
    assert await seen(database, "SELECT id FROM collect.walk WHERE cut_at IS NULL") == {whole}
    async with database.connect("collector_owner") as connection:
        archived = await connection.fetchval(f"SELECT count(*) FROM archive.payload_y{OLD:%Y}m{OLD:%m}")
    assert archived == 2
    async with owner.connect() as connection:
        assert not [finding for finding in await audit(connection) if finding.is_of_tenants]


@pytest.mark.usefixtures("months")
async def test_archived_and_attached_months_are_dropped_and_no_younger_ones(
    database: Database, owner: AsyncEngine, many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    whole = await keep(many_sessions, tenants[0], began=at(KEPT), pages=[at(KEPT)])
    (first, *_) = await old_months(owner, before=KEPT)
    await archive_month(owner, first, drop=False)
    for old in await old_months(owner, before=KEPT):
        await archive_month(owner, old, drop=True)
    assert await old_months(owner, before=KEPT) == []
    assert await seen(database, "SELECT walk_id FROM raw.page") == {whole}


@pytest.mark.usefixtures("months")
async def test_a_detach_that_an_open_transaction_stops_is_finished_by_the_next_attempt(
    database: Database, owner: AsyncEngine, many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    """While it is half done, everybody writes on; the reader that stopped it sees what it saw."""
    waits: list[float] = []
    async with database.connect("collector_reader_all") as reader:
        reading = reader.transaction()
        await reading.start()
        await reader.execute("SELECT FROM raw.payload")

        async def end_reading(seconds: float) -> None:
            waits.append(seconds)
            (pending, *_) = await old_months(owner, before=KEPT)
            assert pending.state == "pending"
            await keep(many_sessions, tenants[0], began=NOW, pages=[NOW])
            await reading.rollback()

        (old, *_) = await old_months(owner, before=KEPT)
        await archive_month(owner, old, drop=True, sleep=end_reading, lock_timeout=SOON)
    assert len(waits) == 1
    assert old.name not in {each.name for each in await old_months(owner, before=KEPT)}


@pytest.mark.usefixtures("months")
async def test_who_holds_a_month_for_ever_is_named_as_the_reason(database: Database, owner: AsyncEngine) -> None:
    """A later run of the command then goes on where this one had to stop."""

    async def at_once(_: float) -> None:
        return

    (old, *_) = await old_months(owner, before=KEPT)
    async with database.connect("collector_reader_all") as reader, reader.transaction():
        await reader.execute("SELECT FROM raw.payload")
        with pytest.raises(NotPossible, match="oldest xact_start"):
            await archive_month(owner, old, drop=True, sleep=at_once, lock_timeout=SOON)
    (pending, *_) = await old_months(owner, before=KEPT)
    await archive_month(owner, pending, drop=True, lock_timeout=SOON)
    assert old.name not in {each.name for each in await old_months(owner, before=KEPT)}


@pytest.mark.usefixtures("months")
async def test_a_month_that_was_detached_by_hand_is_moved_too(database: Database, owner: AsyncEngine) -> None:
    async with database.connect("collector_owner") as connection:
        await connection.execute(f"ALTER TABLE collect.run DETACH PARTITION collect.run_y{OLDER:%Y}m{OLDER:%m}")
    states = {old.partition: old.state for old in await old_months(owner, before=KEPT)}
    name = f"run_y{OLDER:%Y}m{OLDER:%m}"
    assert states[f"collect.{name}"] == "detached"
    for old in await old_months(owner, before=OLD):
        await archive_month(owner, old, drop=False)
    assert {old.state for old in await old_months(owner, before=OLD)} == {"archived"}


def test_the_last_month_is_never_archived() -> None:
    """A page that was fetched in its last second is written in the next one."""
    with pytest.raises(ValueError, match="one at least"):
        first_kept(NOW, 0)
    assert first_kept(datetime(2026, 1, 31, tzinfo=UTC), 1).isoformat() == "2025-12-01"

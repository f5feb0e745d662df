"""However many months are kept: collecting, and reading a day of it, looks at the few that can hold what is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from asyncpg import CheckViolationError
from sqlalchemy import Connection, event, insert, text
from uuid_utils.compat import uuid7

from collectors import registry
from collectors.ozon.orders import FBS_POSTINGS
from collectors.stream import Windows
from collectors.windows import days
from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from tests.stage import Account, Stage, run_all
from worker.db.bronze import Range, reading, stored_pages
from worker.db.engine import Sessions, engine_of
from worker.db.partitions import month_after
from worker.db.position import OpenWalk, Position, decode, encode
from worker.db.progress import keep_walk
from worker.db.reconcile import reconcile_account
from worker.db.tenancy import tenant_driver, tenant_transaction
from worker.schedule import reconcile
from worker.walks import LONGEST

NOW = datetime.now(UTC)
PAYLOAD, WALK = table_named("raw.payload"), table_named("collect.walk")

# A statement locks each partition that the planner could not leave out, until the transaction ends.
_LOCKED = """
SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relispartition AND c.relname ~ $1
"""


@pytest.fixture
async def months(database: Database) -> None:
    """A year and a half of them, made as a restored database may have them."""
    async with database.connect("collector_owner") as owner:
        for back in range(1, 19):
            for table in ("raw.payload", "collect.walk"):
                since, until = month_after(NOW, -back), month_after(NOW, 1 - back)
                await owner.execute(
                    f"CREATE TABLE {table}_y{since:%Y}m{since:%m} PARTITION OF {table} "
                    f"FOR VALUES FROM ('{since} 00:00+00') TO ('{until} 00:00+00')"
                )


@contextmanager
def looked_at(sessions: Sessions, *tables: str) -> Iterator[set[date]]:
    """Note the months of these tables that transactions look at."""
    found: set[date] = set()

    def look(connection: Connection) -> None:
        names = connection.exec_driver_sql(_LOCKED, (f"^({'|'.join(tables)})_y",)).scalars()
        found.update(datetime.strptime(name[-8:], "y%Ym%m").replace(tzinfo=UTC).date() for name in names)

    engine = engine_of(sessions).sync_engine
    event.listen(engine, "commit", look)
    yield found
    event.remove(engine, "commit", look)


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


# The last three days, and all of them again in each run.
assert isinstance(FBS_POSTINGS.progress, Windows)
POSTINGS = replace(
    FBS_POSTINGS, progress=replace(FBS_POSTINGS.progress, since=days(3), restated=((days(30), timedelta(0)),))
)
STREAMS = {"ozon": {**registry.STREAMS["ozon"], POSTINGS.name: POSTINGS}}


@pytest.mark.usefixtures("months")
async def test_no_run_looks_at_months_of_long_ago(stage: Stage, ozon: Account) -> None:
    """A snapshot, windows, ids that another stream brings, slices that one lists; nor whoever reads a day of them."""
    streams = ("products", "product_info", "fbs_postings", "warehouses", "stocks_fbs_wh")
    async with stage.resources(streams=STREAMS) as resources:
        for name in streams[:-1]:
            await run_all(resources, ozon, name)
        await reconcile(resources)
        await run_all(resources, ozon, streams[-1])
        with looked_at(resources.sessions, "walk", "payload") as months:
            for _ in range(2):  # which runs most statements on one connection six times and more
                await stage.make_due()
                for name in streams:
                    await run_all(resources, ozon, name)
        with looked_at(resources.sessions, "walk", "payload") as of_both:
            async with tenant_transaction(resources.sessions, ozon.organization_id) as session:
                await reconcile_account(session, ozon.organization_id, ozon.id, STREAMS["ozon"], NOW)
            wanted = Range(accounts=[ozon.id], since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1))
            async with reading(resources.sessions, ozon.organization_id) as session:
                shown = {page["stream"] async for page in stored_pages(session, wanted)}
    assert shown == set(streams)
    assert month_after(NOW, 0) in months & of_both
    assert min(months | of_both) >= month_after(NOW, -3)
    current = "SELECT count(*) FROM collect.walk WHERE superseded_at IS NULL GROUP BY stream, slice, time_window"
    assert {row["count"] for row in await stage.rows(current)} == {1}
    assert await stage.value(
        "SELECT count(*) FROM collect.walk WHERE superseded_at IS NOT NULL AND stream = $1", POSTINGS.name
    )


@pytest.mark.parametrize("known", [True, False], ids=["in the position", "by an earlier release"])
@pytest.mark.usefixtures("months")
async def test_a_snapshot_of_long_ago_is_superseded(stage: Stage, ozon: Account, known: bool) -> None:
    """An account may have been paused for a year; an earlier release did not write down when the walk began."""
    async with stage.resources() as resources:
        await run_all(resources, ozon, "warehouses")
        await stage.change("UPDATE collect.walk SET started_at = started_at - interval '1 year'")
        began = await stage.value("SELECT started_at FROM collect.walk")
        (position,) = (
            row["position"] for row in await stage.rows("SELECT position FROM collect.stream_state WHERE version > 0")
        )
        then = msgspec.structs.replace(decode(position), current_since=began if known else None)
        await stage.change("UPDATE collect.stream_state SET position = $1 WHERE version > 0", encode(then))
        await stage.make_due()
        await run_all(resources, ozon, "warehouses")
    walks = await stage.rows("SELECT superseded_at FROM collect.walk ORDER BY started_at")
    assert [row["superseded_at"] is None for row in walks] == [False, True]


async def test_a_window_of_the_future_waits(stage: Stage, ozon: Account) -> None:
    """A database's clock was set back behind what was planned. No walk of such a window could be told by its time."""
    later = NOW + days(3)
    planned = encode(Position(parts=((later, later + days(1)),)))
    async with stage.resources(streams=STREAMS) as resources:
        await stage.change("UPDATE collect.stream_state SET position = $1 WHERE stream = $2", planned, POSTINGS.name)
        await run_all(resources, ozon, POSTINGS.name)
        assert await stage.value("SELECT max(upper(time_window)) <= now() FROM collect.walk")
        walk = OpenWalk(id=uuid7(), started_at=NOW, window=(later, later + days(1)))
        async with tenant_driver(resources.sessions, ozon.organization_id) as driver:
            with pytest.raises(CheckViolationError, match="walk_window_is_over"):
                await keep_walk(driver, ozon.key(POSTINGS.name), walk, complete=False)


@pytest.mark.usefixtures("months")
async def test_a_range_shows_what_is_of_a_walk_and_of_a_twin_long_before_it(
    many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant, month = tenants[0], month_after(NOW, -2)
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    fetched = first + days(27)
    began = fetched - LONGEST
    walk = row_of(WALK, tenant, id=uuid7(), started_at=began, completed_at=fetched, completed_xid=1)
    twin = row_of(PAYLOAD, tenant, payload="[1]", fetched_at=first)
    same = {"same_as": twin["id"], "same_as_fetched_at": first, "walk_id": walk["id"], "walk_started_at": began}
    page = row_of(PAYLOAD, tenant, fetched_at=fetched, **same)
    async with tenant_transaction(many_sessions, tenant.organization_id) as session:
        await session.execute(insert(WALK).values(walk))
        for row in (twin, page):
            await session.execute(insert(PAYLOAD).values(row))
    with looked_at(many_sessions, "walk", "payload") as months:
        async with tenant_transaction(many_sessions, tenant.organization_id) as session:
            shown = await session.execute(
                text("SELECT id, payload FROM raw.pages(:since, :until)"),
                {"since": fetched, "until": fetched + timedelta(days=1)},
            )
            assert [tuple(row) for row in shown] == [(page["id"], "[1]")]
    assert months <= {month_after(first, -1), month, month_after(first, 1)}

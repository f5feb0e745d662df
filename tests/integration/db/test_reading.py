"""Reading incrementally while others write: each page once, none lost. And the SQL of docs/reading.md, as it stands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from worker.db.bronze import Range, Revealed, horizon, reading, stored_pages
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.tenancy import tenant_transaction

PAYLOAD, WALK = table_named("raw.payload"), table_named("collect.walk")
DOCS = (Path(__file__).parents[3] / "docs" / "reading.md").read_text(encoding="utf-8")

Reader = Callable[[AsyncSession, Tenant, int], Awaitable[tuple[list[UUID], int]]]  # from an xid: pages, where to go on


def documented(heading: str) -> list[str]:
    """Return the statements of the SQL that stands under a heading of the docs."""
    section = DOCS.split(f"{heading}\n", 1)[1]
    block = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert block is not None
    statements = re.sub(r"--.*", "", block[1]).split(";")
    return [statement.strip() for statement in statements if statement.strip()]


async def by_the_docs(session: AsyncSession, _: Tenant, last: int) -> tuple[list[UUID], int]:
    how_far, pages = documented("## Incrementally")
    before = (await session.execute(text(how_far))).scalar_one()
    values = {"since": datetime.now(UTC) - timedelta(days=7), "last": last, "before": before}
    return [row.id for row in await session.execute(text(pages), values)], before


async def by_the_command(session: AsyncSession, tenant: Tenant, last: int) -> tuple[list[UUID], int]:
    before = await horizon(session)
    wanted = Range(accounts=[tenant.account_id], stream="orders")
    pages = stored_pages(session, wanted, revealed=Revealed(last, before))
    return [page["id"] async for page in pages], before


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Sessions]:
    engine = make_engine(database.url("collector_reader"), null_pool=True)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.mark.parametrize("read", [by_the_docs, by_the_command])
async def test_what_is_committed_late_is_read_once(
    many_sessions: Sessions, reader: Sessions, tenants: tuple[Tenant, Tenant], read: Reader
) -> None:
    """Transactions begin in one order and commit in another, a walk is completed late, and one is rolled back."""
    tenant, found, last = tenants[0], list[UUID](), 0

    async def look() -> int:
        nonlocal last
        async with reading(reader, tenant.organization_id) as session:
            pages, last = await read(session, tenant, last)
        found.extend(pages)
        return len(pages)

    async def store(session: AsyncSession, **columns: object) -> UUID:
        row = row_of(PAYLOAD, tenant, payload="[]", **columns)
        await session.execute(insert(PAYLOAD).values(row))
        return UUID(str(row["id"]))

    walk = row_of(WALK, tenant, id=uuid7())
    async with tenant_transaction(many_sessions, tenant.organization_id) as session:
        await session.execute(insert(WALK).values(walk))
        of_walk = await store(session, walk_id=walk["id"], walk_started_at=walk["started_at"])
    slow, middle = AsyncExitStack(), AsyncExitStack()
    of_slow = await store(await slow.enter_async_context(tenant_transaction(many_sessions, tenant.organization_id)))
    in_middle = await middle.enter_async_context(tenant_transaction(many_sessions, tenant.organization_id))
    of_middle = await store(in_middle)
    async with tenant_transaction(many_sessions, tenant.organization_id) as session:
        of_quick = await store(session)
    assert await look() == 0, "all that is there was committed after the slow one had begun"
    done = {"completed_at": datetime.now(UTC), "completed_xid": text("pg_current_xact_id()")}
    await in_middle.execute(update(WALK).where(WALK.c.id == walk["id"]).values(done))
    await slow.aclose()
    assert await look() == 1, "the slow one's; the one in the middle still holds back what came after it"
    await middle.aclose()
    with suppress(asyncio.CancelledError):
        async with tenant_transaction(many_sessions, tenant.organization_id) as session:
            await store(session)
            raise asyncio.CancelledError
    assert await look() == 3
    assert await look() == 0
    assert sorted(found) == sorted([of_walk, of_slow, of_middle, of_quick])


async def test_the_other_sql_of_the_docs_runs(
    many_sessions: Sessions, database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0]
    at = datetime(2026, 11, 15, tzinfo=UTC)
    file = {"stream": "united_netting", "parts_id": uuid7(), "body_reason": "a file", "fetched_at": at}
    rows = [
        row_of(PAYLOAD, tenant, stream="fbs_postings", fetched_at=at, payload='{"postings": [{"a": 1.10}, {"a": 2}]}'),
        row_of(PAYLOAD, tenant, **file, part=1, body=b"two"),
        row_of(PAYLOAD, tenant, **file, part=0, body=b"one"),
    ]
    async with tenant_transaction(many_sessions, tenant.organization_id) as session:
        for row in rows:
            await session.execute(insert(PAYLOAD).values(row))
    enter, postings = documented("# Reading what was collected")
    (files,) = documented("## Files in parts")
    async with database.connect("collector_reader") as reader:
        await reader.execute(enter.replace("…", str(tenant.organization_id)))
        assert [row["posting"] for row in await reader.fetch(postings)] == ['{"a": 1.10}', '{"a": 2}']
        assert [row["file"] for row in await reader.fetch(files)] == [b"onetwo"]

"""raw.page: what is final, whole, and when it became so."""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from uuid_utils.compat import uuid7

from tests.integration.db.rows import Tenant, row_of, table_named
from worker.db.engine import Sessions
from worker.db.tenancy import tenant_transaction

PAYLOAD = table_named("raw.payload")
WALK = table_named("collect.walk")


class Page(NamedTuple):
    """The columns that these tests look at."""

    id: UUID
    payload: str | None
    body: bytes | None
    body_reason: str | None
    superseded: bool
    visible_xid: int


class Bronze:
    """One tenant's bronze layer, written and read as the worker does."""

    def __init__(self, sessions: Sessions, tenant: Tenant) -> None:
        self.sessions = sessions
        self.tenant = tenant

    async def store(self, **columns: object) -> dict[str, object]:
        row = row_of(PAYLOAD, self.tenant, **columns)
        async with tenant_transaction(self.sessions, self.tenant.organization_id) as session:
            await session.execute(insert(PAYLOAD).values(row))
        return row

    async def begin_walk(self) -> dict[str, object]:
        walk = row_of(WALK, self.tenant, id=uuid7(), started_at=datetime.now(UTC))
        async with tenant_transaction(self.sessions, self.tenant.organization_id) as session:
            await session.execute(insert(WALK).values(walk))
        return {"walk_id": walk["id"], "walk_started_at": walk["started_at"]}

    async def change_walk(self, walk: dict[str, object], statement: str) -> int:
        async with tenant_transaction(self.sessions, self.tenant.organization_id) as session:
            changed = await session.execute(
                text(f"{statement} WHERE id = :id RETURNING completed_xid"), {"id": walk["walk_id"]}
            )
            return int(changed.scalar_one() or 0)

    async def complete(self, walk: dict[str, object]) -> int:
        return await self.change_walk(
            walk, "UPDATE collect.walk SET completed_at = now(), completed_xid = pg_current_xact_id()"
        )

    async def pages(self) -> list[Page]:
        columns = ", ".join(Page._fields)
        async with tenant_transaction(self.sessions, self.tenant.organization_id) as session:
            rows = await session.execute(text(f"SELECT {columns} FROM raw.page ORDER BY page_number"))
            pages = [Page(*row) for row in rows]
            of_range = text(f"SELECT {columns} FROM raw.pages('2000-01-01', 'infinity') ORDER BY page_number")
            assert [Page(*row) for row in await session.execute(of_range)] == pages
            return pages


@pytest.fixture
def bronze(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> Bronze:
    return Bronze(sessions, tenants[0])


async def test_a_page_without_a_walk_is_final_as_it_is_stored(bronze: Bronze) -> None:
    await bronze.store(payload='{"a": 1.10}')
    [page] = await bronze.pages()
    assert page.payload == '{"a": 1.10}'
    assert not page.superseded


async def test_pages_of_a_walk_appear_together_when_it_is_complete(bronze: Bronze) -> None:
    walk = await bronze.begin_walk()
    for number in range(3):
        await bronze.store(**walk, page_number=number, payload="[]")
        assert await bronze.pages() == []
    await bronze.complete(walk)
    assert len(await bronze.pages()) == 3


async def test_pages_become_visible_at_the_later_of_their_own_and_their_walks_transaction(bronze: Bronze) -> None:
    """Else a reader who has passed the page's own transaction would never see it."""
    walk = await bronze.begin_walk()
    await bronze.store(**walk, page_number=0, payload="[]")
    await bronze.store(page_number=1, payload="[]")
    completed = await bronze.complete(walk)
    await bronze.store(**walk, page_number=2, payload="[]")
    of_walk, without_walk, after = await bronze.pages()
    assert of_walk.visible_xid == completed
    assert without_walk.visible_xid < completed
    assert after.visible_xid > completed


async def test_a_page_that_repeats_another_shows_its_content(bronze: Bronze) -> None:
    text_page = await bronze.store(page_number=0, payload='{"a": 1}')
    odd_page = await bronze.store(page_number=1, body=b"\xff", body_reason="not UTF-8")
    for number, original in ((2, text_page), (3, odd_page)):
        await bronze.store(page_number=number, same_as=original["id"], same_as_fetched_at=original["fetched_at"])
    pages = await bronze.pages()
    assert [(page.payload, page.body, page.body_reason) for page in pages] == [
        ('{"a": 1}', None, None),
        (None, b"\xff", "not UTF-8"),
    ] * 2


async def test_a_superseded_walk_is_still_there_and_says_so(bronze: Bronze) -> None:
    earlier, later = await bronze.begin_walk(), await bronze.begin_walk()
    for number, walk in enumerate((earlier, later)):
        await bronze.store(**walk, page_number=number, payload="[]")
        await bronze.complete(walk)
    await bronze.change_walk(earlier, "UPDATE collect.walk SET superseded_at = now()")
    assert [page.superseded for page in await bronze.pages()] == [True, False]


async def test_a_walk_that_retention_cut_is_left_out(bronze: Bronze) -> None:
    walk = await bronze.begin_walk()
    await bronze.store(**walk, payload="[]")
    await bronze.complete(walk)
    await bronze.change_walk(walk, "UPDATE collect.walk SET cut_at = now()")
    assert await bronze.pages() == []


async def test_a_tenant_sees_its_own_pages_only(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    """A view runs with the rights of its owner unless it is told otherwise."""
    mine, theirs = (Bronze(sessions, tenant) for tenant in tenants)
    await mine.store(payload='"mine"')
    assert await theirs.pages() == []
    assert [page.payload for page in await mine.pages()] == ['"mine"']


async def test_a_pointer_at_another_tenants_page_shows_nothing(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, theirs = (Bronze(sessions, tenant) for tenant in tenants)
    secret = await theirs.store(payload='"theirs"')
    await mine.store(same_as=secret["id"], same_as_fetched_at=secret["fetched_at"])
    assert [page.payload for page in await mine.pages()] == [None]

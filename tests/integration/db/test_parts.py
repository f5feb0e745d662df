"""A file that is larger than memory should hold is kept in parts, all of them or none."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from collectors.errors import PutOff
from collectors.stream import Answer, Page, Request
from tests.integration.db.rows import Tenant
from worker.db.engine import Sessions
from worker.db.payloads import insert_pages, page_row
from worker.db.position import EarlierWalk, OpenWalk
from worker.db.progress import AccountId, SliceKey, keep_walk
from worker.db.superseding import supersede
from worker.db.tenancy import OrganizationId, tenant_driver, tenant_transaction
from worker.http.spool import PART, Spool

FILE = os.urandom(1024) * (2 * PART // 1024) + b"the end of it"  # two parts and a short one

# docs/reading.md shows it.
PUT_TOGETHER = text("""
SELECT file_name, string_agg(body, ''::bytea ORDER BY part) AS file, min(sha256) AS sha256
FROM raw.page
WHERE stream = 'report' AND parts_id IS NOT NULL AND NOT superseded
GROUP BY parts_id, file_name ORDER BY min(page_number)
""")


class Bronze:
    """One slice of one tenant, whose walks are stored as the worker does."""

    def __init__(self, sessions: Sessions, tenant: Tenant) -> None:
        self.sessions = sessions
        self.key = SliceKey(
            organization_id=OrganizationId(tenant.organization_id),
            account_id=AccountId(tenant.account_id),
            marketplace="wildberries",
            stream="report",
        )

    async def store(self, *pages: Page, earlier: EarlierWalk | None = None) -> EarlierWalk:
        """Store a whole walk in one transaction."""
        walk = OpenWalk(id=uuid7(), started_at=datetime.now(UTC) - timedelta(seconds=1), earlier=earlier)
        rows = [page_row(page, number) for number, page in enumerate(pages)]
        async with tenant_driver(self.sessions, self.key.organization_id) as driver:
            stored = await insert_pages(driver, self.key, rows, walk)
            await keep_walk(driver, self.key, walk, complete=True)
            await supersede(driver, self.key, walk, settled=False, current_since=None)
        assert stored.bytes == sum(page.answer.size for page in pages)
        return EarlierWalk(walk.id, walk.started_at, datetime.now(UTC))

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        async with tenant_transaction(self.sessions, self.key.organization_id) as session:
            return [tuple(row) for row in await session.execute(text(query))]

    async def files(self) -> list[tuple[str, bytes, bytes]]:
        async with tenant_transaction(self.sessions, self.key.organization_id) as session:
            return [(row.file_name, row.file, row.sha256) for row in await session.execute(PUT_TOGETHER)]


@pytest.fixture
def bronze(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> Bronze:
    return Bronze(sessions, tenants[0])


class CutOff(Spool):
    """A file whose disk fails behind its first part."""

    async def parts(self) -> AsyncGenerator[bytes, None]:
        async for part in super().parts():
            yield part
            raise PutOff("the disk went away", wait=timedelta(minutes=5))


@pytest.fixture
async def spool() -> AsyncGenerator[Spool, None]:
    spool = Spool()
    await spool.write([FILE])
    yield spool
    spool.close()


def page_of(spool: Spool | None, body: bytes = b"", *, records: int | None = None) -> Page:
    answer = Answer(
        request=Request(method="GET", host="files.example.com", path="/report.csv", signed=False, file=True),
        status=200,
        headers={"content-type": "text/csv"},
        body=FILE[:100] if spool else body,
        fetched_at=datetime.now(UTC),
        spool=spool,
    )
    return Page(answer=answer, records=records, cursor={}, last=True, file_name="report.csv")


async def test_a_file_in_parts_is_put_together_by_one_query(bronze: Bronze, spool: Spool) -> None:
    await bronze.store(page_of(spool, records=7))
    assert await bronze.files() == [("report.csv", FILE, hashlib.sha256(FILE).digest())]
    rows = await bronze.rows(
        "SELECT part, octet_length(body), body_reason, record_count, page_number, parts_id = first_value(id) OVER w,"
        " sha256(string_agg(body, ''::bytea) OVER w) = sha256"
        " FROM raw.page WINDOW w AS (ORDER BY part ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    )
    assert rows == [
        (0, PART, "a file", 7, 0, True, True),
        (1, PART, "a file", None, 0, True, True),
        (2, len(FILE) - 2 * PART, "a file", None, 0, True, True),
    ]
    ((ids, moments, visible),) = await bronze.rows(
        "SELECT count(DISTINCT id), count(DISTINCT fetched_at), count(DISTINCT visible_xid) FROM raw.page"
    )
    assert (ids, moments, visible) == (3, 1, 1), "who reads incrementally gets all parts at once"


async def test_pages_beside_a_file_in_parts_are_rows_as_ever(bronze: Bronze, spool: Spool) -> None:
    await bronze.store(page_of(None, b"first"), page_of(spool), page_of(None, b"last"))
    assert await bronze.rows("SELECT page_number, part FROM raw.page ORDER BY 1, 2") == [
        (0, 0),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
    ]
    assert await bronze.rows("SELECT body FROM raw.page WHERE parts_id IS NULL ORDER BY page_number") == [
        (b"first",),
        (b"last",),
    ]


@pytest.mark.parametrize("walks", [2, 3])
async def test_a_file_equal_to_the_earlier_walks_points_at_its_parts(bronze: Bronze, spool: Spool, walks: int) -> None:
    earlier = None
    for _ in range(walks):
        earlier = await bronze.store(page_of(None, b"beside it"), page_of(spool), earlier=earlier)
    assert await bronze.files() == [("report.csv", FILE, hashlib.sha256(FILE).digest())]
    assert await bronze.rows("SELECT count(*) FROM raw.payload WHERE body IS NOT NULL") == [(1 + 3,)]
    ((pointers, at_pointers, files),) = await bronze.rows(
        "SELECT count(*), count(*) FILTER (WHERE twin.same_as IS NOT NULL OR twin.part <> p.part),"
        " count(DISTINCT p.parts_id) FROM raw.payload p JOIN raw.payload twin ON twin.id = p.same_as"
    )
    assert (pointers, at_pointers, files) == ((walks - 1) * 4, 0, walks - 1)


async def test_a_file_that_changed_is_stored_again(bronze: Bronze, spool: Spool) -> None:
    earlier = await bronze.store(page_of(spool))
    await spool.write([b", and more"])
    await bronze.store(page_of(spool), earlier=earlier)
    ((_, file, _),) = await bronze.files()
    assert file == FILE + b", and more"
    assert await bronze.rows("SELECT count(*) FROM raw.payload WHERE same_as IS NOT NULL") == [(0,)]


async def test_parts_of_another_size_are_pointed_at_as_they_are(
    bronze: Bronze, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another release may cut files elsewhere: what is put together is the same."""
    monkeypatch.setattr("worker.http.spool.PART", 2 * PART - 5000)
    earlier = await bronze.store(page_of(spool))
    monkeypatch.undo()
    await bronze.store(page_of(spool), earlier=earlier)
    assert [file for _, file, _ in await bronze.files()] == [FILE]
    assert await bronze.rows("SELECT count(*) FROM raw.payload WHERE same_as IS NOT NULL") == [(2,)]


async def test_a_failure_in_the_middle_leaves_nothing(bronze: Bronze) -> None:
    spool = CutOff()
    await spool.write([FILE])
    with pytest.raises(PutOff):
        await bronze.store(page_of(None, b"beside it"), page_of(spool))
    spool.close()
    assert await bronze.rows("SELECT count(*) FROM raw.payload") == [(0,)]
    assert await bronze.rows("SELECT count(*) FROM collect.walk") == [(0,)]


async def test_who_reads_meanwhile_sees_all_parts_or_none(
    bronze: Bronze, spool: Spool, many_sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    storing = asyncio.create_task(Bronze(many_sessions, tenants[0]).store(page_of(spool)))
    seen = set()
    while not storing.done():
        seen.add((await bronze.rows("SELECT count(*) FROM raw.page"))[0][0])
    await storing
    assert seen <= {0, 3}
    assert len(await bronze.files()) == 1

"""Pages of one slice, stored as the worker stores them, for tests of those who read them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from collectors.stream import Answer, Page, Request
from tests.acceptance.commands import Collector
from tests.servers import Database
from worker.db.engine import make_engine, make_sessions
from worker.db.payloads import insert_pages, page_row
from worker.db.position import EarlierWalk, OpenWalk
from worker.db.progress import AccountId, SliceKey, keep_walk
from worker.db.superseding import supersede
from worker.db.tenancy import OrganizationId, tenant_driver

LONG_AGO = "2020-01-01"


def add_account(collector: Collector, organization: str, marketplace: str, stream: str) -> SliceKey:
    """Add an organization with an account, and name a slice of it."""
    organization_id = collector("org", "add", organization).out.strip()
    said = collector(
        "account", "add", "--org", organization, "--marketplace", marketplace, "--name", "shop",
        "--external-id", "1", "--secret-ref", "env:A",
    )  # fmt: skip
    return SliceKey(
        organization_id=OrganizationId(UUID(organization_id)),
        account_id=AccountId(UUID(said.out.strip())),
        marketplace=marketplace,
        stream=stream,
    )


@dataclass(frozen=True)
class InParts:
    """A file that went over the disk."""

    pieces: Sequence[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(b"".join(self.pieces)).digest()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            yield piece


def page_of(body: bytes | InParts, records: int | None) -> Page:
    answer = Answer(
        request=Request(method="GET", host="api.test", path="/rows", query={"page": 1}),
        status=200,
        headers={"content-type": "application/json"},
        body=body if isinstance(body, bytes) else b"",
        fetched_at=datetime.now(UTC),
        spool=None if isinstance(body, bytes) else body,
    )
    return Page(answer=answer, records=records, cursor={}, file_name=None if records is not None else "report.zip")


def keep(
    database: Database,
    key: SliceKey,
    *pages: tuple[bytes | InParts, int | None],
    complete: bool = True,
    earlier: OpenWalk | None = None,
    declared: int | None = None,
) -> OpenWalk:
    """Keep a walk of these bodies, each with how many records were counted in it; None for a file."""
    walk = OpenWalk(
        id=uuid7(),
        started_at=datetime.now(UTC) - timedelta(microseconds=1),
        pages=len(pages),
        records=sum(records or 0 for _, records in pages),
        declared_total=declared,
        earlier=None if earlier is None else EarlierWalk(earlier.id, earlier.started_at),
    )
    rows = [page_row(page_of(body, records), number) for number, (body, records) in enumerate(pages)]

    async def write() -> None:
        engine = make_engine(database.worker_url, null_pool=True)
        async with tenant_driver(make_sessions(engine), key.organization_id) as driver:
            await insert_pages(driver, key, rows, walk)
            await keep_walk(driver, key, walk, complete=complete)
            if complete:
                await supersede(driver, key, walk, settled=True, current_since=None)

    asyncio.run(write())
    return walk


def change(database: Database, sql: str) -> None:
    """Change what is stored behind everybody's back."""

    async def run() -> None:
        async with database.connect("collector_admin") as admin:
            await admin.execute(sql)

    asyncio.run(run())

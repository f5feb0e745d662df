"""The ways from pages to rows: the worker's own, and what PostgreSQL and SQLAlchemy offer beside it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine  # noqa: TID251 - as anybody makes one
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from benchmarks.ground import Ground
from benchmarks.keeping import keep_pages
from benchmarks.pages import STREAM
from collectors.stream import Page
from worker.batch import BATCH_BYTES, BATCH_PAGES
from worker.db.models import Payload
from worker.db.progress import AccountId, Lease, SliceKey, take_lease
from worker.db.tenancy import OrganizationId, tenant_driver, tenant_transaction
from worker.resources import Resources

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Row: TypeAlias = dict[str, Any]

# Twins of raw.payload without row-level security, and one of them with the type that people choose first.
_TWINS = """
CREATE SCHEMA bench AUTHORIZATION collector_owner;
SET ROLE collector_owner;
CREATE TABLE bench.plain (LIKE raw.payload INCLUDING ALL) PARTITION BY RANGE (fetched_at);
CREATE TABLE bench.binary (LIKE raw.payload INCLUDING ALL) PARTITION BY RANGE (fetched_at);
ALTER TABLE bench.binary ALTER COLUMN payload TYPE jsonb, ALTER COLUMN id SET DEFAULT uuidv7();
CREATE TABLE bench.plain_now (LIKE bench.plain INCLUDING ALL);
CREATE TABLE bench.binary_now (LIKE bench.binary INCLUDING ALL);
ALTER TABLE bench.plain ATTACH PARTITION bench.plain_now FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
ALTER TABLE bench.binary ATTACH PARTITION bench.binary_now FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
RESET ROLE;
"""
_EMPTY = "TRUNCATE raw.payload, collect.walk, bench.plain, bench.binary"
_DUE = """
INSERT INTO collect.stream_state (organization_id, marketplace_account_id, marketplace, stream, lane, "interval",
    next_due_at) VALUES ($1, $2, 'ozon', $3, 'live', interval '1 hour', now())
ON CONFLICT (organization_id, marketplace_account_id, stream, slice, lane)
DO UPDATE SET next_due_at = now(), not_before = NULL, lease_until = NULL, lease_token = NULL, position = NULL
"""
_ACCOUNT = """
INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)
VALUES ($1, 'ozon', $2, $2, 'env:NOBODY') RETURNING id
"""
_SETTINGS = """
SELECT format('PostgreSQL %s, fsync %s, synchronous_commit %s, shared_buffers %s, %s', split_part(version(), ' ', 2),
    current_setting('fsync'), current_setting('synchronous_commit'), current_setting('shared_buffers'),
    (SELECT CASE attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END FROM pg_attribute
     WHERE attrelid = 'raw.payload'::regclass AND attname = 'payload'))
"""


class _Declared(DeclarativeBase):
    pass


class Document(_Declared):
    """The table as a tutorial would declare it: parsed JSON in `jsonb`, and the server makes the id."""

    __tablename__ = "binary"
    __table_args__ = ({"schema": "bench"},)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    fetched_at: Mapped[datetime] = mapped_column(Payload.__table__.c.fetched_at.type)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    marketplace: Mapped[str]
    stream: Mapped[str]
    slice: Mapped[str]
    lane: Mapped[str]
    walk_id: Mapped[UUID]
    walk_started_at: Mapped[datetime] = mapped_column(Payload.__table__.c.fetched_at.type)
    page_number: Mapped[int]
    part: Mapped[int]
    request: Mapped[dict[str, Any]] = mapped_column(JSONB().with_variant(JSONB(), "postgresql"))
    status: Mapped[int]
    content_type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sha256: Mapped[bytes]
    record_count: Mapped[int]


@dataclass(frozen=True)
class Bench:
    """The servers with one organization on them, and each contestant's way to write."""

    admin: Connection
    owner: Connection
    engine: AsyncEngine
    resources: Resources
    organization: OrganizationId
    account: AccountId

    async def settings(self) -> str:
        return str(await self.admin.fetchval(_SETTINGS))

    async def empty(self) -> None:
        await self.admin.execute(_EMPTY)

    async def count(self, table: str) -> int:
        return int(await self.admin.fetchval(f"SELECT count(payload) FROM {table}"))

    async def add_account(self, name: str) -> AccountId:
        return AccountId(await self.admin.fetchval(_ACCOUNT, self.organization, name))

    async def lease(self, account: AccountId) -> Lease:
        """Return the right to run the account's stream, from its beginning."""
        key = SliceKey(organization_id=self.organization, account_id=account, marketplace="ozon", stream=STREAM.name)
        await self.admin.execute(_DUE, self.organization, account, STREAM.name)
        async with tenant_driver(self.resources.sessions, self.organization) as driver:
            lease = await take_lease(driver, key)
        assert lease is not None, "the slice is due"
        return lease

    async def keep(self, lease: Lease, of: Sequence[Page], *, each: bool = False) -> None:
        """Do what a run does with the pages that it fetched; `each` of them in a transaction of its own."""
        await keep_pages(self.resources, lease, STREAM, of, each=each)

    async def copy(self, table: str, rows: Sequence[Row]) -> None:
        """COPY BINARY by the table's owner, whom row-level security does not concern."""
        for batch in _batches(rows):
            await self.owner.copy_records_to_table(
                table, schema_name="bench", columns=list(batch[0]), records=[tuple(row.values()) for row in batch]
            )

    async def add_all(self, rows: Sequence[Row]) -> None:
        """`add_all` at its best: our own model, whose ids and texts are ready."""
        for batch in _batches(rows):
            async with tenant_transaction(self.resources.sessions, self.organization) as session:
                session.add_all([Payload(**row) for row in batch])

    async def add_all_documents(self, rows: Sequence[Row]) -> None:
        """`add_all` as it is mostly met: parsed JSON, and ids that the server makes."""
        for batch in _batches(rows):
            async with AsyncSession(self.engine) as session, session.begin():
                session.add_all([Document(**row) for row in batch])

    def rows(self, of: Sequence[Page]) -> list[Row]:
        """Return the rows as the worker writes them, ready but for their way to the server."""
        walk, at = uuid7(), of[0].answer.fetched_at
        return [
            {
                "id": uuid7(),
                "fetched_at": page.answer.fetched_at,
                "organization_id": self.organization,
                "marketplace_account_id": self.account,
                "marketplace": "ozon",
                "stream": STREAM.name,
                "slice": "",
                "lane": "live",
                "walk_id": walk,
                "walk_started_at": at,
                "page_number": number,
                "part": 0,
                "request": msgspec.json.encode(page.answer.request.stored()).decode(),
                "status": page.answer.status,
                "content_type": page.answer.content_type,
                "payload": page.answer.body.decode(),
                "sha256": hashlib.sha256(page.answer.body).digest(),
                "record_count": page.records,
            }
            for number, page in enumerate(of)
        ]

    def documents(self, of: Sequence[Page]) -> list[Row]:
        """Return the rows with what `response.json()` would give."""
        parsed = [msgspec.json.decode(page.answer.body) for page in of]
        rows = self.rows(of)
        for row, document in zip(rows, parsed, strict=True):
            row.pop("id")
            row |= {"payload": document, "request": msgspec.json.decode(row["request"])}
        return rows


@asynccontextmanager
async def bench(ground: Ground) -> AsyncIterator[Bench]:
    owner = await asyncpg.connect(ground.servers.owner_url)
    engine = create_async_engine(ground.servers.owner_url.replace("postgresql:", "postgresql+asyncpg:"))
    try:
        async with ground.admin() as admin, ground.resources() as resources:
            await admin.execute(_TWINS)
            organization = await admin.fetchval("INSERT INTO core.organization (name) VALUES ('bench') RETURNING id")
            account = AccountId(await admin.fetchval(_ACCOUNT, organization, "seller"))
            yield Bench(admin, owner, engine, resources, OrganizationId(organization), account)
    finally:
        await engine.dispose()
        await owner.close()


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Cut as the worker does."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["payload"]) if isinstance(row["payload"], str) else 0
        if len(batch) >= BATCH_PAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

"""How fast pages become rows: everything the worker does in a commit, beside what PostgreSQL could do at best.

`python -m benchmarks.write_path`. The contestants write the same pages into the same columns, on the same server, in
transactions of the same size: the worker, as its restricted role under row-level security, with walk, position and
guard; COPY BINARY by the table's owner into a twin of `raw.payload` without row-level security, of rows that were made
ready before; SQLAlchemy's `add_all`; and COPY of the same bodies into `jsonb`.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from benchmarks.contest import AGAIN, Contestant, Outcome, contest, machine
from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from benchmarks.pages import STREAM, bodies, pages
from collectors.stream import Page
from worker.batch import BATCH_BYTES, BATCH_PAGES
from worker.db.models import Payload
from worker.db.progress import AccountId, Lease, SliceKey, take_lease
from worker.db.tenancy import OrganizationId, tenant_transaction
from worker.keeping import Keeping, Tally
from worker.resources import Resources

TOTAL = 24 << 20  # bytes of bodies in a round
SIZES = {"5 KB": 5_000, "50 KB": 50_000, "300 KB": 300_000}
WORKER, COPY, ORM, JSONB = "worker", "COPY, owner, no RLS", "SQLAlchemy add_all", "COPY into jsonb"
# (size, how many times as fast as whom) of the goals
GOALS = {
    ("5 KB", COPY): 0.65,
    ("50 KB", COPY): 0.85,
    ("300 KB", COPY): 0.85,
    ("5 KB", ORM): 4.0,
    ("300 KB", JSONB): 2.5,
}

_TWINS = """
CREATE SCHEMA bench AUTHORIZATION collector_owner;
SET ROLE collector_owner;
CREATE TABLE bench.plain (LIKE raw.payload INCLUDING ALL) PARTITION BY RANGE (fetched_at);
CREATE TABLE bench.binary (LIKE raw.payload INCLUDING ALL) PARTITION BY RANGE (fetched_at);
ALTER TABLE bench.binary ALTER COLUMN payload TYPE jsonb;
CREATE TABLE bench.plain_now PARTITION OF bench.plain FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
CREATE TABLE bench.binary_now PARTITION OF bench.binary FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
RESET ROLE;
"""
_SLICE = """
INSERT INTO collect.stream_state (organization_id, marketplace_account_id, marketplace, stream, lane, "interval",
    next_due_at) VALUES ($1, $2, 'ozon', $3, 'live', interval '1 hour', now())
ON CONFLICT (organization_id, marketplace_account_id, stream, slice, lane)
DO UPDATE SET next_due_at = now(), not_before = NULL, lease_until = NULL, lease_token = NULL
"""


@dataclass(frozen=True)
class Seller:
    organization: OrganizationId
    account: AccountId

    @property
    def key(self) -> SliceKey:
        return SliceKey(
            organization_id=self.organization, account_id=self.account, marketplace="ozon", stream=STREAM.name,
            slice="", lane="live",
        )  # fmt: skip


@dataclass
class Bench:
    """The servers, and how each contestant writes."""

    ground: Ground
    resources: Resources
    admin: asyncpg.Connection[asyncpg.Record]
    owner: asyncpg.Connection[asyncpg.Record]
    seller: Seller

    async def lease(self, seller: Seller | None = None) -> Lease:
        key = (seller or self.seller).key
        await self.admin.execute(_SLICE, key.organization_id, key.account_id, key.stream)
        async with tenant_transaction(self.resources.sessions, key.organization_id) as session:
            lease = await take_lease(session, key)
        assert lease is not None
        return lease

    async def keep(self, lease: Lease, of: Sequence[Page]) -> None:
        """Do what a run does with the pages that it is given."""
        keeping = Keeping(self.resources, lease, STREAM, Tally(without_keys=lambda answer: answer))
        await keeping.open(None)
        for page in of:
            keeping.add(page)
            if keeping.is_due:
                await keeping.commit()
        await keeping.commit()

    async def copy(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        for batch in batches(rows):
            await self.owner.copy_records_to_table(
                table, schema_name="bench", columns=list(batch[0]), records=[tuple(row.values()) for row in batch]
            )

    async def add_all(self, rows: Sequence[dict[str, Any]]) -> None:
        for batch in batches(rows):
            async with tenant_transaction(self.resources.sessions, self.seller.organization) as session:
                session.add_all([Payload(**row) for row in batch])

    def rows(self, of: Sequence[Page]) -> list[dict[str, Any]]:
        """Return the rows as the worker writes them, ready but for their way to the server."""
        walk, key = uuid7(), self.seller.key
        return [
            {
                "id": uuid7(),
                "organization_id": key.organization_id,
                "marketplace_account_id": key.account_id,
                "marketplace": key.marketplace,
                "stream": key.stream,
                "slice": key.slice,
                "lane": key.lane,
                "walk_id": walk,
                "walk_started_at": page.answer.fetched_at,
                "page_number": number,
                "part": 0,
                "fetched_at": page.answer.fetched_at,
                "request": msgspec.json.encode(page.answer.request.stored()).decode(),
                "status": 200,
                "content_type": page.answer.content_type,
                "payload": page.answer.body.decode(),
                "sha256": hashlib.sha256(page.answer.body).digest(),
                "record_count": page.records,
            }
            for number, page in enumerate(of)
        ]


def batches(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut as the worker does."""
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["payload"])
        if len(batch) >= BATCH_PAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@asynccontextmanager
async def bench(ground: Ground):  # noqa: ANN201
    async with ground.admin() as admin, ground.resources() as resources:
        await admin.execute(_TWINS)
        organization = await admin.fetchval("INSERT INTO core.organization (name) VALUES ('bench') RETURNING id")
        account = await add_account(admin, organization, 1)
        owner = await asyncpg.connect(ground.servers.owner_url)
        try:
            yield Bench(ground, resources, admin, owner, Seller(organization, account))
        finally:
            await owner.close()


async def add_account(admin: asyncpg.Connection[asyncpg.Record], organization: UUID, number: int) -> AccountId:
    found: UUID = await admin.fetchval(
        "INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)"
        " VALUES ($1, 'ozon', $2, $2, 'env:NOBODY') RETURNING id",
        organization,
        f"seller {number}",
    )
    return AccountId(found)


def contestants(on: Bench, size: int) -> list[Contestant]:
    """Each takes pages that nobody has seen, and is looked after: as many rows as pages have to be there."""

    async def prepare_worker() -> tuple[Lease, list[Page]]:
        await on.admin.execute("TRUNCATE raw.payload, collect.walk")
        return await on.lease(), pages(bodies(size, TOTAL))

    async def prepare_rows() -> list[dict[str, Any]]:
        await on.admin.execute("TRUNCATE bench.plain, bench.binary, raw.payload, collect.walk")
        return on.rows(pages(bodies(size, TOTAL)))

    async def there(table: str, expected: int) -> None:
        rows = await on.admin.fetchval(f"SELECT count(*) FROM {table} WHERE payload IS NOT NULL")  # noqa: S608 - ours
        assert rows == expected, f"{rows} rows of {expected} are in {table}"

    return [
        Contestant(
            WORKER, prepare_worker, lambda work: on.keep(*work), lambda work: there("raw.payload", len(work[1]))
        ),
        Contestant(
            COPY, prepare_rows, lambda rows: on.copy("plain", rows), lambda rows: there("bench.plain", len(rows))
        ),
        Contestant(ORM, prepare_rows, on.add_all, lambda rows: there("raw.payload", len(rows))),
        Contestant(
            JSONB, prepare_rows, lambda rows: on.copy("binary", rows), lambda rows: there("bench.binary", len(rows))
        ),
    ]


def figures(size: str, outcome: Outcome) -> list[Figure]:
    rate = [TOTAL / 1e6 / took for took in outcome.seconds[WORKER]]
    found = [Figure(name=f"{size}: {WORKER}", unit="MB/s", rounds=rate)]
    for other in (WORKER + AGAIN, COPY, ORM, JSONB):
        found.append(
            Figure(
                name=f"{size}: times as fast as {other}",
                unit="×",
                rounds=outcome.speed(WORKER, other),
                at_least=GOALS.get((size, other)),
            )
        )
    return found


async def measure(ground: Ground, *, rounds: int) -> list[Figure]:
    found = []
    async with bench(ground) as on:
        for name, size in SIZES.items():
            found += figures(name, await contest(contestants(on, size), rounds=rounds))
        found.append(await small_transactions(on, rounds=rounds))
    return found


async def small_transactions(on: Bench, *, rounds: int, accounts: int = 50, each: int = 40) -> Figure:
    """Fifty runs at the same time in one process, each committing one page of 5 KB at a time."""
    sellers = [
        Seller(on.seller.organization, await add_account(on.admin, on.seller.organization, number))
        for number in range(2, accounts + 2)
    ]
    rates = []
    for number in range(rounds + 1):
        work = [(await on.lease(seller), pages(bodies(5_000, 5_000 * each))) for seller in sellers]

        async def one_by_one(lease: Lease, of: list[Page]) -> None:
            keeping = Keeping(on.resources, lease, STREAM, Tally(without_keys=lambda answer: answer))
            await keeping.open(None)
            for page in of:
                keeping.add(page)
                await keeping.commit()

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(one_by_one(*one) for one in work))
        took = asyncio.get_running_loop().time() - began
        if number:
            rates.append(accounts * each / took)
        await on.admin.execute("TRUNCATE raw.payload, collect.walk")
    return Figure(name=f"{accounts} accounts, a page a transaction", unit="transactions/s", rounds=rates, at_least=1200)


def main() -> None:
    with make_ground() as ground:
        found = asyncio.run(measure(ground, rounds=7))
    sys.stderr.write(machine() + "\n")
    show(found, as_json="--json" in sys.argv)


if __name__ == "__main__":
    main()

"""What the number of months costs, and what making, detaching and dropping them does to those who write.

`python -m benchmarks.partitions [--json]`; exit code 1 if a goal of issue 6 was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import asyncpg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from benchmarks.figures import Figure, show
from benchmarks.ground import Ground, make_ground
from collectors.ozon.goods import PRICES
from collectors.stream import Answer, Page, Request
from worker.batch import Batch
from worker.db.archive import archive_month, old_months
from worker.db.bronze import Range, stored_pages
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.partitions import ensure_months, month_after
from worker.db.position import OpenWalk, Position
from worker.db.progress import AccountId, Lease, SliceKey, take_lease
from worker.db.tenancy import OrganizationId, tenant_driver, tenant_transaction

COUNTS = (12, 120, 600)
ROUNDS = 11
_TRANSACTIONS = 20  # in a round
_PAGES = 1000  # of the tenant, in the day that is read
_WRITERS = 2  # saturate the two cores of the server
_MAINTAINED = 12  # months, made and archived

_ITEMS = b'"items":[' + b",".join(b'{"product_id":%d,"price":"1990.0000"}' % n for n in range(125)) + b"]}"  # 5 KB
_REQUEST = Request(method="POST", host="api-seller.ozon.ru", path="/v5/product/info/prices", body={"limit": 1000})

_NUMBERS = count(1)

_AT_ONCE = 50  # months made in one transaction: more need more locks than there are

# Not as the worker makes them, one by one beside inserts: nobody waits here.
_MAKE_MONTHS = """
DO $$
DECLARE
    since date := date_trunc('month', now() AT TIME ZONE 'UTC');
    back integer;
    parent text;
    child text;
BEGIN
    FOR back IN {first}..{last} LOOP
        FOREACH parent IN ARRAY ARRAY['raw.payload', 'collect.walk'] LOOP
            child := parent || to_char(since - back * interval '1 month', '"_y"YYYY"m"MM');
            EXECUTE format('CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)', child, parent,
                (since - back * interval '1 month')::date || ' 00:00:00+00',
                (since - (back - 1) * interval '1 month')::date || ' 00:00:00+00');
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', child);
        END LOOP;
    END LOOP;
END $$
"""

_TENANT = text("""
WITH o AS (INSERT INTO core.organization (name) VALUES ('one') RETURNING id)
INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)
SELECT id, 'ozon', 'shop ' || n, n::text, 'env:NOBODY' FROM o, generate_series(1, CAST(:accounts AS integer)) n
RETURNING organization_id, id
""")
_STATE = text("""
INSERT INTO collect.stream_state
    (organization_id, marketplace_account_id, marketplace, stream, lane, "interval", next_due_at)
SELECT organization_id, id, 'ozon', 'prices', 'live', '1 day', now() FROM core.marketplace_account
""")
_STORED = text("""
SELECT payload FROM raw.payload
WHERE marketplace_account_id = :account AND stream = 'prices' AND fetched_at >= :since AND fetched_at < :until
""")


class Tenant:
    """One account: commits pages as the worker does, and reads them as `collector read` does."""

    def __init__(self, sessions: Sessions, key: SliceKey) -> None:
        self._sessions = sessions
        self._key = key
        self._lease: Lease | None = None
        self._walk = OpenWalk(id=uuid7(), started_at=datetime.now(UTC))

    async def write(self, pages: int = 1, *, last: bool = False) -> None:
        """Commit so many pages of a walk: their rows, the walk and the position. `last`: it ends with them."""
        lease = self._lease or await self._leased()
        batch = Batch(PRICES, Position(walk=self._walk, current_since=lease.position.current_since))
        for number in range(1, pages + 1):
            batch.add(_page(last=last and number == pages))
        async with tenant_driver(self._sessions, self._key.organization_id) as driver:
            await batch.write(driver, lease)
        self._lease = replace(lease, version=lease.version + 1, position=batch.position)
        if last:
            self._walk = OpenWalk(id=uuid7(), started_at=datetime.now(UTC))
        elif batch.position.walk is not None:
            self._walk = batch.position.walk

    async def read(self, day: datetime, *, view: bool) -> int:
        """Read the pages of a day, as `raw.page` shows them or as they are stored; how many there were."""
        since, until = day, day + timedelta(days=1)
        async with tenant_transaction(self._sessions, self._key.organization_id) as session:
            if not view:
                values = {"account": self._key.account_id, "since": since, "until": until}
                return len((await session.execute(_STORED, values)).all())
            wanted = Range(accounts=[self._key.account_id], stream="prices", since=since, until=until)
            async with aclosing(stored_pages(session, wanted)) as rows:
                return len([row async for row in rows])

    async def _leased(self) -> Lease:
        async with tenant_driver(self._sessions, self._key.organization_id) as driver:
            lease = await take_lease(driver, self._key)
        assert lease is not None, "the slice is not due, or somebody's"
        return lease


def _page(*, last: bool) -> Page:
    number = next(_NUMBERS)
    answer = Answer(
        request=_REQUEST,
        status=200,
        headers={"content-type": "application/json"},
        body=b'{"number":%d,' % number + _ITEMS,
        fetched_at=datetime.now(UTC),
    )
    return Page(answer=answer, records=125, cursor={"cursor": str(number)}, last=last)


async def counts(ground: Ground) -> list[Figure]:
    """The same work in three databases that differ in their months only, in turn."""
    took: dict[tuple[str, int], list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        tenants = {}
        of, had = "collector", 4
        for months in COUNTS:
            await _make_months(ground, f"months_{months}", months=months, of=of, had=had)
            of, had = f"months_{months}", months
        for months in COUNTS:
            (tenants[months],) = await stack.enter_async_context(_tenants(ground, f"months_{months}", accounts=1))
            for _ in range(_PAGES // 100):
                await tenants[months].write(100)
            await tenants[months].write(1, last=True)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if today.hour == 0 and datetime.now(UTC) - today < timedelta(minutes=5):
            today -= timedelta(hours=1)  # the pages may be of two days
        work: dict[str, Callable[[Tenant], Awaitable[object]]] = {
            f"commit of a page ×{_TRANSACTIONS}": lambda tenant: _again(tenant.write),
            "end of a walk": lambda tenant: tenant.write(last=True),
            "read a day of raw.payload": lambda tenant: tenant.read(today, view=False),
            "read a day of raw.page": lambda tenant: tenant.read(today, view=True),
        }
        for number in range(-2, ROUNDS):
            for what, do in work.items():
                turn = number % len(COUNTS)
                for months in (*COUNTS[turn:], *COUNTS[:turn]):
                    began = time.perf_counter()
                    await do(tenants[months])
                    if number >= 0:
                        took[what, months].append(time.perf_counter() - began)
    fewest = COUNTS[0]
    return [
        figure
        for what in work
        for figure in (
            Figure(name=f"{what}, {fewest} months", unit="ms", rounds=[1000 * each for each in took[what, fewest]]),
            *(
                Figure(
                    name=f"{what}, {months} months beside {fewest}",
                    unit="×",
                    rounds=[one / few for one, few in zip(took[what, months], took[what, fewest], strict=True)],
                    at_most=1.2,
                )
                for months in COUNTS[1:]
            ),
        )
    ]


async def _again(do: Callable[[], Awaitable[object]]) -> None:
    for _ in range(_TRANSACTIONS):
        await do()


async def maintenance(ground: Ground) -> list[Figure]:
    """Write as fast as the server takes it while months are made, detached and dropped."""
    database = "maintained"
    await _make_months(ground, database, months=4 + _MAINTAINED)
    waits: dict[str, list[float]] = defaultdict(list)
    doing = "warming up"
    async with AsyncExitStack() as stack:
        owner = make_engine(ground.servers.url("collector_owner", database=database), null_pool=True)
        stack.push_async_callback(owner.dispose)
        worker = make_engine(ground.servers.url("collector_worker", database=database), pool_size=1)
        stack.push_async_callback(worker.dispose)
        tenants = await stack.enter_async_context(_tenants(ground, database, accounts=_WRITERS))

        async def write_on(tenant: Tenant) -> None:
            while True:
                began, told = time.perf_counter(), doing
                await tenant.write(10)
                waits[told].append((time.perf_counter() - began) * 1000)

        writers = [asyncio.create_task(write_on(tenant)) for tenant in tenants]
        now = datetime.now(UTC)
        await asyncio.sleep(2)
        doing = "nothing else"
        await asyncio.sleep(5)
        doing = "months are made"
        await ensure_months(make_sessions(worker), ahead=12, now=now)
        doing = "months are detached"
        for old in await old_months(owner, before=month_after(now, -1)):
            await archive_month(owner, old, drop=False)
        doing = "months are dropped"
        for old in await old_months(owner, before=month_after(now, -1)):
            await archive_month(owner, old, drop=True)
        doing = "done"
        await asyncio.sleep(0.2)
        for writer in writers:
            assert not writer.done(), writer
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
    calm = waits.pop("nothing else")
    return [
        Figure(name="a commit of ten pages while nothing else happens", unit="ms", rounds=calm),
        *(
            Figure(name=f"… the slowest while {told}", unit="ms", rounds=[max(waits[told])], at_most=50)
            for told in ("months are made", "months are detached", "months are dropped")
        ),
    ]


@asynccontextmanager
async def _tenants(ground: Ground, database: str, *, accounts: int) -> AsyncIterator[list[Tenant]]:
    admin = make_engine(ground.servers.url("postgres", database=database), null_pool=True)
    async with admin.begin() as connection:
        found = (await connection.execute(_TENANT, {"accounts": accounts})).all()
        await connection.execute(_STATE)
    await admin.dispose()
    engine = make_engine(ground.servers.url("collector_worker", database=database), pool_size=accounts)
    keys = (
        SliceKey(
            organization_id=OrganizationId(organization),
            account_id=AccountId(account),
            marketplace="ozon",
            stream="prices",
        )
        for organization, account in found
    )
    yield [Tenant(make_sessions(engine), key) for key in keys]
    await engine.dispose()


async def _make_months(ground: Ground, database: str, *, months: int, of: str = "collector", had: int = 4) -> None:
    """Make a database with so many months: a copy of one that has `had`, and older ones."""
    async with ground.admin() as admin:
        await admin.execute(f"CREATE DATABASE {database} TEMPLATE {of} STRATEGY file_copy OWNER collector_owner")
    owner = await asyncpg.connect(ground.servers.url("collector_owner", database=database))
    for first in range(had, months, _AT_ONCE):
        sys.stderr.write(f"\r{database}: {first} months …")
        await owner.execute(_MAKE_MONTHS.format(first=first - 3, last=min(first + _AT_ONCE, months) - 4))
    sys.stderr.write("\n")
    await owner.close()


async def measure(ground: Ground) -> list[Figure]:
    sys.stderr.write("maintenance …\n")
    figures = await maintenance(ground)
    sys.stderr.write("counts …\n")
    return [*figures, *await counts(ground)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partitions", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with make_ground() as ground:
        figures = asyncio.run(measure(ground))
    show(figures, as_json=options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

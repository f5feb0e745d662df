"""What the write path does where its short way does not go: a value that is refused, a connection that died."""

import dataclasses

import pytest
from sqlalchemy import text

from benchmarks.ground import Ground
from benchmarks.pages import bodies, pages
from benchmarks.writing import bench
from tests.servers import Database
from worker.db import engine as engines
from worker.db.engine import make_engine, make_sessions
from worker.db.tenancy import system_transaction

REFUSED = b'{"offer_id":' + b"[" * 900 + b"]" * 900 + b"}"  # JSON, but too deep for a server with a small stack


@pytest.mark.parametrize("size", [5_000, 50_000])
async def test_a_value_that_only_postgresql_refuses_costs_its_neighbours_nothing(
    database: Database, redis_url: str, size: int
) -> None:
    servers = dataclasses.replace(database.servers, database=database.name, redis_url=redis_url)
    async with database.connect("postgres") as superuser:
        await superuser.execute(f"ALTER DATABASE {database.name} SET max_stack_depth = '100kB'")
    async with bench(Ground(servers)) as on:
        good = bodies(size, 2 * size)
        await on.keep(await on.lease(on.account), pages([good[0], REFUSED, good[1]]))
        rows = await on.admin.fetch("SELECT payload::text, body, body_reason FROM raw.payload ORDER BY page_number")
    assert [tuple(row) for row in rows] == [
        (good[0].decode(), None, None),
        (None, REFUSED, "PostgreSQL does not read it as JSON"),
        (good[1].decode(), None, None),
    ]


async def test_a_connection_that_died_while_it_rested_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RESTED", 0.0)
    engine = make_engine(database.worker_url, pool_size=1, max_overflow=0)
    sessions = make_sessions(engine)
    asked = "SELECT pg_backend_pid()"
    async with system_transaction(sessions) as session:
        first = (await session.execute(text(asked))).scalar_one()
    async with database.connect("postgres") as superuser:
        assert await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", first)
    async with system_transaction(sessions) as session:
        assert (await session.execute(text(asked))).scalar_one() != first
    await engine.dispose()

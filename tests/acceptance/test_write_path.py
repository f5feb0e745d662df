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


JSON = [
    b'{"a": "\xd0\xb6\xf0\x9f\x91\x97", "a": 1E400, "b": 12345678901234567890, "\\ud83d\\udc57": "\\\\u0000"}\n',
    b'[{"a": [1, 2]}, "\x7f"]',
    b" 1 ",
]
NOT_JSON = [  # with the beginning of the reason
    (b'{"a": "\xff"}', "is not UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
    (b'{"a": "\\ud83d"}', "is not JSON"),
    (b'{"a": "\\\\\\u0000"}', "holds \\u0000"),
    (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark"),
    (b'{"a": "\x00"}', "is not JSON"),
    (b'{"a": "\x1f"}', "is not JSON"),
    (b'{"a": NaN}', "is not JSON"),
    (b'{"a": [1, 2}', "is not JSON"),
    (b'{"a": 1} {"a": 2}', "is not JSON"),
    (b"{name}", "is not JSON"),
    (b"<html></html>", "is not JSON"),
]


@pytest.mark.parametrize("each", [True, False], ids=["each alone", "together"])
async def test_what_postgresql_cannot_read_is_kept_as_bytes_with_the_reason(
    database: Database, redis_url: str, each: bool
) -> None:
    servers = dataclasses.replace(database.servers, database=database.name, redis_url=redis_url)
    odd = [dataclasses.replace(page, records=1) for page in pages([*JSON, *(body for body, _ in NOT_JSON)])]
    async with bench(Ground(servers)) as on:
        await on.keep(await on.lease(on.account), odd, each=each)
        rows = await on.admin.fetch(
            "SELECT convert_to(payload::text, 'UTF8'), body, body_reason FROM raw.payload ORDER BY page_number"
        )
        usable = "SELECT count(payload::jsonb) FROM raw.payload WHERE page_number <> 0"  # jsonb has no such number
        assert await on.admin.fetchval(usable) == len(JSON) - 1
    assert [tuple(row) for row in rows[: len(JSON)]] == [(body, None, None) for body in JSON]
    for row, (body, reason) in zip(rows[len(JSON) :], NOT_JSON, strict=True):
        assert (row[0], row[1]) == (None, body)
        assert row[2].startswith(reason), body


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

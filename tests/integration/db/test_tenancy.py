"""The one door to tenant rows, and the checks before it."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from tests.integration.db.refusals import refused
from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from worker.db.engine import Sessions, UnsafeRole, make_engine, make_sessions, refuse_unsafe_role
from worker.db.models import Payload, StreamState
from worker.db.tenancy import retry_conflicts, system_transaction, tenant_transaction

STATEMENT_TOOK_TOO_LONG = "57014"
SERIALIZATION_FAILURE = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END $$"


async def no_wait(_seconds: float) -> None:
    """For waits whose length is not the point."""


@pytest.mark.parametrize("mistake", ["", "wildberries", "' OR true --", None, 7, b"x" * 16])
async def test_a_mistaken_tenant_is_refused_before_any_sql(mistake: object) -> None:
    """No server listens at this address: one statement and this test would meet another error."""
    sessions = make_sessions(make_engine("postgresql://nobody@127.0.0.1:1/none", null_pool=True))
    with pytest.raises(ValueError, match=r"UUID|badly formed"):
        async with tenant_transaction(sessions, mistake):  # type: ignore[arg-type]
            pass


async def test_leaving_commits_and_an_error_rolls_back(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    tenant = tenants[0]
    payload = table_named("raw.payload")
    async with tenant_transaction(sessions, str(tenant.organization_id)) as session:
        await session.execute(insert(payload).values(row_of(payload, tenant, stream="kept")))

    async def fail() -> None:
        async with tenant_transaction(sessions, tenant.organization_id) as session:
            await session.execute(insert(payload).values(row_of(payload, tenant, stream="lost")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        assert (await session.scalars(select(Payload.stream))).all() == ["kept"]


async def test_a_session_is_of_no_use_after_its_transaction(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    """It would have lost its tenant, and would find nothing without saying so."""
    async with tenant_transaction(sessions, tenants[0].organization_id) as session:
        pass
    with pytest.raises(InvalidRequestError):
        await session.execute(select(Payload.id))


async def test_nobody_commits_halfway(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    async def commit_and_go_on() -> None:
        async with tenant_transaction(sessions, tenants[0].organization_id) as session:
            await session.commit()
            await session.execute(select(Payload.id))

    with pytest.raises(InvalidRequestError):
        await commit_and_go_on()


async def test_timeouts_hold_inside_and_are_gone_afterwards(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    names = ("app.organization_id", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    look = text("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in names))
    tenant = tenants[0].organization_id
    limits = {"statement_timeout": timedelta(seconds=7), "lock_timeout": timedelta(milliseconds=300)}
    async with tenant_transaction(sessions, tenant, **limits) as session:
        assert tuple((await session.execute(look)).one()) == (str(tenant), "7s", "300ms", "1min")
    async with sessions() as session:
        assert tuple((await session.execute(look)).one()) == ("", "0", "0", "0")


async def test_a_statement_that_takes_too_long_is_ended(sessions: Sessions) -> None:
    with refused(STATEMENT_TOOK_TOO_LONG):
        async with system_transaction(sessions, statement_timeout=timedelta(milliseconds=20)) as session:
            await session.execute(text("SELECT pg_sleep(60)"))


async def test_two_transactions_in_a_deadlock_both_get_done(
    many_sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0]
    state = table_named("collect.stream_state")
    for stream in ("orders", "sales"):
        await admin.execute(insert(state).values(row_of(state, tenant, stream=stream)))
    both_hold_one = asyncio.Barrier(2)
    attempts: list[str] = []

    async def count(session: AsyncSession, stream: str) -> None:
        await session.execute(
            update(StreamState).where(StreamState.stream == stream).values(attempts=StreamState.attempts + 1)
        )

    async def change(first: str, second: str) -> None:
        async with tenant_transaction(many_sessions, tenant.organization_id) as session:
            attempts.append(first)
            await count(session, first)
            if len(attempts) <= 2:
                await both_hold_one.wait()
            await count(session, second)

    await asyncio.gather(
        retry_conflicts(lambda: change("orders", "sales"), sleep=no_wait),
        retry_conflicts(lambda: change("sales", "orders"), sleep=no_wait),
    )
    assert len(attempts) == 3
    async with tenant_transaction(many_sessions, tenant.organization_id) as session:
        assert (await session.scalars(select(StreamState.attempts))).all() == [2, 2]


async def test_a_conflict_that_does_not_pass_is_raised_after_five_attempts(sessions: Sessions) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        async with system_transaction(sessions) as session:
            await session.execute(text(SERIALIZATION_FAILURE))

    with refused("40001"):
        await retry_conflicts(attempt, sleep=no_wait)
    assert attempts == 5


async def test_a_lost_connection_is_replaced(sessions: Sessions, database: Database) -> None:
    ended: list[bool] = []

    async def attempt() -> bool:
        async with system_transaction(sessions) as session:
            if not ended:
                pid = await session.scalar(text("SELECT pg_backend_pid()"))
                async with database.connect("postgres") as superuser:
                    ended.append(await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", pid))
            return bool(await session.scalar(text("SELECT true")))

    assert await retry_conflicts(attempt, sleep=no_wait)
    assert ended == [True]


async def test_another_error_is_not_tried_again(sessions: Sessions) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        async with system_transaction(sessions) as session:
            await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await retry_conflicts(attempt, sleep=no_wait)
    assert attempts == 1


@pytest.mark.parametrize(
    "document",
    [
        '{"b" : 1.10,\n "a":1, "a":2, "big": 1234567890123456789012345678901234567890}',
        r'{"slash": "\/", "letter": "\u0416"}',
        "null",
    ],
)
async def test_json_comes_back_letter_for_letter(
    sessions: Sessions, tenants: tuple[Tenant, Tenant], document: str
) -> None:
    tenant = tenants[0]
    payload = table_named("raw.payload")
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        rows = [
            row_of(payload, tenant, payload=document, stream="a"),
            row_of(payload, tenant, payload=None, stream="b"),
        ]
        await session.execute(insert(payload), rows)
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        kept = (await session.scalars(select(Payload.payload).order_by(Payload.stream))).all()
        absent = (await session.scalars(select(Payload.stream).where(Payload.payload.is_(None)))).all()
    assert kept == [document, None]
    assert absent == ["b"]


async def test_an_engine_for_pgbouncer_keeps_no_prepared_statements(
    database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    engine = make_engine(database.worker_url, pool_size=1, max_overflow=0, pgbouncer=True)
    sessions = make_sessions(engine)
    for _ in range(3):
        async with tenant_transaction(sessions, tenants[0].organization_id) as session:
            await session.execute(select(Payload.id).where(Payload.stream == "orders"))
    async with sessions() as session:
        kept = (await session.scalars(text("SELECT statement FROM pg_prepared_statements"))).all()
    assert kept == ["SELECT statement FROM pg_prepared_statements"]
    await engine.dispose()


async def test_the_workers_role_is_safe(database: Database) -> None:
    engine = make_engine(database.worker_url, null_pool=True)
    await refuse_unsafe_role(engine)


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("postgres", "a superuser"),
        ("collector_owner", "the owner of raw.payload"),
        ("collector_admin", "sees every tenant"),
        ("collector_reader_all", "sees every tenant"),
    ],
)
async def test_a_role_that_sees_more_than_one_tenant_is_refused(database: Database, role: str, reason: str) -> None:
    engine = make_engine(database.url(role), null_pool=True)
    with pytest.raises(UnsafeRole, match=reason):
        await refuse_unsafe_role(engine)


@pytest.mark.parametrize("stronger", ["collector_owner", "collector_admin", "exempt"])
async def test_a_role_that_can_become_a_stronger_one_is_refused(database: Database, stronger: str) -> None:
    """Membership without inheritance is enough: SET ROLE would do."""
    name = f"worker_{uuid4().hex[:8]}"
    async with database.connect("postgres") as superuser:
        if stronger == "exempt":
            stronger = f"exempt_{name}"
            await superuser.execute(f"CREATE ROLE {stronger} NOLOGIN BYPASSRLS")
        await superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'for this test'")
        await superuser.execute(f"GRANT {stronger} TO {name} WITH INHERIT FALSE, SET TRUE")
        try:
            url = f"postgresql://{name}:for this test@127.0.0.1:{database.servers.postgres_port}/{database.name}"
            with pytest.raises(UnsafeRole, match=f"REVOKE {stronger} FROM {name}"):
                await refuse_unsafe_role(make_engine(url, null_pool=True))
        finally:
            await superuser.execute(f"DROP ROLE {name}")
            await superuser.execute(f"DROP ROLE IF EXISTS exempt_{name}")

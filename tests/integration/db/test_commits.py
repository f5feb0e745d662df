"""The same door on the driver's own connection, which the pages of a run go through."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.integration.db.rows import Tenant
from tests.servers import Database
from worker.db.driver import sqlstate
from worker.db.engine import Sessions
from worker.db.tenancy import retry_conflicts, system_transaction, tenant_driver, tenant_transaction

FOREIGN_ROW = "42501"
COVER = """
INSERT INTO collect.coverage (organization_id, marketplace_account_id, stream) VALUES ($1, $2, $3)
"""
STREAMS = "SELECT stream FROM collect.coverage ORDER BY stream"


async def streams(sessions: Sessions, tenant: Tenant) -> list[str]:
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        return list((await session.scalars(text(STREAMS))).all())


async def test_leaving_commits_and_an_error_rolls_back(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    tenant = tenants[0]
    async with tenant_driver(sessions, tenant.organization_id) as driver:
        await driver.execute(COVER, tenant.organization_id, tenant.account_id, "kept")

    async def fail() -> None:
        async with tenant_driver(sessions, tenant.organization_id) as driver:
            await driver.execute(COVER, tenant.organization_id, tenant.account_id, "lost")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await streams(sessions, tenant) == ["kept"]


async def test_it_sees_and_writes_one_organization_alone(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    ours, theirs = tenants
    async with tenant_driver(sessions, theirs.organization_id) as driver:
        await driver.execute(COVER, theirs.organization_id, theirs.account_id, "theirs")
    async with tenant_driver(sessions, ours.organization_id) as driver:
        assert await driver.fetch(STREAMS) == []

    async def write_theirs() -> None:
        async with tenant_driver(sessions, ours.organization_id) as driver:
            await driver.execute(COVER, theirs.organization_id, theirs.account_id, "ours")

    with pytest.raises(DBAPIError) as refused:
        await write_theirs()
    assert sqlstate(refused.value) == FOREIGN_ROW
    assert await streams(sessions, theirs) == ["theirs"]


async def test_one_that_is_cut_off_leaves_no_dead_connection_to_the_next(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    for _ in range(5):
        with pytest.raises(DBAPIError):
            async with tenant_driver(sessions, tenants[0].organization_id) as driver:
                await driver.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await streams(sessions, tenants[0]) == []  # of a pool of one


async def test_a_driver_that_lost_its_place_has_lost_its_connection(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    backends = []

    async def enter(*, lost: bool) -> None:
        async with tenant_driver(sessions, tenants[0].organization_id) as driver:
            backends.append(driver.get_server_pid())
            if lost:
                raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    with pytest.raises(DBAPIError) as raised:
        await enter(lost=True)
    assert raised.value.connection_invalidated
    await enter(lost=False)
    assert backends[0] != backends[1], "it went back to the pool, which is of one"


async def test_one_that_is_cancelled_leaves_no_transaction_to_the_next(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant, sleeping = tenants[0], asyncio.Event()

    async def sleep() -> None:
        async with tenant_driver(sessions, tenant.organization_id) as driver:
            await driver.execute(COVER, tenant.organization_id, tenant.account_id, "lost")
            sleeping.set()
            await driver.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(sleep())
    async with asyncio.timeout(10):  # an insert that is refused does not get there
        await sleeping.wait()
    for _ in range(3):  # while it sleeps, and then while it is rolled back
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with system_transaction(sessions) as session:  # of a pool of one
        assert (await session.scalars(text("SELECT pg_current_xact_id_if_assigned()"))).one() is None
    assert await streams(sessions, tenant) == []


async def test_a_connection_that_is_lost_in_it_is_replaced(
    sessions: Sessions, tenants: tuple[Tenant, Tenant], database: Database
) -> None:
    tenant, attempts = tenants[0], 0

    async def commit() -> None:
        nonlocal attempts
        attempts += 1
        async with tenant_driver(sessions, tenant.organization_id) as driver:
            if attempts == 1:
                async with database.connect("postgres") as superuser:
                    assert await superuser.fetchval("SELECT pg_terminate_backend($1, 5000)", driver.get_server_pid())
            await driver.execute(COVER, tenant.organization_id, tenant.account_id, "kept")

    await retry_conflicts(commit)
    assert attempts == 2
    assert await streams(sessions, tenant) == ["kept"]

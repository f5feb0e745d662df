"""Two tenants in a fresh database, and sessions as the roles that look at them."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from tests.integration.db.rows import TENANT_TABLES, Tenant, row_of, table_named
from tests.servers import Database
from worker.db.engine import Sessions, make_engine, make_sessions


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """As collector_worker, with one connection: what one transaction leaves on it, the next would find."""
    engine = make_engine(database.worker_url, pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> Sessions:
    return make_sessions(engine)


@pytest.fixture
async def many_sessions(database: Database) -> AsyncIterator[Sessions]:
    """As collector_worker, each on a connection of its own."""
    engine = make_engine(database.worker_url, null_pool=True)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[AsyncConnection]:
    """The owner's connection as collector_admin, the way the command line works. Every statement commits by itself."""
    engine = make_engine(database.owner_url, null_pool=True)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("SET ROLE collector_admin"))
        yield connection
    await engine.dispose()


@pytest.fixture
async def tenants(admin: AsyncConnection) -> tuple[Tenant, Tenant]:
    """Two organizations with an account and a member each."""
    both = (Tenant(uuid7(), uuid7(), uuid7()), Tenant(uuid7(), uuid7(), uuid7()))
    for tenant in both:
        user = {"id": tenant.user_id, "email": f"{tenant.user_id}@example.com", "name": "Анна"}
        await admin.execute(insert(table_named("core.user")).values(user))
        for name in ("core.organization", "core.marketplace_account", "core.membership"):
            table = table_named(name)
            await admin.execute(insert(table).values(row_of(table, tenant)))
    return both


@pytest.fixture
async def filled(admin: AsyncConnection, tenants: tuple[Tenant, Tenant]) -> tuple[Tenant, Tenant]:
    """The same two, with a row in every tenant table."""
    for tenant in tenants:
        for table in TENANT_TABLES:
            if table.schema != "core":
                await admin.execute(insert(table).values(row_of(table, tenant)))
    return tenants

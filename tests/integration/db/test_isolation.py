"""One tenant never reads or writes another's rows, whatever the code above the database does."""

import asyncpg
import pytest
from sqlalchemy import Table as SqlTable
from sqlalchemy import delete, func, insert, select, text, update

from tests.integration.db.refusals import NO_SUCH_KEY, NOT_ALLOWED, refused
from tests.integration.db.rows import (
    PARTITIONED,
    STATED_FOR_ACCOUNT,
    TENANT_TABLES,
    Tenant,
    row_of,
    table_named,
    tenant_column,
)
from tests.servers import Database
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.tenancy import system_transaction, tenant_transaction

every_tenant_table = pytest.mark.parametrize("table", TENANT_TABLES, ids=str)
READERS_TABLES = [*PARTITIONED, "collect.coverage", "core.marketplace_account"]


@every_tenant_table
async def test_a_tenant_reads_its_own_rows_only(
    sessions: Sessions, filled: tuple[Tenant, Tenant], table: SqlTable
) -> None:
    for tenant in filled:
        async with tenant_transaction(sessions, tenant.organization_id) as session:
            seen = (await session.scalars(select(tenant_column(table)))).all()
        assert seen == [tenant.organization_id]


@every_tenant_table
async def test_without_a_tenant_there_are_no_rows(
    sessions: Sessions, filled: tuple[Tenant, Tenant], table: SqlTable
) -> None:
    """Also not on a connection that a tenant has just used: the pool of this test holds one."""
    count = select(func.count()).select_from(table)
    async with tenant_transaction(sessions, filled[0].organization_id) as session:
        assert await session.scalar(count) == 1
    async with system_transaction(sessions) as session:
        assert await session.scalar(count) == 0
    async with sessions() as session:
        assert await session.scalar(count) == 0


@every_tenant_table
async def test_a_row_for_another_tenant_is_refused(
    sessions: Sessions, tenants: tuple[Tenant, Tenant], table: SqlTable
) -> None:
    mine, theirs = tenants
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, mine.organization_id) as session:
            await session.execute(insert(table).values(row_of(table, theirs)))


@pytest.mark.parametrize("table", [t for t in TENANT_TABLES if t.schema != "core"], ids=str)
async def test_a_row_for_oneself_is_taken(sessions: Sessions, tenants: tuple[Tenant, Tenant], table: SqlTable) -> None:
    async with tenant_transaction(sessions, tenants[0].organization_id) as session:
        await session.execute(insert(table).values(row_of(table, tenants[0])))


@every_tenant_table
async def test_a_row_cannot_be_handed_to_another_tenant(
    sessions: Sessions, filled: tuple[Tenant, Tenant], table: SqlTable
) -> None:
    mine, theirs = filled
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, mine.organization_id) as session:
            await session.execute(update(table).values({tenant_column(table): theirs.organization_id}))


@pytest.mark.parametrize("name", ["collect.walk", *STATED_FOR_ACCOUNT])
async def test_an_update_leaves_another_tenants_rows_alone(
    sessions: Sessions, filled: tuple[Tenant, Tenant], name: str
) -> None:
    mine, theirs = filled
    table = table_named(name)
    async with tenant_transaction(sessions, mine.organization_id) as session:
        of_theirs = await session.execute(
            update(table)
            .where(tenant_column(table) == theirs.organization_id)
            .values(stream="mine")
            .returning(text("1"))
        )
        assert of_theirs.all() == []
    async with tenant_transaction(sessions, theirs.organization_id) as session:
        assert await session.scalar(select(table.columns["stream"])) == "orders"


@every_tenant_table
async def test_the_worker_deletes_nothing(sessions: Sessions, filled: tuple[Tenant, Tenant], table: SqlTable) -> None:
    tenant = filled[0].organization_id
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, tenant) as session:
            await session.execute(delete(table))
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, tenant) as session:
            await session.execute(text(f"TRUNCATE {table.fullname}"))


@pytest.mark.parametrize("name", STATED_FOR_ACCOUNT)
async def test_an_account_of_another_tenant_cannot_be_named(
    sessions: Sessions, tenants: tuple[Tenant, Tenant], name: str
) -> None:
    """Nor found out about: the refusal is the one for an account that does not exist."""
    mine, theirs = tenants
    table = table_named(name)
    with refused(NO_SUCH_KEY):
        async with tenant_transaction(sessions, mine.organization_id) as session:
            await session.execute(insert(table).values(row_of(table, mine, marketplace_account_id=theirs.account_id)))


async def test_copy_is_refused(database: Database, tenants: tuple[Tenant, Tenant]) -> None:
    row = row_of(table_named("raw.payload"), tenants[0])
    async with database.connect("collector_worker") as connection:
        await connection.execute("SELECT set_config('app.organization_id', $1, false)", str(tenants[0].organization_id))
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await connection.copy_records_to_table(
                "payload", schema_name="raw", columns=list(row), records=[tuple(row.values())]
            )


@pytest.mark.parametrize("role", ["collector_worker", "collector_reader", "collector_reader_all", "collector_metrics"])
@pytest.mark.parametrize("table", PARTITIONED)
async def test_a_partition_cannot_be_reached_by_its_own_name(
    database: Database, filled: tuple[Tenant, Tenant], table: str, role: str
) -> None:
    async with database.connect(role) as connection:
        partition = await connection.fetchval(
            "SELECT min(inhrelid::regclass::text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = $1",
            table,
        )
        await connection.execute("SELECT set_config('app.organization_id', $1, false)", str(filled[0].organization_id))
        for statement in ("SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement.format(partition))


async def test_a_tenants_reader_reads_its_rows_and_never_a_secret(
    database: Database, filled: tuple[Tenant, Tenant]
) -> None:
    engine = make_engine(database.url("collector_reader"), null_pool=True)
    sessions = make_sessions(engine)
    for name in READERS_TABLES:
        async with tenant_transaction(sessions, filled[1].organization_id) as session:
            seen = (await session.scalars(select(tenant_column(table_named(name))))).all()
        assert seen == [filled[1].organization_id], name
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, filled[1].organization_id) as session:
            await session.execute(text("SELECT secret_ref FROM core.marketplace_account"))
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, filled[1].organization_id) as session:
            await session.execute(text("UPDATE collect.coverage SET wanted_from = now()"))
    await engine.dispose()


async def test_the_reader_of_all_reads_every_tenant_and_writes_nothing(
    database: Database, filled: tuple[Tenant, Tenant]
) -> None:
    async with database.connect("collector_reader_all") as connection:
        for name in [*READERS_TABLES, "collect.stream_state", "collect.request", "collect.quarantine"]:
            assert await connection.fetchval(f"SELECT count(organization_id) FROM {name}") == len(filled), name
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(
                    f"UPDATE {name} SET stream = ''" if "core" not in name else f"DELETE FROM {name}"
                )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT secret_ref FROM core.marketplace_account")


async def test_the_worker_may_pause_an_account_but_not_point_it_elsewhere(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0].organization_id
    async with tenant_transaction(sessions, tenant) as session:
        await session.execute(text("UPDATE core.marketplace_account SET status = 'paused', status_reason = '401'"))
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, tenant) as session:
            await session.execute(text("UPDATE core.marketplace_account SET secret_ref = 'env:OTHER'"))


async def test_the_worker_does_not_see_users(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    with refused(NOT_ALLOWED):
        async with tenant_transaction(sessions, tenants[0].organization_id) as session:
            await session.execute(text('SELECT FROM core."user"'))


async def test_the_owner_sees_no_rows_unless_it_becomes_the_admin(
    database: Database, filled: tuple[Tenant, Tenant]
) -> None:
    async with database.connect("collector_owner") as connection:
        assert await connection.fetchval("SELECT count(*) FROM raw.payload") == 0
        await connection.execute("SET ROLE collector_admin")
        assert await connection.fetchval("SELECT count(*) FROM raw.payload") == len(filled)


async def test_every_table_with_an_organization_has_forced_row_security_and_policies(database: Database) -> None:
    """Read from the catalog, not from our models: a table that somebody forgot to declare counts too."""
    async with database.connect("collector_worker") as connection:
        rows = await connection.fetch("""
            SELECT c.oid::regclass::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
                   (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema)'
              AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'organization_id')
        """)
    assert {row["name"] for row in rows} == {t.fullname for t in TENANT_TABLES if t.name != "organization"}
    for row in rows:
        assert row["forced"], row["name"]
        assert {"tenant", "tenant_guard", "every_tenant", "every_tenant_read"} <= set(row["policies"]), row["name"]

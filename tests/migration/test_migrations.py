"""Migrations up, down and up again, and what they leave behind."""

import subprocess
import sys
from asyncio import to_thread
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import migrations
from migrations.comparing import include_name, without_partitions
from migrations.prepare import MigrationRefused, refuse_old_server
from tests.migration.catalog import ask, objects
from tests.servers import Database
from worker.db.engine import make_engine
from worker.db.migrate import NotMigrated, downgrade, require_current, upgrade
from worker.db.models import Table

REVISIONS = sorted(
    script.revision for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
)


async def test_down_leaves_nothing_and_up_again_makes_the_same(empty_database: Database) -> None:
    """Roles and the version table outlive the last downgrade: roles belong to the whole cluster."""
    await to_thread(upgrade, empty_database.owner_url)
    made = await objects(empty_database)
    await to_thread(downgrade, empty_database.owner_url, "base")
    assert [name for name, *_ in await objects(empty_database)] == ["meta.alembic_version", "meta.alembic_version_pkc"]
    async with empty_database.connect("postgres") as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'collector\\_%'") == 7
    await to_thread(upgrade, empty_database.owner_url)
    assert await objects(empty_database) == made


async def test_each_step_down_undoes_its_step_up(empty_database: Database) -> None:
    on_the_way_up = []
    for revision in REVISIONS:
        await to_thread(upgrade, empty_database.owner_url, revision)
        on_the_way_up.append(await objects(empty_database))
    for revision, expected in reversed(list(zip(REVISIONS, on_the_way_up, strict=True))):
        await to_thread(downgrade, empty_database.owner_url, revision)
        assert await objects(empty_database) == expected, revision


async def test_models_say_what_the_migrations_made(database: Database) -> None:
    """Partitions are left out, or autogenerate would propose to drop every month of data."""

    def differences(connection: Connection) -> object:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": include_name,
                "include_object": without_partitions(connection),
                "version_table_schema": "meta",
                "compare_server_default": True,
            },
        )
        return compare_metadata(context, Table.metadata)

    assert await ask(database.owner_url, differences) == []


async def test_without_the_filter_autogenerate_would_drop_every_month(database: Database) -> None:
    def dropped(connection: Connection) -> set[str]:
        context = MigrationContext.configure(connection, opts={"include_schemas": True, "include_name": include_name})
        found = compare_metadata(context, Table.metadata)
        return {table.name.split("_")[0] for operation, table, *_ in found if operation == "remove_table"}

    assert await ask(database.owner_url, dropped) == {"payload", "walk", "run"}


def test_two_migrations_at_the_same_time_take_turns(empty_database: Database) -> None:
    program = "import sys; from worker.db.migrate import upgrade; upgrade(sys.stdin.read())"
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(empty_database.owner_url)
        process.stdin.close()
    for process in running:
        assert process.stderr is not None
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.parametrize("version", [170006, 160000, 90600])
def test_an_old_server_is_refused(version: int) -> None:
    with pytest.raises(MigrationRefused, match=f"PostgreSQL {version // 10000}, .* needs 18 or newer"):
        refuse_old_server(version)


@pytest.mark.parametrize("version", [180000, 180006, 190001])
def test_a_server_from_18_on_is_taken(version: int) -> None:
    refuse_old_server(version)


@pytest.mark.parametrize("role", ["collector_worker", "collector_admin", "collector_owner"])
async def test_a_migrated_database_is_current(database: Database, role: str) -> None:
    async with make_engine(database.url(role), null_pool=True).connect() as connection:
        await require_current(connection)


async def test_a_database_without_migrations_is_not_worked_with(empty_database: Database) -> None:
    async with make_engine(empty_database.worker_url, null_pool=True).connect() as connection:
        with pytest.raises(NotMigrated, match=f"revision none, this version needs {REVISIONS[-1]}: run `collector mig"):
            await require_current(connection)


async def test_a_database_of_another_version_is_not_worked_with(empty_database: Database) -> None:
    await to_thread(upgrade, empty_database.owner_url, REVISIONS[2])
    async with make_engine(empty_database.worker_url, null_pool=True).connect() as connection:
        with pytest.raises(NotMigrated, match=f"revision {REVISIONS[2]}, this version needs {REVISIONS[-1]}"):
            await require_current(connection)
    await to_thread(downgrade, empty_database.owner_url, "base")
    async with make_engine(empty_database.worker_url, null_pool=True).connect() as connection:
        with pytest.raises(NotMigrated, match="revision none"):
            await require_current(connection)


async def test_a_role_that_may_not_read_the_revision_is_told_so(database: Database) -> None:
    """Not that the database should be migrated, which would be wrong."""
    async with make_engine(database.url("collector_metrics"), null_pool=True).connect() as connection:
        with pytest.raises(NotMigrated, match="collector_metrics may not read the revision"):
            await require_current(connection)

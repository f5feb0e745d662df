"""On servers that are not ours: roles are missing, and the login that migrates is not collector_owner.

Roles belong to a whole cluster, so these tests have one of their own.
"""

import shutil
import tempfile
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from migrations.prepare import ROLES, MigrationRefused
from tests.migration.catalog import objects
from tests.servers import Database
from worker.db.engine import make_engine
from worker.db.migrate import downgrade, require_current, upgrade
from worker.embedded import Embedded, start


@pytest.fixture(scope="module")
def cluster() -> Iterator[Embedded]:
    home = Path(tempfile.mkdtemp(prefix="collector-roles-"))
    home.chmod(0o755)
    try:
        with start(home, database="first", durable=False) as running:
            running.run_sql("DROP DATABASE first")
            yield running
    finally:
        shutil.rmtree(home)


@pytest.fixture
def bare(cluster: Embedded) -> Iterator[Database]:
    """A database on a cluster without one of our roles; `deployer` owns it and may make roles, but is no superuser."""
    for role in ROLES:
        cluster.run_sql(f"DROP ROLE IF EXISTS {role}")
    cluster.run_sql("CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'for this test'")
    cluster.run_sql("CREATE DATABASE bare OWNER deployer")
    yield Database("bare", cluster.servers)
    cluster.run_sql("DROP DATABASE bare WITH (FORCE)")
    for role in ROLES:
        cluster.run_sql(f"DROP ROLE IF EXISTS {role}")
    cluster.run_sql("DROP ROLE deployer")


def deployer_url(database: Database) -> str:
    return f"postgresql://deployer:for this test@127.0.0.1:{database.servers.postgres_port}/{database.name}"


@pytest.mark.parametrize("login", ["postgres", "deployer"])
async def test_whoever_migrates_the_result_is_the_same(bare: Database, database: Database, login: str) -> None:
    """Nothing belongs to a superuser, and roles that were missing are made, unable to log in."""
    url = bare.url("postgres") if login == "postgres" else deployer_url(bare)
    await to_thread(upgrade, url)
    assert await objects(bare) == await objects(database)
    async with bare.connect("postgres") as connection:
        made = await connection.fetch(
            "SELECT rolname, rolcanlogin OR rolsuper OR rolbypassrls AS strong FROM pg_roles WHERE rolname = ANY ($1)",
            list(ROLES),
        )
    assert {row["rolname"]: row["strong"] for row in made} == dict.fromkeys(ROLES, False)
    await to_thread(downgrade, url, "base")
    await to_thread(upgrade, url)
    async with make_engine(url, null_pool=True).connect() as engine_connection:
        await engine_connection.execute(text("SET ROLE collector_admin"))
        await require_current(engine_connection)


async def test_roles_that_are_there_are_left_as_they_are(bare: Database) -> None:
    async with bare.connect("postgres") as connection:
        await connection.execute("CREATE ROLE collector_worker LOGIN CONNECTION LIMIT 7 PASSWORD 'of the operator'")
        await to_thread(upgrade, bare.url("postgres"))
        role = await connection.fetchrow(
            "SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = 'collector_worker'"
        )
        assert role is not None
        assert tuple(role) == (True, 7)


async def test_the_owner_becomes_the_admin_and_inherits_nothing(bare: Database) -> None:
    await to_thread(upgrade, bare.url("postgres"))
    async with bare.connect("postgres") as connection:
        for role in ("collector_admin", "collector_scheduler"):
            rights = await connection.fetchrow(
                "SELECT pg_has_role('collector_owner', $1, 'SET'), pg_has_role('collector_owner', $1, 'USAGE')", role
            )
            assert rights is not None
            assert tuple(rights) == (True, False)


async def test_a_login_that_may_not_make_roles_is_told_what_is_missing(bare: Database) -> None:
    async with bare.connect("postgres") as connection:
        await connection.execute("ALTER ROLE deployer NOCREATEROLE")
    with pytest.raises(
        MigrationRefused,
        match=r"deployer may not make the roles .*\(permission denied to create role\).* give it CREATEROLE",
    ):
        await to_thread(upgrade, deployer_url(bare))


async def test_a_login_without_rights_on_roles_that_exist_is_told_so(bare: Database) -> None:
    async with bare.connect("postgres") as connection:
        for role in ROLES:
            await connection.execute(f"CREATE ROLE {role}")
    with pytest.raises(MigrationRefused, match="ADMIN OPTION on the roles that exist"):
        await to_thread(upgrade, deployer_url(bare))

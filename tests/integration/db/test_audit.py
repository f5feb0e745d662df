"""The audit is silent on what our migrations made and speaks when somebody opens a door."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.db.rows import Tenant
from tests.servers import Database
from worker.db.audit import Finding, audit
from worker.db.engine import make_engine


async def findings(database: Database, role: str = "collector_worker") -> list[Finding]:
    engine = make_engine(database.url(role), null_pool=True)
    async with engine.connect() as connection:
        return await audit(connection)


@pytest.mark.parametrize("role", ["collector_owner", "collector_worker", "collector_metrics", "postgres"])
async def test_a_migrated_database_has_no_findings(database: Database, role: str) -> None:
    assert await findings(database, role) == []


@pytest.mark.parametrize(
    ("opening", "problem"),
    [
        ("GRANT SELECT ON ALL TABLES IN SCHEMA raw TO collector_worker", "by its own name"),
        ("GRANT INSERT ON ALL TABLES IN SCHEMA collect TO PUBLIC", "by its own name"),
        ("GRANT SELECT ON raw.payload TO PUBLIC", "everybody has a privilege"),
        ("ALTER TABLE raw.payload DISABLE ROW LEVEL SECURITY", "not enabled"),
        ("ALTER TABLE collect.request DISABLE ROW LEVEL SECURITY", "not enabled"),
        ("ALTER TABLE core.membership NO FORCE ROW LEVEL SECURITY", "not forced"),
        ("DROP POLICY tenant_guard ON collect.walk", "no restrictive policy"),
        ("DROP POLICY tenant ON collect.coverage", "no permissive policy"),
        ("CREATE POLICY wide ON raw.payload FOR SELECT TO PUBLIC USING (stream = 'orders')", "without asking"),
        ("CREATE POLICY wide ON raw.payload TO collector_reader USING (true)", "without asking"),
        (
            """CREATE POLICY slow ON raw.payload TO collector_worker
               USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)""",
            "evaluated for every row",
        ),
        ("GRANT DELETE ON raw.payload TO collector_worker", "may delete"),
        ("GRANT TRUNCATE ON collect.run TO collector_reader_all", "may truncate"),
        ("CREATE VIEW raw.everything AS SELECT * FROM raw.payload", "security_invoker"),
        ("CREATE VIEW raw.everything WITH (security_invoker = off) AS SELECT * FROM raw.page", "security_invoker"),
        ("CREATE MATERIALIZED VIEW raw.everything AS SELECT * FROM collect.walk", "security_invoker"),
        (
            """CREATE FUNCTION app.all_rows() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
               AS 'SELECT count(*) FROM raw.payload'""",
            "runs as the owner of the tables",
        ),
        (
            "CREATE FUNCTION app.loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "looks up names where its caller says",
        ),
        ("GRANT EXECUTE ON FUNCTION collect.status() TO PUBLIC", "everybody may call"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO collector_reader", "granted by default"),
        ("CREATE TABLE core.invoice (organization_id uuid)", "not enabled"),
        ("DROP TABLE raw.payload_{month}", "fewer than 3 months"),
    ],
)
async def test_an_opened_door_is_found(database: Database, opening: str, problem: str) -> None:
    async with database.connect("postgres") as superuser:
        month = await superuser.fetchval("""SELECT to_char(now() AT TIME ZONE 'UTC' + '1 month', '"y"YYYY"m"MM')""")
        if "collect.status" not in opening:  # that one is collector_scheduler's to grant
            await superuser.execute("SET ROLE collector_owner")
        await superuser.execute(opening.format(month=month))
    found = await findings(database)
    assert any(problem in finding.problem for finding in found), found


async def test_a_role_that_was_made_a_member_of_a_stronger_one_is_found(database: Database) -> None:
    async with database.connect("postgres") as superuser:
        await superuser.execute("GRANT collector_admin TO collector_reader WITH INHERIT FALSE")
        try:
            assert Finding("this role can become one that sees more", "collector_admin", "collector_reader") in (
                await findings(database)
            )
        finally:
            await superuser.execute("REVOKE collector_admin FROM collector_reader")


# Findings of pgrls that are meant. Everything else fails the test.
EVERY_TENANT = (
    r"\.(every_tenant|every_tenant_read|scheduling|resuming)$"  # for roles that are there to see every tenant
)
PARTITION = r"_y\d{4}m\d{2}$"
MEANT = {
    "SEC001": r"^(core\.user|core\.audit|core\.proxy|collect\.bucket|collect\.pause)$",  # no tenant's: held by grants
    "SEC002": PARTITION,  # forced, the owner could not maintain it; nobody else has a grant
    "SEC005": EVERY_TENANT,
    "SEC008": EVERY_TENANT,
    "SEC009": PARTITION,  # no policy is the point: by its own name a partition is nobody's
    "SEC013": r"\.(touch|keep_covered|record_change|record_update)$",  # they read nothing; two write core.audit
    "SEC014": (  # reviewed: pinned search_path, and owned by a role that reads the columns they answer from
        r"^(app\.visible_users|core\.record_change|raw\.ensure_partition|"
        r"collect\.(accounts|bucket_put_off|bucket_take_back|bucket_waits|due|due_summary|figures|keys|locate_account|resume_elapsed|"
        r"status|unreconciled))$"
    ),
    "SEC027": r"^core\.membership$",  # members of one organization may know each other
    "SEC028": EVERY_TENANT,
    "SEC035": r"^core\.organization ",  # no tenant-bound role can insert there to find out
    "SEC038": EVERY_TENANT,
    "VIEW002": r"^raw\.page$",  # security_invoker: row-level security of the tables below is the barrier
}


def test_pgrls_finds_nothing_that_is_not_meant(database: Database) -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("pgrls"), "lint", "--format", "json", "--schemas", "core,raw,collect,app"],
        env={"PATH": os.defpath, "DATABASE_URL": database.url("postgres")},
        capture_output=True,
        text=True,
        check=False,
    )
    violations = json.loads(lint.stdout)["violations"]
    assert {violation["rule_id"] for violation in violations} == MEANT.keys()
    unexpected = [v for v in violations if not re.search(MEANT[v["rule_id"]], v["location"])]
    assert unexpected == []


def test_a_person_reads_their_rows_through_psql(database: Database, filled: tuple[Tenant, Tenant]) -> None:
    """As the README shows it: set the organization, then ask."""
    psql = subprocess.run(
        [
            *(database.servers.psql, "-XqAt", "-h", "127.0.0.1", "-p", str(database.servers.postgres_port)),
            *("-U", "collector_reader", "-d", database.name),
        ],
        input=f"""
            SELECT count(*) FROM raw.page;
            SET app.organization_id = '{filled[0].organization_id}';
            SELECT organization_id, stream, status FROM raw.page;
        """,
        env={"PATH": os.defpath, "PGPASSFILE": str(database.servers.pgpass)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert psql.stdout.split() == ["0", f"{filled[0].organization_id}|orders|200"]

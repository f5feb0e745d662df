"""The questions that are asked across tenants, and what is written down of changes."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from tests.integration.db.refusals import AGAINST_A_CHECK, refused
from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from worker.db.engine import Sessions
from worker.db.tenancy import system_transaction, tenant_transaction

STATE = table_named("collect.stream_state")
NOW = datetime.now(UTC)
AN_HOUR = timedelta(hours=1)  # longer than any run of the whole suite


async def stand(admin: AsyncConnection, tenant: Tenant, stream: str, **columns: object) -> None:
    """Put a stream into a state: due a minute ago unless `columns` say otherwise."""
    row = row_of(STATE, tenant, stream=stream, next_due_at=NOW - AN_HOUR) | columns
    await admin.execute(insert(STATE).values(row))


async def due(sessions: Sessions, room: int = 100) -> list[str]:
    async with system_transaction(sessions) as session:
        return [row.stream for row in await session.execute(text("SELECT * FROM collect.due(:room)"), {"room": room})]


async def test_what_is_due_is_found_and_nothing_else(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0]
    await stand(admin, tenant, "due")
    await stand(admin, tenant, "wait is over", not_before=NOW - AN_HOUR)
    await stand(admin, tenant, "lease ran out", lease_token=uuid4(), lease_until=NOW - AN_HOUR)
    await stand(admin, tenant, "never due", next_due_at=None)
    await stand(admin, tenant, "due later", next_due_at=NOW + AN_HOUR)
    await stand(admin, tenant, "put off", not_before=NOW + AN_HOUR)
    await stand(admin, tenant, "leased", lease_token=uuid4(), lease_until=NOW + AN_HOUR)
    await stand(admin, tenant, "unavailable until tomorrow", state="unavailable", next_due_at=NOW + AN_HOUR)
    for state in ("paused", "unavailable", "quarantined", "retired"):
        await stand(admin, tenant, state, state=state)
    assert sorted(await due(sessions)) == ["due", "lease ran out", "unavailable", "wait is over"]


@pytest.mark.parametrize("paused", ["core.organization", "core.marketplace_account"])
async def test_nothing_is_due_for_who_is_paused(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant], paused: str
) -> None:
    table = table_named(paused)
    mine, theirs = tenants
    await stand(admin, mine, "paused")
    await stand(admin, theirs, "active")
    wanted = mine.organization_id if paused == "core.organization" else mine.account_id
    await admin.execute(update(table).where(table.columns["id"] == wanted).values(status="paused"))
    assert await due(sessions) == ["active"]
    async with system_transaction(sessions) as session:
        accounts = await session.execute(text("SELECT organization_id, marketplace_account_id FROM collect.accounts()"))
        assert [tuple(row) for row in accounts] == [(theirs.organization_id, theirs.account_id)]


async def test_organizations_take_turns(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    """The one with a long queue, all of it older, does not keep the other waiting."""
    busy, quiet = tenants
    for number in range(5):
        await stand(admin, busy, f"busy {number}", next_due_at=NOW - timedelta(hours=9 - number))
    await stand(admin, quiet, "quiet 0")
    await stand(admin, quiet, "quiet 1", next_due_at=NOW - AN_HOUR / 2)
    assert await due(sessions) == ["busy 0", "quiet 0", "busy 1", "quiet 1", "busy 2", "busy 3", "busy 4"]
    assert await due(sessions, room=3) == ["busy 0", "quiet 0", "busy 1"]
    assert await due(sessions, room=0) == await due(sessions, room=-1) == []


async def test_what_somebody_waits_for_comes_before_a_backfill(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    await stand(admin, tenants[0], "history", priority=2, next_due_at=NOW - timedelta(days=2))
    await stand(admin, tenants[0], "scheduled", priority=1, next_due_at=NOW - timedelta(days=1))
    await stand(admin, tenants[0], "interactive", priority=0)
    assert await due(sessions) == ["interactive", "scheduled", "history"]


async def test_the_backlog_is_counted_and_its_age_told(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    summary = text("SELECT backlog, oldest_age FROM collect.due_summary()")
    async with system_transaction(sessions) as session:
        assert tuple((await session.execute(summary)).one()) == (0, None)
    for tenant in tenants:
        await stand(admin, tenant, "orders", next_due_at=NOW - timedelta(hours=2))
    async with system_transaction(sessions) as session:
        backlog, oldest_age = (await session.execute(summary)).one()
    assert backlog == 2
    assert timedelta(hours=2) <= oldest_age < timedelta(hours=3)


async def test_an_account_is_found_without_knowing_its_tenant(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    locate = text("SELECT collect.locate_account(:account)")
    async with system_transaction(sessions) as session:
        assert await session.scalar(locate, {"account": tenants[1].account_id}) == tenants[1].organization_id
        assert await session.scalar(locate, {"account": uuid7()}) is None


async def test_a_bucket_keeps_its_later_wait_until_it_is_over(sessions: Sessions) -> None:
    put_off = text("SELECT collect.bucket_put_off(:key, :until)")
    waits = text("SELECT key, not_before FROM collect.bucket_waits()")
    later, sooner = NOW + 3 * AN_HOUR, NOW + 2 * AN_HOUR
    async with system_transaction(sessions) as session:
        for key, until in (("a", sooner), ("a", later), ("b", later), ("b", sooner), ("over", NOW - AN_HOUR)):
            await session.execute(put_off, {"key": key, "until": until})
    async with system_transaction(sessions) as session:
        assert [tuple(row) for row in await session.execute(waits)] == [("a", later), ("b", later)]


async def test_waits_that_are_over_are_cleared_away(sessions: Sessions, admin: AsyncConnection) -> None:
    await admin.execute(text("SET ROLE collector_owner"))
    await admin.execute(text("INSERT INTO collect.bucket VALUES ('over', now() - interval '1 second')"))
    async with system_transaction(sessions) as session:
        assert (await session.execute(text("SELECT * FROM collect.bucket_waits()"))).all() == []
    assert await admin.scalar(text("SELECT count(*) FROM collect.bucket")) == 0


async def test_metrics_see_the_status_of_every_tenant_and_nothing_else(
    database: Database, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    for tenant in tenants:
        await stand(admin, tenant, "orders", last_error="502")
    async with database.connect("collector_metrics") as connection:
        rows = await connection.fetch("SELECT * FROM collect.status()")
        assert {row["organization_id"] for row in rows} == {tenant.organization_id for tenant in tenants}
        assert [(row["stream"], row["account_status"], row["last_error"]) for row in rows] == [
            ("orders", "active", "502")
        ] * 2
        for forbidden in (
            "SELECT FROM collect.stream_state",
            "SELECT * FROM collect.due(1)",
            "SELECT * FROM collect.accounts()",
            "SELECT FROM core.organization",
            "SELECT FROM raw.page",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)


async def test_a_tenant_sees_the_users_of_its_own_organization(
    sessions: Sessions, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, theirs = tenants
    visible = text("SELECT user_id, name, role FROM app.visible_users(:organization)")
    async with tenant_transaction(sessions, mine.organization_id) as session:
        users = (await session.execute(visible, {"organization": mine.organization_id})).all()
        assert [tuple(user) for user in users] == [(mine.user_id, "Анна", "member")]
        assert (await session.execute(visible, {"organization": theirs.organization_id})).all() == []
    async with system_transaction(sessions) as session:
        assert (await session.execute(visible, {"organization": mine.organization_id})).all() == []


async def test_coverage_grows_and_never_shrinks(sessions: Sessions, tenants: tuple[Tenant, Tenant]) -> None:
    tenant = tenants[0]
    coverage = table_named("collect.coverage")
    widen = text("UPDATE collect.coverage SET covered = covered + '{[2026-01-01, 2026-02-01)}'::tstzmultirange")
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        await session.execute(insert(coverage).values(row_of(coverage, tenant)))
        await session.execute(widen)
        await session.execute(text("UPDATE collect.coverage SET wanted_from = '2020-01-01'"))
    with refused(AGAINST_A_CHECK, saying="never shrinks"):
        async with tenant_transaction(sessions, tenant.organization_id) as session:
            await session.execute(
                text("UPDATE collect.coverage SET covered = '{[2026-01-01, 2026-01-31)}'::tstzmultirange")
            )


async def test_changes_by_the_admin_and_by_the_worker_are_written_down(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0]
    proxy = uuid7()
    await admin.execute(
        text("INSERT INTO core.proxy (id, name, proxy_group, url) VALUES (:id, 'p', 'ru', 'http://proxy:3128')"),
        {"id": proxy},
    )
    await admin.execute(text("DELETE FROM core.proxy"))
    async with tenant_transaction(sessions, tenant.organization_id) as session:
        await session.execute(text("UPDATE core.marketplace_account SET status = 'paused'"))
    entries = await admin.execute(
        text("SELECT db_user, db_role, operation, table_name, row_id FROM core.audit ORDER BY id DESC LIMIT 3")
    )
    assert [tuple(entry) for entry in entries] == [
        ("collector_worker", None, "UPDATE", "core.marketplace_account", tenant.account_id),
        ("collector_owner", "collector_admin", "DELETE", "core.proxy", proxy),
        ("collector_owner", "collector_admin", "INSERT", "core.proxy", proxy),
    ]


@pytest.mark.usefixtures("tenants")
@pytest.mark.parametrize(
    ("changed", "recorded"),
    [
        ("key_checked_at = now(), key_expires_at = now()", False),
        ("streams = '{prices}'", True),
        ("paused_until = now()", True),
        ("secret_ref = 'env:ANOTHER', key_checked_at = now()", True),
    ],
)
async def test_every_change_of_an_account_is_written_down_but_that_its_key_was_looked_at(
    admin: AsyncConnection, changed: str, *, recorded: bool
) -> None:
    then = await admin.scalar(text("SELECT max(updated_at) FROM core.marketplace_account"))
    await admin.execute(text(f"UPDATE core.marketplace_account SET {changed}"))
    entries = await admin.scalar(text("SELECT count(*) FROM core.audit WHERE operation = 'UPDATE'"))
    moved = await admin.scalar(
        text("SELECT count(*) FROM core.marketplace_account WHERE updated_at > :then"), {"then": then}
    )
    assert (entries, moved) == ((2, 2) if recorded else (0, 0))


async def test_nobody_rewrites_what_was_written_down(database: Database, admin: AsyncConnection) -> None:
    for statement in ("DELETE FROM core.audit", "UPDATE core.audit SET operation = ''"):
        with refused("42501"):
            await admin.execute(text(statement))
    async with database.connect("collector_worker") as worker:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("SELECT FROM core.audit")


async def test_a_change_moves_updated_at(admin: AsyncConnection, tenants: tuple[Tenant, Tenant]) -> None:
    await stand(admin, tenants[0], "orders", updated_at=NOW - AN_HOUR)
    await admin.execute(text("UPDATE collect.stream_state SET attempts = 1"))
    assert await admin.scalar(text("SELECT updated_at > created_at FROM collect.stream_state"))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("core.proxy", {"url": "http://user:password@proxy:3128", "name": "p", "proxy_group": "ru"}),
        ("core.proxy", {"url": "http://proxy:3128", "name": "p", "proxy_group": "ru", "secret_ref": "hunter2"}),
    ],
)
async def test_a_secret_is_not_taken_where_a_reference_belongs(
    admin: AsyncConnection, table: str, columns: dict[str, str]
) -> None:
    with refused(AGAINST_A_CHECK):
        await admin.execute(insert(table_named(table)).values(columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"payload": "{}", "body": b"x", "body_reason": "both"},
        {"body": b"x"},
        {"body_reason": "no body"},
        {"same_as": uuid7()},
        {"walk_id": uuid7()},
        {"sha256": b"short"},
        {"lane": "fast"},
    ],
)
async def test_a_payload_that_contradicts_itself_is_refused(
    sessions: Sessions, tenants: tuple[Tenant, Tenant], columns: dict[str, object]
) -> None:
    payload = table_named("raw.payload")
    with refused(AGAINST_A_CHECK):
        async with tenant_transaction(sessions, tenants[0].organization_id) as session:
            await session.execute(insert(payload).values(row_of(payload, tenants[0]) | columns))

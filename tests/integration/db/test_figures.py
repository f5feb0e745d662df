"""The figures of the fleet, counted over all tenants; and slow statements in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from tests.integration.db.rows import Tenant, row_of, table_named
from tests.servers import Database
from worker.db.driver import driver_under
from worker.db.engine import Sessions, make_engine, pool_figures
from worker.db.figures import read_figures
from worker.db.slow import log_slow_queries

STATE = table_named("collect.stream_state")
NOW = datetime.now(UTC)
_SINCE_THEN = 0.5  # hours; NOW is when the suite began
HOUR = timedelta(hours=1)


async def stand(admin: AsyncConnection, tenant: Tenant, stream: str, **columns: object) -> None:
    """Put a stream into a state: not due, and its last success half an hour ago, unless `columns` say otherwise."""
    usual = {"next_due_at": NOW + HOUR, "last_success_at": NOW - HOUR / 2, "interval": HOUR}
    await admin.execute(insert(STATE).values(row_of(STATE, tenant, stream=stream) | usual | columns))


async def figures(sessions: Sessions) -> dict[tuple[str, ...], float]:
    found, _ = await read_figures(sessions, datetime.now(UTC))
    return {(figure.name, *figure.labels): figure.value for figure in found}


async def test_what_is_due_and_late_is_counted_over_all_tenants(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, theirs = tenants
    await stand(admin, mine, "orders", next_due_at=NOW - HOUR, last_success_at=NOW - 3 * HOUR)
    await stand(admin, theirs, "orders", next_due_at=NOW - 2 * HOUR, last_success_at=NOW - 9 * HOUR)
    await stand(admin, mine, "sales", next_due_at=NOW - 9 * HOUR, not_before=NOW - HOUR)
    await stand(admin, mine, "put off", next_due_at=NOW - HOUR, not_before=NOW + HOUR)
    await stand(admin, mine, "leased", next_due_at=NOW - HOUR, lease_token=uuid4(), lease_until=NOW + HOUR)
    await stand(admin, mine, "set aside", next_due_at=NOW - HOUR, state="quarantined", last_success_at=NOW - 99 * HOUR)
    await stand(admin, mine, "history", lane="backfill", last_success_at=NOW - 99 * HOUR)
    found = await figures(sessions)
    due = {key[2]: value for key, value in found.items() if key[0] == "due_slices"}
    ages = {key[2]: value / 3600 for key, value in found.items() if key[0] == "due_age_seconds"}
    lags = {key[2]: value / 3600 for key, value in found.items() if key[0] == "lag_seconds"}
    assert due == {"orders": 2, "sales": 1}
    assert ages == pytest.approx({"orders": 2, "sales": 1}, abs=_SINCE_THEN)
    assert lags == pytest.approx({"orders": 8, "sales": 0, "put off": 0, "leased": 0}, abs=_SINCE_THEN)
    states = {key[2]: value for key, value in found.items() if key[0] == "slices"}
    assert states == {"active": 6, "quarantined": 1}
    assert found["partitions_ahead_months",] >= 1
    assert found["table_bytes", "raw.payload"] > 0


async def test_who_is_paused_is_not_late(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    for tenant in tenants:
        await stand(admin, tenant, "orders", next_due_at=NOW - HOUR, last_success_at=NOW - 9 * HOUR)
    organization, account = table_named("core.organization"), table_named("core.marketplace_account")
    await admin.execute(update(account).where(account.c.id == tenants[0].account_id).values(status="paused"))
    await admin.execute(
        update(organization).where(organization.c.id == tenants[1].organization_id), {"status": "paused"}
    )
    found = await figures(sessions)
    assert {key for key in found if key[0] in {"due_slices", "lag_seconds", "slices"}} == set()
    assert found["accounts", "wildberries", "paused"] == 2


async def test_what_is_paused_for_everybody_is_neither_due_nor_late(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    for stream in ("orders", "sales"):
        await stand(admin, tenants[0], stream, next_due_at=NOW - HOUR, last_success_at=NOW - 9 * HOUR)
    await stand(admin, tenants[0], "gone", state="retired", next_due_at=None)
    pause = insert(table_named("collect.pause"))
    await admin.execute(pause, {"marketplace": "wildberries", "stream": "orders", "reason": "their API lies"})
    await admin.execute(pause, {"marketplace": "ozon", "stream": "", "reason": "of others"})

    async def told() -> dict[tuple[str, ...], float]:
        found = await figures(sessions)
        return {key[::2]: value for key, value in found.items() if key[0] in {"due_slices", "lag_seconds", "slices"}}

    assert await told() == {
        ("due_slices", "sales"): 1,
        ("lag_seconds", "sales"): pytest.approx(8 * 3600, abs=1800),
        ("slices", "active"): 1,
        ("slices", "paused"): 1,
    }
    await admin.execute(pause, {"marketplace": "wildberries", "stream": "", "reason": "down"})
    assert await told() == {("slices", "paused"): 2}


async def test_the_lag_counts_from_the_interval_that_was_wished(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    await stand(admin, tenants[0], "orders", last_success_at=NOW - 9 * HOUR, every_override=6 * HOUR)
    lag = (await figures(sessions))["lag_seconds", "wildberries", "orders"]
    assert lag / 3600 == pytest.approx(3, abs=0.5)


async def test_refused_answers_count_until_somebody_has_dealt_with_them(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    table = table_named("collect.quarantine")
    for tenant, changes in ((tenants[0], {}), (tenants[1], {}), (tenants[0], {"dropped_at": NOW})):
        await admin.execute(insert(table).values(row_of(table, tenant) | changes))
    assert (await figures(sessions))["quarantine_open", "wildberries", "orders"] == 2


async def test_the_day_that_the_next_key_expires_is_told_where_it_is_known(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    assert not [key for key in await figures(sessions) if key[0] == "key_expires_days"]
    account = table_named("core.marketplace_account")
    for tenant, days in zip(tenants, (30, 3), strict=True):
        change = update(account).where(account.c.id == tenant.account_id)
        await admin.execute(change.values(key_expires_at=NOW + timedelta(days=days)))
    assert (await figures(sessions))["key_expires_days", "wildberries"] == pytest.approx(3, abs=0.1)
    await admin.execute(change.values(status="paused"))
    assert (await figures(sessions))["key_expires_days", "wildberries"] == pytest.approx(30, abs=0.1)


async def test_the_role_for_metrics_may_ask_and_no_tenant_is_named(
    database: Database, filled: tuple[Tenant, Tenant]
) -> None:
    async with database.connect("collector_metrics") as connection:
        rows = await connection.fetch("SELECT * FROM collect.figures()")
    told = str(rows)
    assert rows
    for tenant in filled:
        assert str(tenant.organization_id) not in told
        assert str(tenant.account_id) not in told


async def test_a_slow_statement_is_logged_by_its_text_without_its_values(database: Database) -> None:
    engine, noticed = make_engine(database.worker_url, null_pool=True), []
    log_slow_queries(engine, over=0.05, noticed=lambda: noticed.append(1))
    async with engine.begin() as connection:
        with capture_logs() as logs:
            await connection.execute(text("SELECT 1"))
            await connection.execute(
                text("SELECT  pg_sleep(:nap),\n  CAST(:key AS text)"), {"nap": 0.06, "key": "s3cret"}
            )
            driver = await driver_under(connection)
            await driver.execute("SELECT pg_sleep($1)", 0.06)
            await connection.execute(text("SET statement_timeout = 80"))
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT pg_sleep(9)"))
    slow = [event for event in logs if event["event"] == "slow query"]
    assert [event["sql"] for event in slow] == [
        "SELECT pg_sleep($1), CAST($2 AS text)",
        "SELECT pg_sleep($1)",
        "SELECT pg_sleep(9)",
    ]
    assert [event["error"] for event in slow] == [None, None, "QueryCanceledError"]
    assert slow[0]["seconds"] >= 0.05
    assert len(noticed) == 3
    assert "s3cret" not in str(logs)


async def test_the_pool_tells_what_is_in_use(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
        used = pool_figures(engine)
    assert (used.most, used.in_use, used.idle) == (1, 1, 0)
    assert (pool_figures(engine).in_use, pool_figures(engine).idle) == (0, 1)

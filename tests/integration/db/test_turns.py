"""Who comes first when more is due than there is room for: shares, turns and pauses, on real rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from uuid_utils.compat import uuid7

from tests.integration.db.rows import Tenant, row_of, table_named
from worker.db.engine import Sessions
from worker.db.pauses import Place, list_pauses, pause
from worker.db.progress import AccountId, SliceKey, take_lease
from worker.db.tenancy import OrganizationId, system_transaction, tenant_driver

NOW = datetime.now(UTC)
AN_HOUR = timedelta(hours=1)
STATE = table_named("collect.stream_state")


async def stand(admin: AsyncConnection, tenant: Tenant, streams: Iterator[str], **columns: object) -> None:
    rows = [row_of(STATE, tenant, stream=stream, next_due_at=NOW - AN_HOUR) | columns for stream in streams]
    await admin.execute(insert(STATE), rows)


async def another_account(admin: AsyncConnection, tenant: Tenant, marketplace: str) -> Tenant:
    of_same = Tenant(tenant.organization_id, uuid7(), tenant.user_id)
    table = table_named("core.marketplace_account")
    row = row_of(table, of_same, marketplace=marketplace, name=str(of_same.account_id))
    await admin.execute(insert(table).values(row))
    return of_same


def named(name: str, count: int) -> Iterator[str]:
    return (f"{name} {number}" for number in range(count))


async def due(sessions: Sessions, room: int = 1000, **shares: int) -> list[Any]:
    limits = {"of_organization": 1000, "of_account": 1000, **shares}
    async with system_transaction(sessions) as session:
        question = text("SELECT * FROM collect.due(:room, :of_organization, :of_account)")
        return list((await session.execute(question, {"room": room, **limits})).all())


async def test_what_runs_counts_to_the_shares_and_the_rest_stays_in_the_database(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    busy, quiet = tenants
    second = await another_account(admin, busy, "ozon")
    await stand(admin, busy, named("running", 3), lease_token=uuid4(), lease_until=NOW + AN_HOUR)
    await stand(admin, busy, named("free", 6))
    await stand(admin, second, named("other", 6))
    await stand(admin, quiet, named("quiet", 6))

    def of(rows: list[Any], tenant: Tenant) -> int:
        return sum(row.marketplace_account_id == tenant.account_id for row in rows)

    of_account = await due(sessions, of_account=5)
    assert [of(of_account, tenant) for tenant in (busy, second, quiet)] == [2, 5, 5]
    of_organization = await due(sessions, of_organization=5)
    assert of(of_organization, busy) + of(of_organization, second) == 2, "three of the five run"
    assert of(of_organization, quiet) == 5
    assert of(await due(sessions, of_account=3), busy) == 0, "all of its share runs"
    assert not any(row.stream.startswith("running") for row in await due(sessions))


async def test_after_an_outage_the_accounts_of_an_organization_take_turns_and_so_the_marketplaces_mix(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    """Everything of one marketplace has waited for longer, and still the others come between."""
    tenant = tenants[0]
    accounts = [
        tenant,
        await another_account(admin, tenant, "ozon"),
        await another_account(admin, tenant, "yandex_market"),
    ]
    for hours, (account, marketplace) in enumerate(
        zip(accounts, ("wildberries", "ozon", "yandex_market"), strict=True), start=1
    ):
        await stand(admin, account, named("s", 20), marketplace=marketplace, next_due_at=NOW - hours * AN_HOUR)
    order = [row.marketplace for row in await due(sessions)]
    for start in range(0, 60, 3):
        assert len(set(order[start : start + 3])) == 3, order
    assert [row.turn for row in await due(sessions)] == list(range(1, 61))


async def test_ten_thousand_due_windows_of_one_do_not_keep_ten_of_another_out(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    long_queue, short = tenants
    await admin.execute(
        text(
            "INSERT INTO collect.stream_state"
            " (organization_id, marketplace_account_id, marketplace, stream, slice, lane,"
            " \"interval\", next_due_at) SELECT :organization, :account, 'ozon', 'w', n::text, 'live',"
            " '1 day', now() - interval '9 hours' FROM generate_series(1, 10000) n"
        ),
        {"organization": long_queue.organization_id, "account": long_queue.account_id},
    )
    await stand(admin, short, named("short", 10))
    first = await due(sessions, room=20, of_account=20_000, of_organization=20_000)
    assert sum(row.organization_id == short.organization_id for row in first) == 10
    assert await due(sessions, room=20, of_account=20_000, of_organization=20_000) == first, "and the same again"


@pytest.mark.parametrize("stream", [None, "orders"])
async def test_a_pause_for_everybody_keeps_what_is_queued_from_beginning_and_ends_by_itself(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant], stream: str | None
) -> None:
    for tenant in tenants:
        await stand(admin, tenant, iter(("orders", "prices")))
    async with system_transaction(sessions) as session:
        assert await session.scalar(text("SELECT collect.resume_elapsed()")) == 0
    for until in (NOW + AN_HOUR, NOW - AN_HOUR):
        async with AsyncSession(admin) as session:
            await pause(session, Place(marketplace="wildberries", stream=stream), "they are moving", until)
            assert [row["reason"] for row in await list_pauses(session)] == ["they are moving"]
        assert {row.stream for row in await due(sessions)} == (set() if stream is None else {"prices"})
        assert await takes(sessions, tenants[0], "orders") is False
    async with system_transaction(sessions) as session:
        assert await session.scalar(text("SELECT collect.resume_elapsed()")) == 1
    assert len(await due(sessions)) == 4
    assert await takes(sessions, tenants[0], "orders")
    assert await admin.scalar(text("SELECT max(attempts) FROM collect.stream_state")) == 1, "of the one that began"


async def test_pauses_of_one_tenant_end_when_their_time_has_come_and_no_earlier(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    places = [
        Place(organization_id=OrganizationId(tenants[0].organization_id)),
        Place(account_id=AccountId(tenants[1].account_id)),
        Place(account_id=AccountId(tenants[1].account_id), stream="orders"),
    ]
    for tenant in tenants:
        await stand(admin, tenant, iter(("orders",)))
    for until, left in ((NOW + AN_HOUR, 0), (NOW - AN_HOUR, 2)):
        async with AsyncSession(admin) as session:
            for place in places:
                await pause(session, place, "stocktaking", until)
        async with system_transaction(sessions) as session:
            assert await session.scalar(text("SELECT collect.resume_elapsed()")) == (3 if left else 0)
        assert len(await due(sessions)) == left
    reasons = (
        "SELECT count(*) FROM core.marketplace_account WHERE status_reason IS NOT NULL OR paused_until IS NOT NULL"
    )
    assert await admin.scalar(text(reasons)) == 0


async def test_a_pause_and_its_end_leave_what_is_out_of_use_as_it_is(
    sessions: Sessions, admin: AsyncConnection, tenants: tuple[Tenant, Tenant]
) -> None:
    """What a person must mend first would go on by itself when the pause is over."""
    before = {"a": "active", "b": "quarantined", "c": "unavailable", "d": "quarantined"}
    for name, state in before.items():
        await stand(admin, tenants[0], iter(("orders",)), slice=name, state=state)

    async def states() -> dict[str, str]:
        rows = await admin.execute(text("SELECT slice, state FROM collect.stream_state"))
        return {row.slice: row.state for row in rows}

    place = Place(account_id=AccountId(tenants[0].account_id), stream="orders")
    for until in (NOW + AN_HOUR, NOW - AN_HOUR):
        async with AsyncSession(admin) as session:
            assert await pause(session, place, "stocktaking", until) == "2 quarantined, 1 unavailable"
        assert await states() == before | {"a": "paused"}
    async with system_transaction(sessions) as session:
        assert await session.scalar(text("SELECT collect.resume_elapsed()")) == 1
    assert await states() == before


async def takes(sessions: Sessions, tenant: Tenant, stream: str) -> bool:
    """Whether a job that was queued already would begin."""
    key = SliceKey(
        organization_id=OrganizationId(tenant.organization_id),
        account_id=AccountId(tenant.account_id),
        marketplace="wildberries",
        stream=stream,
    )
    async with tenant_driver(sessions, UUID(str(tenant.organization_id))) as driver:
        return await take_lease(driver, key) is not None

"""Accounts that go out through proxies, from the row in the database to the marketplace."""

from __future__ import annotations

import pytest

from tests.integration.http.peers import Tunnel
from tests.stage import Stage, run_all


@pytest.mark.parametrize(("most", "collected"), [(1, 1), (2, 2)])
async def test_a_proxy_carries_as_many_accounts_as_it_may(stage: Stage, most: int, collected: int) -> None:
    organization = await stage.add_organization("Sunrise")
    accounts = [await stage.add_account(organization, "ozon", number=n, proxy_group="egress") for n in (1, 2)]
    async with Tunnel().serve() as tunnel, stage.resources() as resources:
        await stage.change(
            "INSERT INTO core.proxy (name, proxy_group, url, max_accounts, egress)"
            " VALUES ('one', 'egress', $1, $2, '203.0.113.7')",
            f"http://127.0.0.1:{tunnel.port}",
            most,
        )
        for account in accounts:
            await run_all(resources, account, "products")
    runs = await stage.rows("SELECT DISTINCT marketplace_account_id AS account, proxy, outcome, error FROM collect.run")
    assert {run["account"] for run in runs if run["proxy"] == "one"} == {one.id for one in accounts[:collected]}
    for run in runs:
        if run["proxy"] is None:
            assert run["outcome"] == "put off"
            assert run["error"].startswith("proxy group 'egress' has no room for another account")
    assert len(runs) >= 2
    assert tunnel.connects == 1


@pytest.mark.parametrize(("others", "outcome"), [(0, "secret unavailable"), (1, "done")])
async def test_a_proxy_whose_secret_is_missing_does_not_hold_up_the_others(
    stage: Stage, others: int, outcome: str
) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon", proxy_group="egress")
    async with Tunnel().serve() as tunnel, stage.resources() as resources:
        for number in range(4 + others):
            await stage.change(
                "INSERT INTO core.proxy (name, proxy_group, url, secret_ref) VALUES ($1, 'egress', $2, $3)",
                f"proxy-{number}",
                f"http://127.0.0.1:{tunnel.port}",
                "file:/nowhere" if number < 4 else None,
            )
        await run_all(resources, account, "products")
    runs = await stage.rows("SELECT DISTINCT outcome, proxy FROM collect.run")
    assert [tuple(run) for run in runs] == [(outcome, "proxy-4" if others else None)]

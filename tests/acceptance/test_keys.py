"""What a key may do is known before it is used, and until when it is good before it ends; a command tells both."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from collectors.registry import STREAMS
from tests.acceptance.commands import Collector, Said, refused
from tests.infisical import CLIENT_ID, CLIENT_SECRET, fake_infisical
from tests.stage import Account, Stage, hasty, run_all
from worker import keys
from worker.infisical import secrets_of
from worker.resources import Resources

STATISTICS, FINANCE = 1 << 5, 1 << 13
IN_FIVE_DAYS = timedelta(days=5, hours=1)


def give(stage: Stage, account: Account, categories: int, expires_in: timedelta = IN_FIVE_DAYS) -> str:
    """Put a token of these categories in the place of the account's."""
    expires = datetime.now(UTC) + expires_in
    token = stage.box.credentials(account.marketplace, account.seller, expires=expires, categories=categories)
    (stage.secrets / f"{account.marketplace}-1").write_text(token)
    return token


@pytest.fixture
async def wildberries(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")


async def states(stage: Stage, *streams: str) -> dict[str, str]:
    sql = "SELECT stream, state FROM collect.stream_state WHERE stream = ANY ($1) AND lane = 'live'"
    return {row["stream"]: row["state"] for row in await stage.rows(sql, list(streams))}


async def due(stage: Stage) -> set[str]:
    sql = "SELECT DISTINCT stream FROM collect.stream_state WHERE next_due_at <= now() AND state = 'unavailable'"
    return {row["stream"] for row in await stage.rows(sql)}


async def pass_a_day(stage: Stage) -> None:
    await stage.change("UPDATE core.marketplace_account SET key_checked_at = key_checked_at - interval '1 day'")


async def check(resources: Resources) -> list[MutableMapping[str, Any]]:
    with capture_logs() as logs:
        await keys.check_due(resources)
    return [line for line in logs if str(line["event"]).startswith("key")]


async def test_a_stream_that_the_token_cannot_have_costs_no_request_and_comes_back_with_another(
    stage: Stage, wildberries: Account
) -> None:
    give(stage, wildberries, STATISTICS)
    async with stage.resources() as resources:
        await check(resources)
        await run_all(hasty(resources), wildberries, "balance")
        assert stage.box.requests() == {}
        seen = await stage.rows("SELECT state, last_error FROM collect.stream_state WHERE stream = 'balance'")
        assert [tuple(row) for row in seen] == [
            ("unavailable", "the token lacks the category finance: make one that has it")
        ]
        assert await stage.value("SELECT status FROM core.marketplace_account") == "active"
        give(stage, wildberries, STATISTICS | FINANCE, timedelta(days=100))
        await pass_a_day(stage)
        await check(resources)
        assert await due(stage) >= {"balance", "fin_detail"}
        assert "cards" not in await due(stage)
        await run_all(hasty(resources), wildberries, "balance")
    assert await states(stage, "balance") == {"balance": "active"}
    assert stage.box.requests()["wildberries/balance"] == 1


async def test_roles_of_ozon_leave_out_what_never_brought_data_and_nothing_that_was_asked_for(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    told = {"expires_at": None, "roles": [{"name": "Goods", "methods": ["/v3/product/list", "/v1/roles"]}]}
    stage.box.fail("ozon", "roles", 200, body=json.dumps(told))
    async with stage.resources() as resources:
        await run_all(hasty(resources), account, "prices")
        await stage.client(resources).request(account.organization_id, account.id, "returns", asked_by="test")
        assert await check(resources) == []
        seen = await states(stage, "products", "prices", "returns", "turnover", "warehouses")
        assert seen == {
            "products": "active", "prices": "active", "returns": "active",
            "turnover": "unavailable", "warehouses": "unavailable",
        }  # fmt: skip
        assert stage.box.requests()["ozon/roles"] == 1
        await pass_a_day(stage)
        await check(resources)  # the sandbox's own answer: an administrator's role, and an end
    assert {"turnover", "warehouses"} <= await due(stage)
    assert await stage.value("SELECT key_expires_at IS NOT NULL FROM core.marketplace_account")


async def test_a_key_that_ends_soon_is_warned_of_once_a_day_and_at_each_start(
    stage: Stage, wildberries: Account
) -> None:
    token = give(stage, wildberries, STATISTICS)
    changes = await stage.value("SELECT count(*) FROM core.marketplace_account WHERE updated_at > created_at")
    async with stage.resources() as resources:
        (line,) = await check(resources)
        assert (line["event"], line["days_left"], line["account"]) == ("key expires", 5, str(wildberries.id))
        assert token not in str(line)
        assert await check(resources) == [], "another worker has looked"
        with capture_logs() as logs:
            await keys.warn_ahead(resources)
        assert [(line["event"], line["days_left"]) for line in logs] == [("key expires", 5)]
        give(stage, wildberries, STATISTICS, timedelta(days=-1, hours=-1))
        await pass_a_day(stage)
        wrong, warned = await check(resources)
    assert "the key expired on " in str(wrong["why"])
    assert warned["days_left"] == -2
    assert stage.box.requests() == {}, "all of it is in the token"
    assert await stage.value("SELECT count(*) FROM core.marketplace_account WHERE updated_at > created_at") == changes


async def test_a_key_that_was_replaced_in_infisical_is_taken_without_a_restart(
    stage: Stage, wildberries: Account
) -> None:
    secret = stage.secrets / "client-secret"
    secret.write_text(CLIENT_SECRET)
    box, place = stage.box, ("bronze", "prod", "/", "WB_MAIN")
    async with fake_infisical() as infisical, stage.resources() as resources:
        infisical.values[place] = box.credentials("wildberries", wildberries.seller)
        settings = stage.settings.model_copy(
            update={
                "infisical_url": infisical.url,
                "infisical_client_id": CLIENT_ID,
                "infisical_client_secret_ref": f"file:{secret}",
            }
        )
        await stage.change("UPDATE core.marketplace_account SET secret_ref = 'infisical:bronze/prod/WB_MAIN'")
        with secrets_of(settings) as resolve:
            worker = replace(hasty(resources), secret=resolve)
            await run_all(worker, wildberries, "balance")
            box.revoke("wildberries", wildberries.seller)
            infisical.values[place] = box.credentials("wildberries", wildberries.seller)
            await stage.make_due()
            await run_all(worker, wildberries, "balance")
            await run_all(worker, wildberries, "seller_info")
    outcomes = await stage.rows("SELECT outcome FROM collect.run ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["done"] * 3
    assert infisical.reads == ["WB_MAIN"] * 2
    assert await stage.value("SELECT status FROM core.marketplace_account") == "active"


async def account_check(stage: Stage, *words: str) -> Said:
    """Run the command beside the stage, in a process of its own."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.cli", "account", "check", *words,
        env=stage.environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await running.communicate()
    assert running.returncode is not None
    return Said(running.returncode, out.decode(), err.decode())


async def test_a_check_tells_what_a_key_is_good_for(stage: Stage, wildberries: Account) -> None:
    give(stage, wildberries, STATISTICS | FINANCE)
    async with stage.resources():
        pass
    (told,) = (await account_check(stage, "wildberries 1", "--json")).json
    assert (told["secret_resolves"], told["seller_matches"], told["days_left"]) == (True, True, 5)
    assert (told["key"], told["asked"]) == ("personal", True)
    assert {"orders", "balance", "seller_info"} <= set(told["streams"])
    assert told["refused"]["cards"] == "the token lacks the category content: make one that has it"
    assert set(told["streams"]) | set(told["refused"]) == STREAMS["wildberries"].keys()
    assert stage.box.requests() == {"wildberries/seller_info": 1}
    said = await account_check(stage, "--all", "--offline")
    assert said.code == 0, said.err
    assert "without cards, cards_trash: the token lacks the category content" in said.out
    assert sum(stage.box.requests().values()) == 1
    assert await stage.value("SELECT key_expires_at > now() + interval '5 days' FROM core.marketplace_account")


async def test_a_check_says_what_has_to_be_mended(stage: Stage) -> None:
    organization = await stage.add_organization("Sunrise")
    for marketplace in STREAMS:
        await stage.add_account(organization, marketplace)
    assert (await account_check(stage, "--all")).code == 0
    asked = stage.box.requests()
    assert asked == {"wildberries/seller_info": 1, "ozon/roles": 1, "yandex_market/campaigns/key": 1}
    stage.box.revoke("yandex_market", stage.box.seller("yandex_market", 1))
    await stage.change("UPDATE core.marketplace_account SET external_id = '77' WHERE marketplace = 'wildberries'")
    (stage.secrets / "ozon-1").unlink()
    said = await account_check(stage, "--all")
    assert said.code == 1
    assert "3 of 3 accounts have to be mended" in said.err
    assert "ozon 1: file:" in said.out
    assert "wildberries 1: the key is of the seller" in said.out
    assert "yandex_market 1: the key is refused" in said.out
    assert stage.box.requests() == {**asked, "wildberries/seller_info": 2, "yandex_market/campaigns/key": 2}


async def test_a_misspelt_category_is_told_by_a_check_and_by_each_run_without_the_token(
    stage: Stage, wildberries: Account
) -> None:
    token = give(stage, wildberries, STATISTICS | FINANCE)
    (stage.secrets / "wildberries-1").write_text(json.dumps({"token": token, "finanse": token, "comment": "canary"}))
    misspelt, other = "'finanse' in the secret is ignored: call it 'finance'", "'comment' in the secret is ignored: "
    said = await account_check(stage, "wildberries 1", "--offline")
    assert said.code == 1
    assert f"wildberries 1: {misspelt}" in said.out
    assert f"wildberries 1: {other}" in said.out
    async with stage.resources() as resources:
        with capture_logs() as logs:
            await run_all(hasty(resources), wildberries, "balance")
        assert [line["why"] for line in logs if line["event"] == "key not in order"] == [misspelt]
        await pass_a_day(stage)
        ended = [line["why"] for line in await check(resources) if line["event"] == "key not in order"]
    assert ended[0] == misspelt
    assert ended[1].startswith(other)
    for told in (said.out, said.err, str(logs), str(ended)):
        assert token not in told
        assert "canary" not in told


def test_a_check_of_no_account_is_refused(ready: Collector) -> None:
    refused(ready("account", "check", "nobody"), "no account is called 'nobody'")
    refused(ready("account", "check", "--all"), "there is no account")
    refused(ready("account", "check"), "name one account, or say --all")

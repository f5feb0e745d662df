"""Ozon's advertising: keys that are exchanged for a token, and accounts that have none of them or bad ones."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from sandbox.credentials import PERFORMANCE, Issuer
from sandbox.ozon_adverts import TOKEN_LIVES
from tests.oracle import assert_whole
from tests.stage import Account, Stage, hasty, run_all
from worker.cli.opening import as_admin
from worker.db.administration import resume_account
from worker.jobs import collect_slice
from worker.resources import Resources

STREAMS = ("perf_campaigns", "perf_daily", "perf_expense")  # that have something to ask for at any hour
TOKENS = "ozon/perf_token"


@pytest.fixture
async def account(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


async def collect(resources: Resources, account: Account) -> None:
    """Run every stream of advertising, all at the same time."""
    await asyncio.gather(
        *(collect_slice(hasty(resources), account.key(stream), stopping=lambda: False) for stream in STREAMS)
    )


async def outcomes(stage: Stage) -> set[str]:
    return {row["outcome"] for row in await stage.rows("SELECT DISTINCT outcome FROM collect.run")}


async def states(stage: Stage) -> dict[str, Any]:
    sql = "SELECT DISTINCT state, last_error FROM collect.stream_state WHERE stream = ANY ($1)"
    (row,) = await stage.rows(sql, STREAMS)
    return dict(row)


def change_secret(stage: Stage, **fields: str | None) -> None:
    """Set fields of the account's secret, or take them out."""
    file = stage.secrets / "ozon-1"
    secret = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({name: value for name, value in secret.items() if value is not None}))


async def test_one_token_serves_all_runs_and_is_renewed_when_it_is_refused(stage: Stage, account: Account) -> None:
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_campaigns"), stopping=lambda: False)
        assert stage.box.requests()[TOKENS] == 1
        stage.box.clock.advance(TOKEN_LIVES + timedelta(seconds=1))
        await stage.make_due()
        await collect(resources, account)
    assert stage.box.requests()[TOKENS] == 2, "each of them was refused, and one exchange was enough"
    assert 1 <= stage.box.refused()["ozon"] <= len(STREAMS)
    assert await outcomes(stage) == {"done"}
    await assert_whole(stage, account, STREAMS)


async def test_an_account_without_advertising_keys_lacks_those_streams_and_nothing_else(
    stage: Stage, account: Account
) -> None:
    change_secret(stage, perf_client_id=None, perf_client_secret=None)
    async with stage.resources() as resources:
        await collect(resources, account)
        await run_all(resources, account, "seller_info")
        told = "add perf_client_id and perf_client_secret to the account's secret, then `collector account resume`"
        assert await states(stage) == {"state": "unavailable", "last_error": told}
        assert await stage.value("SELECT status FROM core.marketplace_account") == "active"
        assert await outcomes(stage) == {"unavailable", "done"}
        assert TOKENS not in stage.box.requests()

        (stage.secrets / "ozon-1").write_text(stage.box.credentials("ozon", account.seller))
        async with as_admin(stage.settings) as session:
            await resume_account(session, account.id)
        await collect(resources, account)
    assert await states(stage) == {"state": "active", "last_error": None}
    await assert_whole(stage, account, [*STREAMS, "seller_info"])


async def test_refused_advertising_keys_are_shown_once_and_the_account_goes_on(stage: Stage, account: Account) -> None:
    stage.box.revoke(PERFORMANCE, account.seller)
    async with stage.resources() as resources:
        await collect(resources, account)
        await run_all(resources, account, "seller_info")
        assert stage.box.requests()[TOKENS] == 1
        seen = await states(stage)
        assert seen["state"] == "unavailable"
        assert seen["last_error"].startswith("perf_client_id and perf_client_secret: the key is refused")
        assert await stage.value("SELECT status FROM core.marketplace_account") == "active"
        assert await outcomes(stage) == {"unavailable", "done"}

        (stage.secrets / "ozon-1").write_text(stage.box.credentials("ozon", account.seller))
        async with as_admin(stage.settings) as session:
            await resume_account(session, account.id)
        await collect(resources, account)
    assert await states(stage) == {"state": "active", "last_error": None}


async def test_keys_that_are_rotated_in_their_file_while_a_run_goes_on_cost_no_run(
    stage: Stage, account: Account
) -> None:
    rotated = False

    def rotate() -> bool:
        nonlocal rotated
        if not rotated:
            stage.box.revoke(PERFORMANCE, account.seller)  # takes the token along
            (stage.secrets / "ozon-1").write_text(stage.box.credentials("ozon", account.seller))
            rotated = True
        return False

    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_campaigns"), stopping=rotate)
    assert rotated
    assert stage.box.requests()[TOKENS] == 3, "the old keys were shown once more, and then the file was read again"
    assert await outcomes(stage) == {"done"}
    await assert_whole(stage, account, ["perf_campaigns"])


async def test_a_token_that_is_refused_although_it_is_fresh_means_that_the_keys_are(
    stage: Stage, account: Account
) -> None:
    stage.box.fail("ozon", "perf_daily", 401, count=9, body='{"error": "no"}')
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_daily"), stopping=lambda: False)
    assert stage.box.requests()[TOKENS] == stage.box.requests()["ozon/perf_daily"] == 2
    assert await outcomes(stage) == {"unavailable"}


async def test_a_token_that_cannot_be_renewed_for_now_says_nothing_of_the_keys(stage: Stage, account: Account) -> None:
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_campaigns"), stopping=lambda: False)
        stage.box.clock.advance(TOKEN_LIVES + timedelta(seconds=1))
        stage.box.fail("ozon", "perf_token", 500, count=3)
        for _ in range(2):
            await collect_slice(hasty(resources), account.key("perf_daily"), stopping=lambda: False)
            await stage.pass_waits()
    assert [row["outcome"] for row in await stage.rows("SELECT outcome FROM collect.run ORDER BY started_at")] == [
        "done",
        "failed",
        "done",
    ]


@pytest.mark.parametrize("status", [400, 200, 500])
async def test_no_key_and_no_token_is_written_down_wherever_the_api_repeats_it(
    stage: Stage, account: Account, redis_url: str, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    keys = json.loads(stage.box.credentials("ozon", account.seller))
    id_, secret = keys["perf_client_id"], keys["perf_client_secret"]
    token = Issuer(seed=1).ozon_token(id_, secret, stage.box.clock.now() + TOKEN_LIVES)
    repeated = json.dumps({"error": f"odd: {secret} {token}", "rows": f"{secret} {token}", "token": token})
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("perf_campaigns"), stopping=lambda: False)
        for step in ("perf_token", "perf_daily", "perf_expense"):
            stage.box.fail("ozon", step, status, count=9, body=repeated)
        await collect_slice(hasty(resources), account.key("perf_daily"), stopping=lambda: False)
    async with stage.resources() as resources:  # a worker that has no token yet
        await collect_slice(hasty(resources), account.key("perf_expense"), stopping=lambda: False)
    written = await everything_written(stage, redis_url) + "".join(capfd.readouterr())
    assert "perf_daily" in written
    assert ("odd: ***" in written) == (status != 200), "what the API said is told, without them"
    for hidden in (secret, token):
        assert hidden not in written
        assert hidden.encode().hex() not in written, "not as bytes, either"


async def everything_written(stage: Stage, redis_url: str) -> str:
    """Return all rows of all tables, and all that Valkey holds."""
    tables = await stage.rows(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace::regnamespace::text IN ('core', 'collect', 'raw')"
        " AND has_table_privilege(oid, 'SELECT')"
    )
    names = [table["name"] for table in tables]
    assert {"raw.payload", "collect.quarantine", "collect.run", "collect.stream_state"} <= set(names)
    found = [str(row[0]) for name in names for row in await stage.rows(f"SELECT t::text FROM {name} t")]
    async with Redis.from_url(redis_url) as redis:
        found += [f"{key} {await redis.dump(key)}" for key in await redis.keys()]
    return "\n".join(found)

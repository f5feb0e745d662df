"""A key that the marketplace refuses: at most three calls over all workers, then a person is told what to do."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.oracle import assert_honest, assert_whole
from tests.stage import FEW, Account, Stage, hasty, reports, run_all
from worker.db.progress import SliceKey
from worker.jobs import collect_slice
from worker.resources import Resources

MARKETPLACES = ("wildberries", "ozon", "yandex_market")
MOST_CALLS = 3


def streams_of(marketplace: str) -> list[str]:
    # A report ends each of its runs by waiting for the next, which says nothing of keys.
    return [stream for stream in FEW[marketplace] if stream not in reports(marketplace)]


async def collect_everything(resources: Resources, account: Account) -> None:
    for stream in streams_of(account.marketplace):
        await run_all(resources, account, stream)


async def slices_of(stage: Stage, account: Account) -> list[SliceKey]:
    rows = await stage.rows(
        "SELECT stream, slice FROM collect.stream_state"
        " WHERE marketplace_account_id = $1 AND lane = 'live' AND state = 'active' ORDER BY stream, slice",
        account.id,
    )
    return [account.key(row["stream"], row["slice"]) for row in rows]


async def run_at_once(stage: Stage, account: Account, *workers: Resources) -> None:
    """Run every slice of the account from every worker, all at the same time."""
    keys = await slices_of(stage, account)
    assert len(keys) >= len(streams_of(account.marketplace))
    await asyncio.gather(*(collect_slice(worker, key, stopping=lambda: False) for key in keys for worker in workers))


async def collector(stage: Stage, *words: str) -> str:
    """Run a command and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.cli", *words, env=stage.environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def listed(stage: Stage, account: Account) -> dict[str, Any]:
    """Return the account as `collector account list` shows it."""
    (row,) = [
        row for row in json.loads(await collector(stage, "account", "list", "--json")) if row["id"] == str(account.id)
    ]
    assert isinstance(row, dict)
    return row


def give_a_new_key(stage: Stage, account: Account, *, number: int = 1) -> None:
    """Put the key that is good now into the account's file."""
    file = stage.secrets / f"{account.marketplace}-{number}"
    file.write_text(stage.box.credentials(account.marketplace, account.seller))


@pytest.mark.parametrize("marketplace", MARKETPLACES)
async def test_a_revoked_key_costs_three_calls_and_then_the_account_waits_for_a_person(
    stage: Stage, marketplace: str
) -> None:
    organization = await stage.add_organization("Sunrise")
    account = await stage.add_account(organization, marketplace)
    neighbour = await stage.add_account(organization, marketplace, number=2)
    await stage.collect_few()
    async with stage.resources() as one, stage.resources() as other:
        await collect_everything(one, account)
        await stage.make_due()
        stage.box.revoke(marketplace, account.seller)

        await run_at_once(stage, account, hasty(one), hasty(other))
        assert 1 <= stage.box.refused()[marketplace] <= MOST_CALLS

        shown = await listed(stage, account)
        assert shown["status"] == "paused"
        assert "the key is refused: give the account a new one" in shown["status_reason"]
        assert "collector account resume" in shown["status_reason"]
        await collect_everything(one, neighbour)
        await assert_whole(stage, neighbour, streams_of(marketplace))

        calls = stage.box.refused()[marketplace]
        await stage.make_due()
        await run_at_once(stage, account, one, other)
        assert stage.box.refused()[marketplace] == calls, "a paused account is not asked for"

        give_a_new_key(stage, account)
        assert "is collected again" in await collector(stage, "account", "resume", str(account.id))
        await stage.make_due()
        await collect_everything(other, account)
        assert stage.box.refused()[marketplace] == calls
    assert (await listed(stage, account))["status_reason"] is None
    await assert_whole(stage, account, streams_of(marketplace))
    await assert_honest(stage)


@pytest.mark.parametrize("marketplace", MARKETPLACES)
async def test_a_key_that_is_rotated_in_its_file_while_a_run_goes_on_pauses_nothing(
    stage: Stage, marketplace: str
) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), marketplace)
    rotated = False

    def rotate() -> bool:
        nonlocal rotated
        if not rotated:
            stage.box.revoke(marketplace, account.seller)
            give_a_new_key(stage, account)
            rotated = True
        return False

    stream = {"wildberries": "prices", "ozon": "fbs_postings", "yandex_market": "prices"}[marketplace]
    async with stage.resources() as resources:
        await run_all(hasty(resources), account, stream, stopping=rotate)
    assert rotated
    assert stage.box.refused() == {marketplace: 1}, "the old key was shown once, and then the file was read again"
    assert await stage.value("SELECT status FROM core.marketplace_account") == "active"
    assert await stage.value("SELECT array_agg(DISTINCT outcome) FROM collect.run") == ["done"]
    await assert_whole(stage, account, [stream])


async def test_a_key_that_is_not_rotated_is_read_again_once_and_no_more(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    stage.box.revoke("ozon", account.seller)
    async with stage.resources() as resources:
        await collect_slice(hasty(resources), account.key("products", "ALL"), stopping=lambda: False)
    assert stage.box.refused()["ozon"] <= 2
    assert await stage.value("SELECT outcome FROM collect.run") == "account refused"
    assert await stage.value("SELECT status FROM core.marketplace_account") == "paused"

"""Pausing, resuming and choosing, as an operator types it."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.commands import Collector, refused
from tests.acceptance.test_cli import add_account
from tests.acceptance.test_standing import change
from tests.servers import Database


@pytest.fixture
def shop(ready: Collector) -> str:
    """An Ozon account called shop, of Sunrise."""
    ready("org", "add", "Sunrise")
    return add_account(ready)


def streams(ready: Collector, *words: str) -> dict[str, dict[str, object]]:
    return {row["stream"]: row for row in ready("stream", "list", *words, "--json").json}


def test_an_account_collects_the_streams_that_were_chosen_until_it_is_to_have_all(ready: Collector, shop: str) -> None:
    assert ready("account", "set", "shop", "--streams", "prices,ozon/returns").out == "shop: prices, returns\n"
    assert set(streams(ready, "--account", shop)) == {"prices", "returns"}
    assert ready("account", "list", "--json").json[0]["streams"] == ["prices", "returns"]
    refused(ready("enqueue", "--account", shop, "--stream", "products"), "is not to have the stream products")
    ready("account", "set", shop, "--all-streams")
    assert len(streams(ready, "--account", shop)) > 20


def test_what_is_chosen_brings_along_all_that_brings_its_slices_and_ids(ready: Collector, shop: str) -> None:
    told = ready("account", "set", "shop", "--streams", "stocks_fbo,stocks_fbs_wh").out
    assert told == "shop: products, product_info, stocks_fbo, warehouses, stocks_fbs_wh\n"
    assert set(streams(ready, "--account", shop)) >= {"products", "product_info", "stocks_fbo", "warehouses"}


def test_a_name_that_is_none_is_answered_with_the_nearest(ready: Collector, shop: str) -> None:
    refused(ready("account", "set", "shop", "--streams", "prises"), "ozon has no stream 'prises': did you mean prices")
    refused(ready("stream", "set", shop, "retuns", "--every", "2h"), "did you mean returns")
    refused(ready("account", "set", "shopp", "--all-streams"), "no account is called 'shopp'")
    refused(
        ready("stream", "set", "shop", "prices", "--every", "soon"), "--every is no length of time", "30min, 2h or 1d"
    )
    refused(ready("stream", "set", "shop", "prices", "--every", "40d"), "from one minute to 31 days")
    refused(ready("account", "set", "shop"), "either --streams NAME,… or --all-streams")


def test_a_stream_is_collected_as_often_as_was_said(ready: Collector, shop: str) -> None:
    usual = streams(ready, "--account", "shop")["prices"]["every"]
    assert ready("stream", "set", "shop", "prices", "--every", "90min").out == "shop: prices every 90 min\n"
    assert streams(ready, "--account", shop)["prices"]["overridden"] is True
    assert streams(ready, "--account", shop)["prices"]["every"] != usual
    ready("stream", "set", "shop", "prices", "--default")
    row = streams(ready, "--account", shop)["prices"]
    assert (row["overridden"], row["every"]) == (False, usual)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--org", "Sunrise"), "'shop' is paused: stocktaking"),
        (("--account", "shop"), "'shop' is paused: stocktaking"),
        (("--account", "shop", "--stream", "prices"), "prices of this account is paused: stocktaking"),
        (("--marketplace", "ozon"), "ozon/prices is paused for every account: stocktaking"),
        (("--marketplace", "ozon", "--stream", "prices"), "ozon/prices is paused for every account: stocktaking"),
    ],
)
def test_what_is_paused_says_why_until_it_is_resumed(
    ready: Collector, shop: str, words: tuple[str, ...], told: str
) -> None:
    said = ready("pause", *words, "--reason", "stocktaking", "--until", "2h")
    assert " is paused until 20" in said.out
    shown = ready("org", "list").out + ready("account", "list").out + ready("stream", "list", "--dead").out
    assert "stocktaking" in shown
    refused(ready("enqueue", "--account", shop, "--stream", "prices"), told)
    assert ready("resume", *words).out.endswith("is collected again.\n")
    assert ready("enqueue", "--account", shop, "--stream", "prices").code == 0


def test_what_is_out_of_use_is_listed_with_the_command_that_mends_it(ready: Collector, shop: str) -> None:
    ready("pause", "--marketplace", "wildberries", "--stream", "orders", "--reason", "their API lies")
    ready("pause", "--account", shop, "--stream", "returns", "--reason", "not ours")
    for_all, ours = ready("stream", "list", "--dead", "--json").json
    for row in (for_all, ours):
        assert row["state"] == "paused"
        assert ready(*row["mended_by"].split()[1:]).code == 0
    assert ready("stream", "list", "--dead", "--json").json == []


@pytest.mark.usefixtures("shop")
def test_what_a_pause_leaves_alone_is_told(ready: Collector, database: Database) -> None:
    words = ("pause", "--account", "shop", "--stream", "fbs_postings", "--reason", "stocktaking")
    put = "UPDATE collect.stream_state SET state = 'quarantined' WHERE stream = 'fbs_postings'"
    another = (
        "INSERT INTO collect.stream_state"
        ' (organization_id, marketplace_account_id, marketplace, stream, lane, "interval")'
        " SELECT organization_id, marketplace_account_id, marketplace, stream, 'backfill', \"interval\""
        " FROM collect.stream_state WHERE stream = 'fbs_postings'"
    )
    asyncio.run(change(database, put))
    refused(ready(*words), "all of the stream fbs_postings is out of use already (1 quarantined) and stays so")
    asyncio.run(change(database, another))
    assert ready(*words).out.endswith("would end that: 1 quarantined.\n")


def test_a_pause_that_would_mean_two_things_or_nothing_is_refused(ready: Collector, shop: str) -> None:
    why = ("--reason", "x")
    refused(ready("pause", *why), "say one of --org, --account and --marketplace")
    refused(ready("pause", "--org", "Sunrise", "--stream", "prices", *why), "--stream goes with")
    refused(ready("pause", "--account", shop, "--until", "2020-01-01", *why), "--until is in the past")
    refused(ready("pause", "--account", shop, "--reason", " "), "--reason must not be empty")
    refused(ready("resume", "--marketplace", "ozon"), "that is not paused")
    refused(ready("stream", "list"), "say --account, or --dead")

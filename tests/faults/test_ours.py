"""What goes wrong on our side: from the table, and what takes more than one run, one account or one worker."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from collectors.stream import Secret
from sandbox.faults import proxies
from sandbox.faults.answers import Reply, hang, hang_in_body
from sandbox.faults.api import Shows, hangs
from sandbox.faults.case import Answers, Case, Cost, Group, Play, Reaction, Stored, Tunnels
from sandbox.faults.catalogue import case as of_name
from sandbox.faults.nowhere import nowhere
from sandbox.faults.proxies import Instead, Refuses
from tests.faults.ground import Ground, Seller, Sent, keys
from tests.faults.observed import cost
from tests.faults.playing import (
    assert_as_told,
    assert_overcome,
    begin,
    can_help,
    cases,
    collected,
    hasten,
    play_on,
    play_once,
)
from tests.faults.scenes import CANARY
from worker.http import pools
from worker.http.health import Health
from worker.http.hosts import Hosts
from worker.http.limits import Limits
from worker.secrets import resolve


@pytest.mark.parametrize(("case", "play"), cases(Group.OURS))
async def test_it_ends_as_the_catalogue_says(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch)
    assert_as_told(case, await play_on(ground, case, play))


@pytest.mark.parametrize(("case", "play"), cases(Group.OURS, can_help))
async def test_what_is_tried_next_helps_if_it_is_over(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch, lasting=False)
    seen, cost = await play_once(ground, case, play)
    assert_overcome(case, play, seen, cost)


async def test_a_key_that_was_replaced_is_used_at_once(ground: Ground) -> None:
    case = of_name("key-replaced")
    asked: list[str] = []

    async def replaced(ref: str, names: tuple[str, ...]) -> Secret:
        asked.append(ref)
        return {**await keys(ref, names), "api_key": f"{CANARY}-{len(asked)}"}

    seller = await ground.seller(case)
    begin(ground, Answers(Reply(401, b'{"code": 16, "message": "unauthenticated"}')))
    assert_as_told(case, await collected(ground, seller, changes={"secret": replaced}))
    assert [request.headers["api-key"] for request in ground.api.seen] == [f"{CANARY}-1", f"{CANARY}-2"]


async def test_a_host_that_limits_everybody_is_left_alone(ground: Ground) -> None:
    case = of_name("limit-of-everybody")
    limit = Answers(Reply(429, b"{}", {"Retry-After": "60"}))
    *others, last = await _sellers_of_one_worker(ground, case, 3)
    for seller in others:
        begin(ground, limit)
        assert Reaction.STOP not in (await collected(ground, seller)).reactions
    begin(ground, limit)
    assert_as_told(case, await collected(ground, last))
    await _assert_left_alone(ground, case, last.known)


async def test_a_host_that_fails_for_everybody_is_left_alone(ground: Ground) -> None:
    case = of_name("host-down")
    begin(ground, Answers(Reply(503, b"{}")), lasting=True)
    *others, last = await _sellers_of_one_worker(ground, case, 4)
    for seller in others:
        assert Reaction.STOP not in (await collected(ground, seller)).reactions
    assert_as_told(case, await collected(ground, last))
    assert len(ground.api.seen) == 1, "what the host is left alone for is not repeated"
    await _assert_left_alone(ground, case, last.known)


async def _sellers_of_one_worker(ground: Ground, case: Case, number: int) -> list[Seller]:
    known = Hosts()
    sellers = [await ground.seller(case) for _ in range(number)]
    for seller in sellers:
        seller.known = known
    return sellers


async def _assert_left_alone(ground: Ground, case: Case, known: Hosts) -> None:
    """Assert that nobody's request goes to the host, although it would answer again."""
    begin(ground)
    seller = await ground.seller(case)
    seller.known = known
    seen = await collected(ground, seller)
    assert "is left alone" in seen.said
    assert seen.reactions == (Reaction.PUT_OFF,)
    assert ground.api.seen == []


async def test_a_group_is_never_emptied_and_never_by_passed(ground: Ground) -> None:
    case = of_name("proxies-out")
    begin(ground)
    async with ground.group(case) as seller:
        for player in seller.players.values():
            player.act = Refuses(403)  # each is out at once
        assert_as_told(case, await collected(ground, seller))
        for _ in range(2):
            await ground.pass_waits()
            await collected(ground, seller)
            tried = [entry.proxy for entry in ground.log if isinstance(entry, Sent)]
            assert len(set(tried)) == 2, "half of three is one"
            assert None not in tried
        assert ground.api.seen == []


async def test_the_only_proxy_of_a_group_is_used_again_as_soon_as_it_works(ground: Ground) -> None:
    case = of_name("group-of-one")
    begin(ground)
    async with ground.group(case, size=1) as seller:
        (player,) = seller.players.values()
        player.act = Refuses(407)
        for _ in range(3):
            assert_as_told(case, await collected(ground, seller))
            await ground.pass_waits()
        player.act = proxies.works
        seen = await collected(ground, seller)
        assert seen.reactions == ()
        assert seen.stored is Stored.PAGE


async def test_a_group_without_a_proxy_puts_off(ground: Ground) -> None:
    case = of_name("group-empty")
    begin(ground)
    seen = await collected(ground, await ground.seller(case, group="nobody"))
    assert_as_told(case, seen)
    assert "add one, or take the account out of the group" in seen.said
    assert ground.api.seen == []


@pytest.mark.parametrize(
    "play",
    [
        Answers(Reply(403, b"<html>", {"Content-Type": "text/html"})),
        Tunnels(Instead(Shows("of an unknown authority"))),
    ],
    ids=["a firewall's page", "a certificate"],
)
async def test_what_all_proxies_meet_is_held_against_none(ground: Ground, play: Play) -> None:
    case = of_name("certificate-in-every-tunnel")
    async with ground.group(case, play) as seller:
        begin(ground, play, seller, lasting=True)
        seen = await collected(ground, seller)
        assert seen.reactions[:3] == (Reaction.OTHER, Reaction.OTHER, Reaction.PUT_OFF)
        for proxy in seller.players:
            assert await cost(ground, seller, proxy) is Cost.NOTHING


async def test_no_free_connection_is_nobodys_but_ours(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    case = of_name("no-free-connection")
    monkeypatch.setattr(pools, "_CONNECTIONS", 0)
    monkeypatch.setattr(pools, "_TIMEOUT", httpx.Timeout(5.0, pool=0.01))
    begin(ground)
    async with ground.group(case) as seller:
        seen = await collected(ground, seller)
        assert_as_told(case, seen)
        assert "no connection was free" in seen.said
        assert await cost(ground, seller, seller.own) is Cost.NOTHING


@pytest.mark.parametrize("has_proxies", [True, False])
async def test_without_valkey_nothing_is_fetched(ground: Ground, has_proxies: bool) -> None:
    case = of_name("valkey-down")
    begin(ground)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with ground.group(case) as grouped, Redis(port=unused.getsockname()[1]) as redis:
            seller = grouped if has_proxies else await ground.seller(case)
            seen = await collected(ground, seller, fetching={"limits": Limits(redis), "health": Health(redis)})
    assert_as_told(case, seen)
    assert "cannot be reached" in seen.said
    assert ground.api.seen == []


@pytest.mark.parametrize("has_proxies", [True, False])
async def test_proxy_variables_of_the_environment_are_ignored(
    ground: Ground, has_proxies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = of_name("proxy-variables")
    begin(ground)
    with nowhere("refuses") as nobody:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{nobody}")
        async with ground.group(case) as grouped:
            seller = grouped if has_proxies else await ground.seller(case)
            assert_as_told(case, await collected(ground, seller))


@pytest.mark.parametrize(
    "play",
    [
        Answers(hang),
        Answers(hang_in_body),
        Tunnels(proxies.hangs),
        Tunnels(Instead(hangs)),
        Tunnels(proxies.hangs_at_once, "socks5"),
    ],
    ids=["before the answer", "in the answer", "in CONNECT", "in TLS", "in SOCKS5"],
)
async def test_a_cancelled_request_leaves_nothing_behind(ground: Ground, play: Answers | Tunnels) -> None:
    case = of_name("cancelled")
    async with ground.group(case, play) as seller:
        reached = asyncio.Event()
        begin(ground, _noting(play, reached), seller)
        task = asyncio.create_task(collected(ground, seller))
        await reached.wait()
        await asyncio.sleep(0.02)  # what was sent is on its way
        ground.is_stopping = True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ground.is_stopping = False
        run = await ground.row("SELECT outcome FROM collect.run WHERE marketplace_account_id = $1", seller)
        assert run["outcome"] == "stopped"
        begin(ground)
        seller.players[seller.own].act = proxies.works
        seen = await collected(ground, seller)
        assert seen.reactions == case.reactions
        assert seen.stored is Stored.PAGE
        assert await cost(ground, seller, seller.own) is Cost.NOTHING


def _noting(play: Answers | Tunnels, reached: asyncio.Event) -> Play:
    """Return a play that tells when it begins."""
    act = play.acts[0] if isinstance(play, Answers) else play.act

    async def noted(player: Any) -> None:
        reached.set()
        await act(player)

    return Answers(noted) if isinstance(play, Answers) else replace(play, act=noted)


@pytest.mark.parametrize("secret", [{"client_id": "1234"}, {"client_id": "1234", "api_key": f"{CANARY}\r\nX: 1"}])
async def test_a_secret_that_cannot_sign_pauses_the_account(ground: Ground, secret: Secret) -> None:
    case = of_name("secret-incomplete")

    async def poor(_: str, __: tuple[str, ...]) -> Secret:
        return secret

    begin(ground)
    assert_as_told(case, await collected(ground, await ground.seller(case), changes={"secret": poor}))
    assert ground.api.seen == []


async def test_a_secret_that_is_not_there_puts_off(ground: Ground) -> None:
    case = of_name("secret-unavailable")
    begin(ground)
    seen = await collected(ground, await ground.seller(case), changes={"secret": resolve})
    assert_as_told(case, seen)
    assert "put the secret there or correct secret_ref" in seen.said
    assert ground.api.seen == []

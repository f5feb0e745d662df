"""Minutes of bad luck in a few seconds: afterwards every proxy works, and nothing is left open."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.errors import CollectError, OtherProxy
from collectors.stream import Answer, Request
from sandbox.faults import proxies
from sandbox.faults.answers import Act, Reply, hang, hang_in_body, reset_in_body
from sandbox.faults.api import Shows, closes, hangs, speaks_no_tls
from sandbox.faults.case import Scene
from sandbox.faults.proxies import CutsAfter, FaultProxy, Instead, Refuses, TunnelAct
from tests.faults.ground import Ground
from tests.faults.scenes import HOSTS, SECRETS
from worker.http import phases
from worker.http.fetch import AccountFetch
from worker.http.hosts import Hosts
from worker.http.pools import Pools
from worker.http.proxies import Proxy

SECONDS = 4.0  # of bad luck
DEADLINE = 0.3  # for a tunnel
SLACK = 0.3  # for a machine that is busy
_AT_A_TIME = 10  # for each proxy: more than it has connections, so that some are cancelled while they wait for one
_KINDS: tuple[proxies.Kind, ...] = ("http", "https", "socks5")
_TUNNELS: tuple[TunnelAct, ...] = (
    proxies.works,
    proxies.hangs,
    proxies.closes,
    Refuses(5),
    Instead(hangs),
    Instead(closes),
    Instead(speaks_no_tls),
    Instead(Shows("of an unknown authority")),
    CutsAfter(3000),
)
_ANSWERS: tuple[Act, ...] = (Reply(), Reply(), hang, hang_in_body, reset_in_body)
_numbers = itertools.count(1)


class Client:
    """Sends requests of ever new accounts through one proxy, over the pools of all."""

    def __init__(self, ground: Ground, pools: Pools, player: FaultProxy) -> None:
        self.player = player
        self._proxy = Proxy(name=f"{player.kind} {player.port}", group="leak", url=player.url, most_accounts=1_000_000)
        self._fetcher = replace(
            ground.resources.fetcher,
            pools=pools,
            hosts=dict.fromkeys(HOSTS.values(), ground.api.url),
            sleep=ground.sleep,
        )
        self._stream = ground.resources.streams["ozon"][Scene.LIST.name.lower()]

    async def get(self) -> Answer:
        """Fetch one page, as a worker that has seen nothing yet."""
        number = next(_numbers)
        fetch = AccountFetch(
            fetcher=replace(self._fetcher, known=Hosts()),
            stream=self._stream,
            seller=f"leak {number}",
            account_id=f"leak {number}",
            secret=SECRETS["ozon"],
            resolve=_same_secret,
            proxy_group="leak",
            proxies=[self._proxy],
        )
        try:
            return await fetch(Request(method="GET", host=HOSTS["ozon"], path="/rows", buckets=()))
        finally:
            fetch.release()


async def _same_secret() -> dict[str, str]:
    return SECRETS["ozon"]


@pytest.fixture
async def pools(ground: Ground) -> AsyncIterator[Pools]:
    pools = Pools(ground.context)
    yield pools
    await pools.aclose()


@pytest.fixture
async def clients(ground: Ground, pools: Pools, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Client]]:
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", DEADLINE)
    monkeypatch.setattr(phases, "TOTAL_DEADLINE", 2 * DEADLINE)
    ground.api.behave()
    async with AsyncExitStack() as stack:
        players = [await stack.enter_async_context(FaultProxy(ground.certificates, kind).serving()) for kind in _KINDS]
        yield [Client(ground, pools, player) for player in players]


async def test_after_bad_luck_every_proxy_works_and_nothing_is_left_open(
    ground: Ground, pools: Pools, clients: list[Client]
) -> None:
    await _all_work(clients)
    open_before = await _descriptors_at_rest(ground, pools)
    ends = await _bad_luck(ground, clients)
    assert not {type(end) for end in ends if not isinstance(end, Answer | CollectError | asyncio.CancelledError)}
    assert len([end for end in ends if isinstance(end, asyncio.CancelledError)]) > 100
    assert len([end for end in ends if isinstance(end, OtherProxy)]) > 50
    await _all_work(clients)
    assert await _descriptors_at_rest(ground, pools) <= open_before


@pytest.mark.parametrize("act", [proxies.hangs, proxies.hangs_at_once, Instead(hangs)])
async def test_a_hung_proxy_holds_no_request_longer_than_the_deadline_of_a_tunnel(
    clients: list[Client], act: TunnelAct
) -> None:
    for client in clients:
        client.player.act = act
    held = await asyncio.gather(*(_seconds_until_other_proxy(client) for client in clients for _ in range(4)))
    assert max(held) < DEADLINE + SLACK


async def _seconds_until_other_proxy(client: Client) -> float:
    began = time.monotonic()
    with pytest.raises(OtherProxy):
        await client.get()
    return time.monotonic() - began


async def _bad_luck(ground: Ground, clients: list[Client]) -> list[object]:
    """Send and cancel for a while, whatever comes of it; then let all be well again."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    until = time.monotonic() + SECONDS
    ends: list[object] = []
    while time.monotonic() < until:
        for client in clients:
            client.player.act = chance.choice(_TUNNELS)
        ground.api.play(chance.choice(_ANSWERS), lasting=True)
        tasks = [asyncio.create_task(client.get()) for client in clients for _ in range(_AT_A_TIME)]
        await asyncio.sleep(chance.uniform(0, 0.1))
        for task in chance.sample(tasks, len(tasks) // 2):
            task.cancel()
        ends += await asyncio.gather(*tasks, return_exceptions=True)
    ground.api.behave()
    for client in clients:
        client.player.act = proxies.works
    return ends


async def _all_work(clients: list[Client]) -> None:
    """Assert that 20 of 20 requests work on every proxy."""
    for client in clients:
        answers = await asyncio.gather(*(client.get() for _ in range(20)))
        assert [answer.status for answer in answers] == [200] * 20


async def _descriptors_at_rest(ground: Ground, pools: Pools) -> int:
    """Return how many descriptors are open when no connection is kept."""
    await pools.aclose()
    await ground.resources.redis.connection_pool.disconnect()
    counts = []
    for _ in range(20):  # the players close theirs in their own time
        await asyncio.sleep(0.02)
        counts.append(_descriptors())
    return min(counts)


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())

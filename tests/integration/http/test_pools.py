"""Proxies: reached with their password, never by-passed, and usable after anything that went wrong."""

import asyncio
import random
import ssl
import time
import tracemalloc
from dataclasses import replace

import pytest
from aiohttp import web

from collectors.errors import CollectError, Later, OtherProxy, PutOff
from tests.integration.http.conftest import Run, StartTunnel
from tests.integration.http.peers import CANARY, Api, Reply, Tunnel, asked
from worker.http import phases
from worker.http.fetch import Fetcher
from worker.http.health import Health
from worker.http.pools import Pools
from worker.http.proxies import Proxy, ranked

WORDS = ("ann", CANARY)


def proxy(
    tunnel: Tunnel, name: str = "p1", *, scheme: str = "http", credentials: tuple[str, str] | None = None
) -> Proxy:
    return Proxy(name=name, group="g", url=f"{scheme}://localhost:{tunnel.port}", credentials=credentials)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_api_is_reached_through_a_proxy_with_a_password(
    api: Api, run: Run, tunnels: StartTunnel, server_context: ssl.SSLContext, scheme: str
) -> None:
    tunnel = await tunnels(WORDS, server_context if scheme == "https" else None)
    fetch = run(proxy(tunnel, scheme=scheme, credentials=WORDS))
    answers = [await fetch(asked()) for _ in range(3)]
    assert {answer.proxy for answer in answers} == fetch.used == {"p1"}
    assert tunnel.connects == 1, "the connection is kept"
    assert "proxy-authorization" not in api.seen[0].headers


async def test_a_wrong_password_is_the_proxys_fault_and_is_not_told(api: Api, run: Run, tunnels: StartTunnel) -> None:
    tunnel = await tunnels(WORDS)
    with pytest.raises(OtherProxy, match="ProxyError 407: proxy p1 brought no connection") as caught:
        await run(proxy(tunnel, credentials=("ann", "wrong-password")))(asked())
    assert "wrong-password" not in str(caught.value)
    assert api.seen == []


async def test_another_proxy_of_the_group_takes_over_at_once(
    api: Api, run: Run, tunnels: StartTunnel, health: Health
) -> None:
    good, bad = await tunnels(), await tunnels()
    bad.fault = "not TLS"
    group = [proxy(good, "good"), proxy(bad, "bad")]
    account = next(str(n) for n in range(100) if ranked(group, str(n))[0].name == "bad")
    fetch = run(*group, account=account)
    for _ in range(3):
        assert (await fetch(asked())).proxy == "good"
    assert bad.connects == 3, "it is the account's own until it is out"
    assert (await health.standing(group))["bad"].out_until is not None
    assert (await fetch(asked())).proxy == "good"
    assert bad.connects == 3
    assert fetch.used == {"good", "bad"}
    assert len(api.seen) == 4


async def test_what_makes_something_goes_through_another_proxy_if_it_was_not_sent(
    api: Api, run: Run, tunnels: StartTunnel
) -> None:
    good, bad = await tunnels(), await tunnels()
    bad.fault = "not TLS"
    group = [proxy(good, "good"), proxy(bad, "bad")]
    account = next(str(n) for n in range(100) if ranked(group, str(n))[0].name == "bad")
    assert (await run(*group, account=account)(asked(repeatable=False))).proxy == "good"
    assert len(api.seen) == 1


async def test_a_page_for_people_is_the_proxys_fault_only_if_another_proxy_brings_data(
    api: Api, run: Run, tunnels: StartTunnel, health: Health
) -> None:
    group = [proxy(await tunnels(), name) for name in ("a", "b")]
    own = ranked(group, "1")[0]
    fetch = run(*group)
    for _ in range(3):
        api.replies.extend([Reply(body=b"<html>"), Reply(body=b"<html>")])
        with pytest.raises(OtherProxy):
            await fetch(asked())
    assert (await health.standing(group))[own.name].banned == {}
    api.replies.append(Reply(body=b"<html>"))
    assert (await fetch(asked())).proxy != own.name
    assert list((await health.standing(group))[own.name].banned) == ["vendor"]
    asked_before = len(api.seen)
    await fetch(asked())
    assert len(api.seen) == asked_before + 1, "the other one at once"


async def test_an_account_with_a_group_never_goes_out_directly(api: Api, run: Run, tunnels: StartTunnel) -> None:
    other = proxy(await tunnels())
    for proxies in ((), (other,)):
        with pytest.raises(PutOff, match="proxy group 'mine' has no proxy"):
            await run(*proxies, group="mine")(asked())
    dead = await tunnels()
    dead.fault = "not TLS"
    with pytest.raises(OtherProxy):
        await run(proxy(dead))(asked())
    assert api.seen == []


async def test_a_proxy_that_hangs_is_left_at_the_deadline(
    run: Run, tunnels: StartTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 0.1)
    tunnel = await tunnels()
    tunnel.fault = "silent"
    fetch = run(proxy(tunnel))
    with pytest.raises(OtherProxy, match="TimeoutError: proxy p1 brought no connection"):
        await fetch(asked())
    tunnel.fault = ""
    assert (await fetch(asked())).status == 200


async def test_an_api_that_drips_is_left_at_the_deadline(
    api: Api, run: Run, tunnels: StartTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "TOTAL_DEADLINE", 0.3)

    async def drip(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    api.answering = drip
    with pytest.raises(Later, match="TimeoutError: not finished within 0 s through proxy p1"):
        await run(proxy(await tunnels()))(asked(repeatable=False))


async def test_the_pool_works_after_twenty_failed_handshakes(api: Api, run: Run, tunnels: StartTunnel) -> None:
    tunnel = await tunnels()
    fetch = run(proxy(tunnel))
    tunnel.fault = "not TLS"
    for _ in range(20):
        with pytest.raises(OtherProxy):
            await fetch(asked())
    tunnel.fault = ""
    answers = await asyncio.gather(*(fetch(asked()) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert len(api.seen) == 20


@pytest.mark.parametrize("through", ["a proxy", "nothing"])
async def test_the_pool_works_after_cancelled_requests(
    api: Api, run: Run, tunnels: StartTunnel, fetcher: Fetcher, through: str
) -> None:
    """A worker that is told to stop, or a job that takes too long, is cancelled anywhere."""
    chance = random.Random(3)  # noqa: S311 - the same each time

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.005)
        return web.Response(body=b"{}")

    api.answering = slow
    awake = replace(fetcher, sleep=asyncio.sleep)  # one account has three requests under way: the others wait
    fetch = run(proxy(await tunnels()), through=awake) if through == "a proxy" else run(through=awake)
    for _ in range(15):
        tasks = [asyncio.create_task(fetch(asked())) for _ in range(20)]
        await asyncio.sleep(chance.uniform(0, 0.03))
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [end for end in ends if isinstance(end, CollectError)]
    answers = await asyncio.gather(*(fetch(asked()) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20


def test_a_thousand_proxies_are_cheap(client_context: ssl.SSLContext) -> None:
    """Under 1 s and 30 MB: they share one TLS context, each of which would cost 20 ms and 0.9 MB."""
    proxies = [
        Proxy(name=f"p{number}", group="g", url=f"{scheme}://10.0.0.1:{number}", credentials=WORDS)
        for number in range(1, 1001)
        for scheme in [("http", "https", "socks5")[number % 3]]
    ]

    async def open_all() -> None:
        pools = Pools(client_context)
        for each in proxies:
            pools.transport(each)
        assert len(pools) == 1000
        taken.append(tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0)
        await pools.aclose()

    taken: list[int] = []
    began = time.process_time()
    asyncio.run(open_all())
    assert time.process_time() - began < 1
    tracemalloc.start()
    try:
        asyncio.run(open_all())
    finally:
        tracemalloc.stop()
    assert 1_000_000 < taken[1] < 30_000_000


async def test_a_client_that_nobody_asks_for_is_closed_with_its_connections(
    api: Api, run: Run, tunnels: StartTunnel, fetcher: Fetcher, client_context: ssl.SSLContext
) -> None:
    unused, used = await tunnels(), await tunnels()
    hasty = replace(fetcher, pools=Pools(client_context, idle_after=0.2))
    fetches = [run(proxy(tunnel, name), through=hasty) for tunnel, name in ((unused, "unused"), (used, "used"))]
    for fetch in fetches:
        await fetch(asked())
    for _ in range(30):
        await asyncio.sleep(0.02)
        await fetches[1](asked())
    assert (len(hasty.pools), unused.open, used.open) == (1, 0, 1)
    assert used.connects == 1
    assert (await fetches[0](asked())).status == 200
    assert unused.connects == 2
    await hasty.aclose()
    assert len(hasty.pools) == 0
    assert api.seen

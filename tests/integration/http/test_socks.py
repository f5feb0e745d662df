"""SOCKS5 proxies: as good as the others, and as bad."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from collectors.errors import OtherProxy
from tests.integration.http.conftest import Run, StartTunnel
from tests.integration.http.peers import CANARY, Api, asked
from tests.integration.http.socks import Socks
from worker.http import phases
from worker.http.pools import _CONNECTIONS
from worker.http.proxies import Proxy

WORDS = ("ann", CANARY)
StartSocks = Callable[..., Awaitable[Socks]]


@pytest.fixture
async def socks() -> AsyncIterator[StartSocks]:
    """Start SOCKS proxies that end with the test."""
    async with AsyncExitStack() as stack:

        async def start(credentials: tuple[str, str] | None = None) -> Socks:
            return await stack.enter_async_context(Socks(credentials).serve())

        yield start


def proxy(server: Socks, credentials: tuple[str, str] | None = None) -> Proxy:
    return Proxy(name="p1", group="g", url=f"socks5://127.0.0.1:{server.port}", credentials=credentials)


@pytest.mark.parametrize("fault", ["closes", "not SOCKS"])
async def test_what_is_no_socks_proxy_is_left_and_leaves_nothing(run: Run, socks: StartSocks, fault: str) -> None:
    server = await socks()
    server.fault = fault
    fetch = run(proxy(server))
    for _ in range(10):
        with pytest.raises(OtherProxy, match="ProxyError the handshake is not SOCKS5: proxy p1"):
            await fetch(asked())
    server.fault = ""
    answers = await asyncio.gather(*(fetch(asked()) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert server.open <= _CONNECTIONS


@pytest.mark.parametrize("credentials", [None, WORDS])
async def test_the_api_is_reached_by_its_name_which_the_proxy_looks_up(
    api: Api, run: Run, socks: StartSocks, credentials: tuple[str, str] | None
) -> None:
    server = await socks(credentials)
    fetch = run(proxy(server, credentials))
    answers = [await fetch(asked()) for _ in range(3)]
    assert [answer.proxy for answer in answers] == ["p1"] * 3
    assert server.names == ["localhost"], "one connection, which is kept"
    assert len(api.seen) == 3


async def test_a_wrong_password_is_the_proxys_fault_and_is_not_told(api: Api, run: Run, socks: StartSocks) -> None:
    server = await socks(WORDS)
    with pytest.raises(
        OtherProxy, match=r"ProxyError Invalid username/password: proxy p1 brought no connection"
    ) as caught:
        await run(proxy(server, ("ann", "wrong-password")))(asked())
    assert "wrong-password" not in str(caught.value)
    assert api.seen == []


async def test_what_the_proxy_refuses_is_told(run: Run, socks: StartSocks) -> None:
    server = await socks()
    server.fault = "refused"
    with pytest.raises(OtherProxy, match=r"ProxyError .*Connection refused\.: proxy p1 brought no connection"):
        await run(proxy(server))(asked())


async def test_a_handshake_that_hangs_is_cut_at_the_deadline_and_leaves_nothing(
    run: Run, socks: StartSocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There httpx has no timeout of its own."""
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 0.1)
    server = await socks()
    server.fault = "silent"
    fetch = run(proxy(server))
    for _ in range(10):
        with pytest.raises(OtherProxy, match="TimeoutError: proxy p1 brought no connection"):
            await fetch(asked())
    await asyncio.sleep(0.05)
    assert server.open == 0, "cut connections are closed"
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 15.0)
    server.fault = ""
    answers = await asyncio.gather(*(fetch(asked()) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20


async def test_no_connection_is_left_behind_by_anything_that_goes_wrong(
    run: Run, socks: StartSocks, tunnels: StartTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hung handshakes, failed TLS, refusals and cancellations, then twenty of twenty requests on every proxy."""
    server, tunnel = await socks(), await tunnels()
    url = f"http://127.0.0.1:{tunnel.port}"
    fetches = (run(proxy(server)), run(Proxy(name="p2", group="g", url=url), account="2"))
    chance = random.Random(3)  # noqa: S311 - the same each time
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 0.05)
    for fault in ("silent", "refused", "not SOCKS", "closes", "not TLS", "") * 4:
        server.fault = tunnel.fault = fault
        tasks = [asyncio.create_task(fetch(asked())) for fetch in fetches for _ in range(6)]
        await asyncio.sleep(chance.uniform(0, 0.08))
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    monkeypatch.setattr(phases, "TUNNEL_DEADLINE", 15.0)
    server.fault = tunnel.fault = ""
    for fetch in fetches:
        answers = await asyncio.gather(*(fetch(asked()) for _ in range(20)))
        assert [answer.status for answer in answers] == [200] * 20
    await asyncio.sleep(0.1)  # until the proxies have seen what was closed
    assert max(server.open, tunnel.open) <= _CONNECTIONS

"""Bad days that a review found: who waits for whom, who is blamed, and who is asked next."""

import asyncio
import os
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from collectors.errors import AccountRefused, Blame, Later, OtherProxy, PutOff, RateLimited
from collectors.stream import Bucket, Rate
from tests.integration.http.conftest import Run, Slept, StartTunnel
from tests.integration.http.peers import HOST, Api, Reply, asked
from worker.http import phases
from worker.http.body import ByteBudget
from worker.http.fetch import Fetcher
from worker.http.health import Health
from worker.http.hosts import Hosts
from worker.http.proxies import Proxy, ranked


def _in_order(ports: list[int]) -> list[Proxy]:
    """Proxies of one group at these ports, the account's first choice first."""
    names = [f"p{number}" for number in range(len(ports))]
    order = ranked([Proxy(name, "mine", "http://127.0.0.1:9") for name in names], "1")
    return [Proxy(named.name, "mine", f"http://127.0.0.1:{port}") for named, port in zip(order, ports, strict=True)]


async def test_runs_that_are_stopped_while_they_wait_for_bytes_are_cancelled_and_nothing_else(
    api: Api, run: Run, fetcher: Fetcher
) -> None:
    async def halting(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "300000"})
        await response.prepare(request)
        await response.write(b"x" * 200_000)
        await asyncio.sleep(0.1)
        await response.write(b"x" * 100_000)
        return response

    api.answering = halting
    scarce = replace(fetcher, budget=ByteBudget(400_000))

    async def hold(number: int) -> None:
        fetch = run(through=scarce, account=str(number))
        try:
            await fetch(asked())
            await asyncio.Event().wait()
        finally:
            fetch.release()

    tasks = [asyncio.create_task(hold(number)) for number in range(8)]
    async with asyncio.timeout(5):
        while not scarce.budget.is_waited_for:  # noqa: ASYNC110 - a budget tells nobody
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert scarce.budget.used == 0


async def test_waiting_for_our_own_bytes_is_nobodys_slowness(
    api: Api, run: Run, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "TOTAL_DEADLINE", 0.3)
    scarce = replace(fetcher, budget=ByteBudget(1000), known=Hosts())
    ours, theirs = scarce.budget.hold(), scarce.budget.hold()
    await ours.grow(900)
    await theirs.grow(900)  # it may overdraw, so the next has to wait
    api.replies.append(Reply(body=b"1" * 5000))
    fetching = asyncio.create_task(run(through=scarce)(asked()))
    await asyncio.sleep(0.6)
    assert not fetching.done()
    ours.release()
    theirs.release()
    assert (await fetching).status == 200
    assert len(api.seen) == 1


async def test_an_account_whose_first_three_proxies_are_refused_comes_to_the_fourth(
    api: Api, run: Run, tunnels: StartTunnel
) -> None:
    refused = [await tunnels(egress="127.0.0.2") for _ in range(3)]
    good = [await tunnels(egress="127.0.0.3") for _ in range(2)]
    proxies = _in_order([tunnel.port for tunnel in (*refused, *good)])

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        if request.transport.get_extra_info("peername")[0] == "127.0.0.2":
            return web.Response(status=403, body=b"<html>no</html>", headers={"Content-Type": "text/html"})
        return web.Response(body=b"{}", headers={"Content-Type": "application/json"})

    api.answering = answer
    fetch = run(*proxies, group="mine")
    with pytest.raises(OtherProxy):
        await fetch(asked())
    assert fetch.used == {proxy.name for proxy in proxies[:3]}
    fetch = run(*proxies, group="mine")
    assert (await fetch(asked())).status == 200
    assert fetch.used <= {proxy.name for proxy in proxies[3:]}


async def test_tls_that_breaks_after_its_handshake_is_the_ways_fault(
    run: Run, fetcher: Fetcher, server_context: ssl.SSLContext
) -> None:
    connections = 0

    async def break_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(break_it, "127.0.0.1", 0, ssl=server_context)
    broken = replace(fetcher, hosts={HOST: f"https://localhost:{server.sockets[0].getsockname()[1]}"}, known=Hosts())
    with pytest.raises(Later) as caught:
        await run(through=broken)(asked())
    assert caught.value.blame is Blame.PATH
    assert connections == 3
    server.close()


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (401, AccountRefused)])
async def test_a_refusal_whose_words_are_cut_off_is_a_refusal(
    api: Api, run: Run, status: int, error: type[Exception]
) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Length": "500", "Retry-After": "600"})
        await response.prepare(request)
        await response.write(b'{"a":')
        assert request.transport is not None
        request.transport.close()
        return response

    api.answering = cut
    with pytest.raises(error):
        await run()(asked())
    assert len(api.seen) == 1


async def test_a_page_of_a_firewall_is_not_asked_for_again_by_who_has_no_proxy(
    api: Api, run: Run, fetcher: Fetcher
) -> None:
    api.replies.extend([Reply(403, b"<html>no</html>", {"Content-Type": "text/html"})] * 20)
    known = replace(fetcher, known=Hosts())
    for _ in range(10):
        with pytest.raises(OtherProxy):
            await run(through=known)(asked())
    assert len(api.seen) == 10
    with pytest.raises(PutOff, match="left alone"):
        await run(through=known)(asked())


async def test_a_host_on_trial_is_not_shut_by_a_request_that_was_never_sent(run: Run, fetcher: Fetcher) -> None:
    now = 0.0
    known = Hosts(lambda: now, jitter=lambda: 1.0)
    slow = Bucket(name="slow", rate=Rate(timedelta(hours=1)))
    await run(buckets=(slow,))(asked())
    for _ in range(10):
        known.fault(HOST)
    now = 31.0
    recovering = replace(fetcher, known=known)
    for _ in range(3):
        with pytest.raises(RateLimited):
            await run(buckets=(slow,), through=recovering)(asked())
    assert (await run(through=recovering, account="2")(asked())).status == 200


async def test_a_host_on_trial_is_asked_through_another_proxy_when_the_first_fails(
    api: Api, run: Run, tunnels: StartTunnel, fetcher: Fetcher
) -> None:
    now = 0.0
    known = Hosts(lambda: now, jitter=lambda: 1.0)
    bad, good = await tunnels(), await tunnels()
    bad.fault = "not TLS"
    for _ in range(10):
        known.fault(HOST)
    now = 31.0
    proxies = _in_order([bad.port, good.port])
    answer = await run(*proxies, group="mine", through=replace(fetcher, known=known))(asked())
    assert answer.proxy == proxies[1].name
    assert len(api.seen) == 1


async def test_a_refusal_of_the_api_is_a_proof_that_the_proxy_works(
    api: Api, run: Run, tunnels: StartTunnel, health: Health
) -> None:
    tunnel = await tunnels()
    (proxy,) = _in_order([tunnel.port])
    for _ in range(2):
        await health.fault(proxy)
    api.replies.append(Reply(404, b"{}"))
    with pytest.raises(Exception, match="404"):
        await run(proxy)(asked())
    await health.fault(proxy)
    assert (await health.standing([proxy]))[proxy.name].out_until is None


async def test_a_long_body_is_no_sign_of_a_wrong_clock(api: Api, run: Run, fetcher: Fetcher) -> None:
    clock = [fetcher.now()]

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[")
        await asyncio.sleep(0.05)
        clock[0] += timedelta(seconds=60)
        await response.write(b"]")
        return response

    api.answering = slow
    with capture_logs() as logs:
        await run(through=replace(fetcher, now=lambda: clock[0], known=Hosts()))(asked())
    assert [entry for entry in logs if "clocks" in entry["event"]] == []


async def test_a_request_waits_two_seconds_in_place_at_the_most_however_often_it_is_told_to(
    api: Api, run: Run, slept: Slept
) -> None:
    api.replies.extend([Reply(429, headers={"Retry-After": "1.5"})] * 3)
    with pytest.raises(RateLimited):
        await run()(asked())
    assert sum(slept.seconds) <= 2.0
    assert len(api.seen) == 2

"""Trying a proxy: what it shows, and that nothing of an account goes along."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from tests.integration.http.conftest import StartTunnel
from tests.integration.http.peers import HOST, Api, Reply
from tests.integration.http.test_pools import proxy
from worker.cli.trying import Tried
from worker.http.pools import Pools
from worker.http.probe import Prober

TELLER = "ip.example"


@pytest.fixture
async def prober(api: Api, client_context: ssl.SSLContext) -> AsyncIterator[Prober]:
    pools = Pools(client_context)
    yield Prober(
        pools, egress_url=f"https://{TELLER}/plain?v=4", hosts=dict.fromkeys((TELLER, HOST, "b.vendor"), api.url)
    )
    await pools.aclose()


async def test_any_answer_of_every_host_counts_and_nothing_of_an_account_is_sent(
    api: Api, prober: Prober, tunnels: StartTunnel
) -> None:
    api.replies.extend([Reply(body=b" 203.0.113.7\n"), Reply(401), Reply(503, body=b"x" * 100_000)])
    seen = await prober.probe(proxy(await tunnels()), {"vendor": (HOST, "b.vendor")})
    assert (seen.egress, seen.problem, seen.refusals, seen.works) == ("203.0.113.7", None, {}, True)
    assert seen.seconds is not None
    assert [(request.host, request.path) for request in api.seen] == [
        (TELLER, "/plain?v=4"),
        (HOST, "/"),
        ("b.vendor", "/"),
    ]
    assert {name for request in api.seen for name in request.headers} <= {
        "host", "accept", "accept-encoding", "connection", "user-agent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        (Reply(403, body=b"<html>Access denied</html>"), True),
        (Reply(403, body=b""), True),
        (Reply(451, body=b"not from there"), True),
        (Reply(200, body=b"<!doctype html><title>Just a moment</title>"), True),
        (Reply(403, body=b'{"message": "no token"}'), False),
        (Reply(401, body=b""), False),
        (Reply(404, body=b"<html>404 page not found</html>"), False),
    ],
)
async def test_a_page_of_a_firewall_is_no_answer_of_the_marketplace(
    api: Api, prober: Prober, tunnels: StartTunnel, *, reply: Reply, refused: bool
) -> None:
    api.replies.extend([Reply(body=b"203.0.113.7"), reply])
    seen = await prober.probe(proxy(await tunnels()), {"vendor": (HOST,)})
    assert seen.egress == "203.0.113.7"
    assert (seen.works, seen.banned) == (not refused, {"vendor"} if refused else set())
    tried = Tried(name="one", group="egress", probe=seen, marketplaces=("vendor",))
    assert tried.answer_of("vendor") == ("refused" if refused else "yes")
    if refused:
        assert f"GET /: {reply.status}" in seen.refusals["vendor"]


async def test_a_certificate_that_is_not_trusted_is_no_answer(tunnels: StartTunnel) -> None:
    other = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    other.issue_cert("localhost").configure_cert(context)
    async with Api().serve(context) as forged:
        pools = Pools(ssl.create_default_context())
        prober = Prober(pools, egress_url=f"https://{TELLER}", hosts={TELLER: forged.url, HOST: forged.url})
        seen = await prober.probe(proxy(await tunnels()), {"vendor": (HOST,)})
        await pools.aclose()
    assert not seen.works
    assert seen.egress is None
    assert "certificate" in str(seen.problem)
    assert "certificate" in seen.refusals["vendor"]
    assert forged.seen == []


async def test_without_a_proxy_the_own_address_is_told(api: Api, prober: Prober) -> None:
    api.replies.append(Reply(body=b"2001:DB8::1"))
    assert (await prober.probe(None, {})).egress == "2001:db8::1"


async def test_what_is_no_address_is_not_taken_for_one(api: Api, prober: Prober) -> None:
    api.replies.append(Reply(body=b"<html>" * 1000))
    seen = await prober.probe(None, {})
    assert seen.egress is None
    assert seen.problem == "ip.example answered 200 and no address: set COLLECTOR_EGRESS_URL to one that does"

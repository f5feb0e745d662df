"""An account keeps its proxy, and a proxy that fails is out for a while."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from worker.http.proxies import Health, Proxy, choose, parse_proxy_url

ACCOUNTS = [f"account-{number}" for number in range(1000)]


def group(size: int) -> list[Proxy]:
    return [Proxy(name=f"proxy-{number}", group="g", url=f"http://10.0.0.{number}:3128") for number in range(size)]


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **passed: float) -> None:
        self.time += timedelta(**passed)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock, jitter=lambda: 1.0)


async def eject(health: Health, proxy: Proxy) -> None:
    for _ in range(3):
        await health.fault(proxy)


def test_accounts_are_spread_and_only_those_of_a_lost_proxy_move() -> None:
    proxies = group(10)
    before = {account: choose(proxies, account) for account in ACCOUNTS}
    lost = proxies.pop(3)
    moved = [account for account in ACCOUNTS if choose(proxies, account) != before[account]]
    assert {before[account] for account in moved} == {lost}
    assert all(60 < count < 140 for count in Counter(proxy.name for proxy in before.values()).values())


def test_the_order_of_the_proxies_does_not_matter() -> None:
    assert all(choose(group(5), account) == choose(group(5)[::-1], account) for account in ACCOUNTS[:50])


async def test_three_faults_in_a_row_put_a_proxy_out_and_a_success_forgives_two(health: Health) -> None:
    proxies = group(4)
    for _ in range(2):
        await health.fault(proxies[0])
    await health.ok(proxies[0])
    for _ in range(2):
        await health.fault(proxies[0])
    assert await health.usable(proxies) == proxies
    await health.fault(proxies[0])
    assert await health.usable(proxies) == proxies[1:]


async def test_a_proxy_comes_back_and_is_out_for_twice_as_long_if_it_fails_at_once(
    health: Health, clock: Clock
) -> None:
    proxies = group(4)
    await eject(health, proxies[0])
    clock.forward(seconds=31)
    assert await health.usable(proxies) == proxies
    await health.fault(proxies[0])
    clock.forward(seconds=59)
    assert await health.usable(proxies) == proxies[1:]
    clock.forward(seconds=2)
    assert await health.usable(proxies) == proxies


async def test_a_proxy_is_never_out_for_more_than_half_an_hour(health: Health, clock: Clock) -> None:
    proxies = group(4)
    await eject(health, proxies[0])
    for _ in range(100):
        clock.forward(minutes=31)
        assert await health.usable(proxies) == proxies
        await health.fault(proxies[0])


async def test_faults_while_it_is_out_do_not_prolong_it(health: Health, clock: Clock) -> None:
    proxies = group(4)
    await eject(health, proxies[0])
    await eject(health, proxies[0])
    clock.forward(seconds=31)
    assert await health.usable(proxies) == proxies


@pytest.mark.parametrize(("size", "usable"), [(1, 1), (2, 1), (5, 3)])
async def test_at_least_half_of_a_group_stays(health: Health, clock: Clock, size: int, usable: int) -> None:
    proxies = group(size)
    for proxy in proxies:
        await eject(health, proxy)
        clock.forward(seconds=1)
    assert await health.usable(proxies) == proxies[:usable], "those that come back first"


def test_a_url_is_taken_apart_and_neither_half_shows_the_password() -> None:
    url, credentials = parse_proxy_url("https://ann:p%40ss%2Fw@proxy.example.com:3128")
    proxy = Proxy(name="p", group="g", url=url, credentials=credentials)
    assert url == "https://proxy.example.com:3128"
    assert credentials == ("ann", "p@ss/w")
    assert "ann" not in repr(proxy)
    assert "p@ss" not in repr(proxy)
    assert parse_proxy_url("http://[::1]")[0] == "http://[::1]:80"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://u:canary@h:1",
        "http://u:canary@h:port",
        "http://u:can/canary@h:1",
        "http://u:can?canary@h:1",
        "http://u:can#canary@h:1",
        "http://u:canary@:1",
        "u:canary@h:1",
        "http://u:canary@h:1/path",
        "http://u:canary@[::1",
    ],
)
def test_a_url_that_cannot_be_one_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="a proxy's URL") as caught:
        parse_proxy_url(text)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None

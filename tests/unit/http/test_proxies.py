"""An account has its own proxy, and a proxy's URL is read without showing what it must not."""

from collections import Counter

import pytest

from worker.http.proxies import Proxy, parse_proxy_url, ranked

ACCOUNTS = [f"account-{number}" for number in range(1000)]


def group(size: int) -> list[Proxy]:
    return [Proxy(name=f"proxy-{number}", group="g", url=f"http://10.0.0.{number}:3128") for number in range(size)]


def own(proxies: list[Proxy], account: str) -> Proxy:
    return ranked(proxies, account)[0]


def test_accounts_are_spread_and_only_those_of_a_lost_proxy_move() -> None:
    proxies = group(10)
    before = {account: own(proxies, account) for account in ACCOUNTS}
    lost = proxies.pop(3)
    moved = [account for account in ACCOUNTS if own(proxies, account) != before[account]]
    assert {before[account] for account in moved} == {lost}
    assert all(60 < count < 140 for count in Counter(proxy.name for proxy in before.values()).values())


def test_the_order_of_the_proxies_does_not_matter() -> None:
    assert all(ranked(group(5), account) == ranked(group(5)[::-1], account) for account in ACCOUNTS[:50])


def test_a_proxy_stays_the_same_when_its_address_becomes_known() -> None:
    unknown = group(1)[0]
    known = Proxy(name=unknown.name, group="g", url=unknown.url, egress="203.0.113.7", most_accounts=5)
    assert {unknown: "its connections"}[known] == "its connections"
    assert (unknown.way_out, known.way_out) == ("proxy-0", "203.0.113.7")


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

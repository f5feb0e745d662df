"""What the answers' headers say of limits, in each vendor's form, and how nonsense in them is ignored."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ozon.api import OZON
from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Marketplace, Told
from collectors.wildberries.api import WILDBERRIES
from collectors.yandex_market.api import YANDEX_MARKET
from tests.unit.collectors.judged import answer

ALL = [pytest.param(find_marketplace(name), id=name) for name in STREAMS]
LEFT = {
    "wildberries": "x-ratelimit-remaining",
    "ozon": "ratelimit-remaining",
    "yandex_market": "x-ratelimit-resource-remaining",
}
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
UNTIL = "x-ratelimit-resource-until"
DAY = timedelta(hours=24)


def told(marketplace: Marketplace, status: int, headers: dict[str, str]) -> tuple[Told, ...]:
    return tuple(marketplace.told(answer(marketplace, status, b"{}", headers)))


@pytest.mark.parametrize("marketplace", ALL)
def test_units_that_are_left_are_told_with_every_answer(marketplace: Marketplace) -> None:
    for status in (200, 204, 400, 503):
        assert told(marketplace, status, {LEFT[marketplace.name]: "7"}) == (Told(left=7),)


@pytest.mark.parametrize("marketplace", ALL)
def test_an_answer_without_such_headers_tells_nothing(marketplace: Marketplace) -> None:
    assert told(marketplace, 200, {"date": DATE}) == ()


@pytest.mark.parametrize("nonsense", ["-1", "1e9", "NaN", "inf", "7.5", "seven", "", "1_0", "٧", "9" * 30])
@pytest.mark.parametrize("marketplace", ALL)
def test_a_number_of_units_that_is_nonsense_is_ignored(marketplace: Marketplace, nonsense: str) -> None:
    assert told(marketplace, 200, {LEFT[marketplace.name]: nonsense}) == ()


@pytest.mark.parametrize(
    ("headers", "opens"),
    [
        ({"x-ratelimit-retry": "7", "x-ratelimit-limit": "10", "x-ratelimit-reset": "70"}, timedelta(seconds=7)),
        ({"x-ratelimit-retry": "soon", "x-ratelimit-reset": "70"}, timedelta(seconds=70)),
        ({"x-ratelimit-retry": "10800"}, timedelta(hours=3)),
        ({"x-ratelimit-retry": "999999"}, DAY),
        ({"x-ratelimit-retry": "-7"}, None),
        ({"x-ratelimit-remaining": "5"}, None),  # the vendor sends it with every answer but this one
        ({}, None),
    ],
)
def test_wildberries_tells_a_refused_request_the_seconds(headers: dict[str, str], opens: timedelta | None) -> None:
    assert told(WILDBERRIES, 429, headers) == (Told(left=0, opens=opens),)


def test_ozon_tells_a_refused_request_the_seconds() -> None:
    assert told(OZON, 429, {"retry-after": "3"}) == (Told(left=0, opens=timedelta(seconds=3)),)
    assert told(OZON, 429, {}) == (Told(left=0),)


@pytest.mark.parametrize(
    ("until", "date", "opens"),
    [
        ("Fri, 20 Nov 2026 12:07:30 GMT", DATE, timedelta(minutes=7, seconds=30)),
        ("Fri, 20 Nov 2026 15:07:30 +0300", DATE, timedelta(minutes=7, seconds=30)),
        ("Mon, 23 Nov 2026 12:00:00 GMT", DATE, DAY),
        ("Fri, 20 Nov 2026 11:59:00 GMT", DATE, None),
        ("Fri, 20 Nov 2026 12:07:30 GMT", "", None),  # without the server's clock a date says nothing
        ("Fri, 99 Nov 2026 12:07:30 GMT", DATE, None),
        ("tomorrow", DATE, None),
    ],
)
@pytest.mark.parametrize("status", [200, 420])
def test_yandex_market_tells_until_when_a_quota_that_is_used_up_lasts(
    status: int, until: str, date: str, opens: timedelta | None
) -> None:
    headers = {LEFT["yandex_market"]: "0", "x-ratelimit-resource-limit": "5000", UNTIL: until, "date": date}
    assert told(YANDEX_MARKET, status, headers) == (Told(left=0, opens=opens),)


def test_a_quota_that_is_not_used_up_stays_open_whenever_it_ends() -> None:
    headers = {LEFT["yandex_market"]: "1", UNTIL: "Fri, 20 Nov 2026 12:07:30 GMT", "date": DATE}
    assert told(YANDEX_MARKET, 200, headers) == (Told(left=1),)


@given(st.text(), st.text(), st.sampled_from([200, 420, 429]))
def test_no_text_in_a_header_breaks_the_reading(one: str, other: str, status: int) -> None:
    names = (*LEFT.values(), "x-ratelimit-retry", "x-ratelimit-reset", "retry-after", UNTIL)
    for marketplace in (WILDBERRIES, OZON, YANDEX_MARKET):
        for found in told(marketplace, status, {**dict.fromkeys(names, one), "date": other}):
            assert found.bucket is None
            assert found.left is None or 0 <= found.left < 10**9
            assert found.opens is None or timedelta(0) < found.opens <= DAY

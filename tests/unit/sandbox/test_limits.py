import asyncio
import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.limits import PointQuota, Slots, TokenBucket
from sandbox.server import Play, Sandbox

VOLUMES = {"yandex_market/prices": 3000.0}


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_one_an_interval() -> None:
    time = Time()
    bucket = TokenBucket(60, 3, clock=time)
    assert [bucket.take("a").remaining for _ in range(3)] == [2, 1, 0]
    refused = bucket.take("a")
    assert (refused.given, refused.retry, refused.reset, refused.burst) == (False, 60, 180, 3)
    assert bucket.take("b").given
    time.now += 59.99
    assert not bucket.take("a").given
    time.now += 0.01
    assert bucket.take("a").given
    assert not bucket.take("a").given
    time.now += 3600
    bucket.charge("a", 4)
    assert bucket.take("a").retry == 120
    time.now += 3600
    assert [bucket.take("a").given for _ in range(4)] == [True, True, True, False]


def test_a_bucket_forgives_two_milliseconds_and_no_more() -> None:
    time = Time()
    bucket = TokenBucket(1, 1, clock=time)
    assert bucket.take("a").given
    time.now += 0.997
    assert not bucket.take("a").given
    time.now += 0.0015
    assert bucket.take("a").given


def test_a_quota_is_full_again_when_its_period_is_over() -> None:
    time = Time()
    quota = PointQuota(10, 60, clock=time)
    quota.pay("a", 12)
    assert (quota.left("a"), quota.left("b"), quota.ends_in("a")) == (0, 10, 60)
    time.now += 60
    assert quota.left("a") == 10


def test_slots_are_given_back() -> None:
    slots = Slots()
    with slots.one("a", 2) as first, slots.one("a", 2) as second, slots.one("a", 2) as third:
        assert (first, second, third) == (True, True, False)
    with slots.one("a", 1) as again:
        assert again


@pytest.fixture
def strict(tmp_path: Path, clock: Clock) -> Sandbox:
    """The vendors' own limits."""
    return Sandbox(tmp_path, clock=clock, play=Play(history_days=2, volumes=VOLUMES))


async def finance(box: Sandbox, client: AsyncClient, number: int) -> Response:
    token = box.credentials("wildberries", box.seller("wildberries", number))
    headers = {"Host": "finance-api.wildberries.ru", "Authorization": token}
    body = {"dateFrom": "2026-11-18", "dateTo": "2026-11-20", "period": "daily"}
    return await client.post("/api/finance/v1/sales-reports/detailed", json=body, headers=headers)


async def test_wildberries_tells_when_to_come_back(strict: Sandbox, connect: Callable[[Sandbox], AsyncClient]) -> None:
    async with strict as box, connect(box) as client:
        first = await finance(box, client, 1)
        assert (first.status_code, first.headers["X-Ratelimit-Remaining"]) == (200, "0")
        second = await finance(box, client, 1)
        assert second.status_code == 429
        assert second.json()["title"] == "too many requests"
        assert 58 <= int(second.headers["X-Ratelimit-Retry"]) <= 60
        assert second.headers["X-Ratelimit-Limit"] == "1"
        assert 58 <= int(second.headers["X-Ratelimit-Reset"]) <= 60
        assert "X-Ratelimit-Remaining" not in second.headers
        assert (await finance(box, client, 2)).status_code == 200
        assert [(violation.stream, violation.seller) for violation in box.violations()] == [
            ("fin_detail", box.seller("wildberries", 1))
        ]


async def test_rate_scale_makes_time_pass_faster_for_limits(
    tmp_path: Path, clock: Clock, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    async with Sandbox(tmp_path, clock=clock, rate_scale=60_000) as box, connect(box) as client:
        for _ in range(5):
            assert (await finance(box, client, 1)).status_code == 200


async def test_ozon_allows_fifty_requests_at_once_over_all_methods(
    tmp_path: Path, clock: Clock, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    """A second is made a thousand of them, so that a slow machine sees the same."""
    async with Sandbox(tmp_path, clock=clock, rate_scale=0.001) as box, connect(box) as client:
        secret = json.loads(box.credentials("ozon", box.seller("ozon", 1)))
        headers = {"Host": "api-seller.ozon.ru", "Client-Id": secret["client_id"], "Api-Key": secret["api_key"]}
        asked = [
            client.post(path, json={}, headers=headers) for path in ["/v3/product/list", "/v3/posting/fbs/list"] * 30
        ]
        refused = [answer for answer in await asyncio.gather(*asked) if answer.status_code == 429]
        assert len(refused) == len(box.violations()) == 10
        assert refused[0].json()["code"] == 8
        assert 15 <= int(refused[0].headers["Retry-After"]) <= 20


async def test_yandex_market_counts_the_offers_that_it_gave(
    strict: Sandbox, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    async with strict as box, connect(box) as client:
        seller = box.seller("yandex_market", 1)
        headers = {"Host": "api.partner.market.yandex.ru", "Api-Key": box.credentials("yandex_market", seller)}
        path = f"/v2/businesses/{seller}/offer-prices?limit=500"
        for given in range(1, 11):
            answer = await client.post(path, json={}, headers=headers)
            assert answer.headers["X-RateLimit-Resource-Remaining"] == str(5000 - 500 * given)
            assert answer.headers["X-RateLimit-Resource-Limit"] == "5000"
        refused = await client.post(path, json={}, headers=headers)
        assert refused.status_code == 420
        assert refused.json()["errors"][0]["message"].startswith("Hit rate limit of 5000 points")
        until = parsedate_to_datetime(refused.headers["X-RateLimit-Resource-Until"])
        assert 0 < (until - parsedate_to_datetime(refused.headers["Date"])).total_seconds() <= 61


async def test_yandex_market_serves_four_at_once(
    tmp_path: Path, clock: Clock, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    play = Play(history_days=2, latency=0.05)
    async with Sandbox(tmp_path, clock=clock, play=play) as box, connect(box) as client:
        seller = box.seller("yandex_market", 1)
        headers = {"Host": "api.partner.market.yandex.ru", "Api-Key": box.credentials("yandex_market", seller)}
        answers = await asyncio.gather(*(client.get("/v2/campaigns", headers=headers) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] * 4 + [420] * 2
        message = next(answer for answer in answers if answer.status_code == 420).json()["errors"][0]["message"]
        assert message == f"Hit rate limit of 4 parallel requests for businessId {seller}"

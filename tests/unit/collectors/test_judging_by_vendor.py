"""Each marketplace's own ways of refusing, in bodies as the vendors write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collectors.errors import (
    AccountRefused,
    CollectError,
    Later,
    PutOff,
    RateLimited,
    RequestRefused,
    SplitWindow,
    StreamUnavailable,
)
from collectors.ozon.api import OZON
from collectors.stream import Marketplace
from collectors.wildberries.api import WILDBERRIES
from collectors.yandex_market.api import YANDEX_MARKET
from tests.unit.collectors.judged import answer, judged

DATE = {"date": "Fri, 20 Nov 2026 12:00:00 GMT"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b'{"title":"unauthorized","detail":"token scope not allowed for this route"}', StreamUnavailable),
        (401, b'{"title":"unauthorized","detail":"token problem; token is expired"}', AccountRefused),
        (402, b'{"title":"payment required"}', AccountRefused),
        (403, b'{"code":"AccessDenied","message":"no"}', StreamUnavailable),
        (404, b'{"detail":"This method is temporarily disabled"}', StreamUnavailable),
        (404, b'{"title":"path not found"}', StreamUnavailable),
        (404, b'{"message":"no such goods"}', RequestRefused),
        (200, b'{"data":null,"error":true,"errorText":"try 200 later"}', Later),
        (200, b' {"data":null,"error":true,"errorText":"try 200 later"}', Later),
        (400, b'{"data":null,"error":true,"errorText":"Invalid request parameters"}', RequestRefused),
        (403, b'{"code":"AccessDenied","message":""}', StreamUnavailable),
        (403, b'{"title":"forbidden","detail":"base token is not allowed"}', StreamUnavailable),
        (400, b'{"detail":"difference between dateFrom and dateTo should be less or equal 31 days"}', SplitWindow),
        (400, b'{"title":"Invalid payload","errors":[{"detail":"max date range 31 days"}]}', SplitWindow),
        (409, b'[{"code":"Conflict","message":"no"}]', RequestRefused),
        (400, b'{"errors":["dateFrom: field required"]}', RequestRefused),
        (400, b'{"errors":"dateFrom: field required"}', RequestRefused),
    ],
)
def test_wildberries(status: int, body: bytes, error: type[CollectError]) -> None:
    given = answer(WILDBERRIES, status, body)
    with pytest.raises(error) as caught:
        WILDBERRIES.judge(given)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"code":9,"message":"obsolete method cannot be used"}', StreamUnavailable),
        (400, b'{"code":3,"message":"PERIOD_IS_TOO_LONG"}', SplitWindow),
        (400, b'{"code":3,"message":"invalid"}', RequestRefused),
        (401, b'{"code":16,"message":"unauthenticated"}', AccountRefused),
        (403, b'{"code":16,"message":"unauthenticated"}', AccountRefused),
        (403, b'{"code":7,"message":"Invalid Api-Key, please contact support"}', AccountRefused),
        (403, b'{"code":7,"message":"Api-Key is restricted to specific IP addresses"}', AccountRefused),
        (403, b'{"code":7,"message":"Method is not available with existing subscription"}', StreamUnavailable),
        (403, b'{"code":7,"message":"Api-Key is missing a required role for a method"}', StreamUnavailable),
        (403, b'{"code":7,"message":"Api-key is deactivated, use another one or generate a new one"}', AccountRefused),
        (403, b'{"message":"Offer not signed"}', StreamUnavailable),
        (429, b'{"code":"RESOURCE_EXHAUSTED","message":"You have reached operation items limits"}', RateLimited),
        (400, b'{"error":"campaigns: too many"}', RequestRefused),
        (200, b'{"code":9,"message":"obsolete method cannot be used"}', StreamUnavailable),
        (200, b'{"code":7,"message":"Method is not available"}', StreamUnavailable),
        (200, b'{"code":16,"message":"unauthenticated"}', AccountRefused),
        (200, b'{"code":8,"message":"exhausted"}', RateLimited),
        (200, b'{"code":13,"message":"internal","details":[]}', Later),
        (503, b'{"code":14,"message":"Circle is open"}', PutOff),
        (429, b'{"code":8,"message":"rate limit"}', RateLimited),
        (503, b'{"code":8,"message":"exhausted"}', RateLimited),
        (500, b'{"code":13,"message":"internal"}', Later),
        (404, b'{"code":5,"message":"not found"}', RequestRefused),
        (403, b'{"code":"7","message":7}', StreamUnavailable),
    ],
)
def test_ozon(status: int, body: bytes, error: type[CollectError]) -> None:
    assert type(judged(OZON.judge, answer(OZON, status, body))) is error


def test_data_of_ozon_that_look_a_little_like_a_refusal_are_data() -> None:
    for body in (b'{"code":0,"message":"fine"}', b'{"code":"R1","result":{}}', b'{"code":7}', b'{"message":"hello"}'):
        OZON.judge(answer(OZON, 200, body))


def errors(code: str, message: str) -> bytes:
    return f'{{"status":"ERROR","errors":[{{"code":"{code}","message":"{message}"}}]}}'.encode()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, errors("INTERNAL", "later"), Later),
        (200, b'{"status":"ERROR"}', Later),
        (400, errors("BAD_REQUEST", "period is too long"), SplitWindow),
        (400, errors("BAD_REQUEST", "unknown field"), RequestRefused),
        (401, errors("UNAUTHORIZED", "no"), AccountRefused),
        (403, errors("FORBIDDEN", "Access denied"), StreamUnavailable),
        (403, errors("FORBIDDEN", "Api-Key is unknown"), AccountRefused),
        (403, errors("FORBIDDEN", "Api-Key has no scope for this method"), StreamUnavailable),
        (404, errors("NOT_FOUND", "campaign"), RequestRefused),
        (423, errors("LOCKED", "method is locked"), StreamUnavailable),
        (500, errors("INTERNAL", "no"), Later),
    ],
)
def test_yandex_market(status: int, body: bytes, error: type[CollectError]) -> None:
    assert type(judged(YANDEX_MARKET.judge, answer(YANDEX_MARKET, status, body))) is error


@pytest.mark.parametrize(
    ("marketplace", "path", "body"),
    [
        (YANDEX_MARKET, "/v2/reports/info/r1", errors("NOT_FOUND", "r1")),
        (OZON, "/v1/report/info", b'{"code":5,"message":"not found"}'),
        (WILDBERRIES, "/api/v1/paid_storage/tasks/r1/status", b'{"title":"Not Found","detail":"not found"}'),
    ],
    ids=["yandex_market", "ozon", "wildberries"],
)
def test_a_report_that_the_marketplace_does_not_know_is_not_our_fault(
    marketplace: Marketplace, path: str, body: bytes
) -> None:
    error = judged(marketplace.judge, answer(marketplace, 404, body, path=path))
    assert isinstance(error, Later)
    assert error.status == 404


def test_too_many_at_the_same_time_frees_itself_and_names_its_bucket() -> None:
    body = errors("LIMIT", "Hit rate limit of 4 parallel requests for campaignId 12345")
    error = judged(YANDEX_MARKET.judge, answer(YANDEX_MARKET, 420, body))
    assert isinstance(error, RateLimited)
    assert (error.wait, error.bucket) == (timedelta(seconds=0.5), "parallel")
    assert error.bucket in {bucket.name for bucket in YANDEX_MARKET.buckets}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-resource-until": "Fri, 20 Nov 2026 12:07:30 GMT", **DATE}, timedelta(minutes=7, seconds=30)),
        ({"x-ratelimit-resource-until": "Fri, 20 Nov 2026 15:07:30 +0300", **DATE}, timedelta(minutes=7, seconds=30)),
        ({"x-ratelimit-resource-until": "Sat, 21 Nov 2026 23:00:00 GMT", **DATE}, timedelta(hours=24)),
        ({"x-ratelimit-resource-until": "Fri, 20 Nov 2026 11:00:00 GMT", **DATE}, timedelta(minutes=1)),
        ({"x-ratelimit-resource-until": "Fri, 20 Nov 2026 12:07:30 GMT"}, timedelta(minutes=1)),
        ({}, timedelta(minutes=1)),
    ],
)
def test_a_quota_of_yandex_market_is_waited_for_until_its_date(headers: dict[str, str], wait: timedelta) -> None:
    body = errors("LIMIT", "Hit rate limit of 10 000 points per 1 day for resource stats")
    error = judged(YANDEX_MARKET.judge, answer(YANDEX_MARKET, 420, body, headers))
    assert isinstance(error, RateLimited)
    assert (error.wait, error.bucket) == (wait, None)


@pytest.mark.parametrize(
    ("marketplace", "headers", "wait"),
    [
        (WILDBERRIES, {"x-ratelimit-retry": "7", "x-ratelimit-reset": "70"}, timedelta(seconds=7)),
        (WILDBERRIES, {"x-ratelimit-retry": "10800"}, timedelta(hours=3)),
        (WILDBERRIES, {"x-ratelimit-reset": "70"}, timedelta(seconds=70)),
        (WILDBERRIES, {"retry-after": "9"}, timedelta(seconds=9)),
        (WILDBERRIES, {}, timedelta(minutes=1)),
        (OZON, {"retry-after": "3"}, timedelta(seconds=3)),
        (OZON, {}, timedelta(seconds=2)),
        (YANDEX_MARKET, {"retry-after": "3"}, timedelta(seconds=3)),
    ],
)
def test_a_limit_is_waited_for_as_long_as_the_vendor_says(
    marketplace: Marketplace, headers: dict[str, str], wait: timedelta
) -> None:
    error = judged(marketplace.judge, answer(marketplace, 429, b"{}", headers))
    assert isinstance(error, RateLimited)
    assert error.wait == wait

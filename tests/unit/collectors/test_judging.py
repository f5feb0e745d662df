"""Status alone does not decide what an answer means: each marketplace's own ways of refusing, and those of all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from collectors.errors import (
    AccountRefused,
    CollectError,
    Later,
    OtherProxy,
    RateLimited,
    RequestRefused,
    SplitWindow,
    StreamUnavailable,
)
from collectors.ozon.api import OZON
from collectors.refusals import judge_status
from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Answer, Marketplace, Request
from collectors.wildberries.api import WILDBERRIES
from collectors.yandex_market.api import YANDEX_MARKET
from tests.unit.collectors.scripted import NOW

ALL = [pytest.param(find_marketplace(name), id=name) for name in STREAMS]
HTML = b"\n <!DOCTYPE html><html><body>Access denied</body></html>"
DATE = {"date": "Fri, 20 Nov 2026 12:00:00 GMT"}


def answer(
    marketplace: Marketplace,
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    path: str = "/some/method",
    signed: bool = True,
) -> Answer:
    request = Request(method="GET", host=min(marketplace.hosts), path=path, signed=signed)
    return Answer(request=request, status=status, headers=headers or {}, body=body, fetched_at=NOW)


def judged(judge: Callable[[Answer], None], given: Answer) -> CollectError:
    with pytest.raises(CollectError) as caught:
        judge(given)
    assert str(given.status) in str(caught.value)
    assert given.request.path in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", AccountRefused),
        (402, b"", AccountRefused),
        (403, HTML, OtherProxy),
        (403, b"Forbidden by policy", OtherProxy),
        (403, b"", OtherProxy),
        (451, HTML, OtherProxy),
        (408, b"", Later),
        (413, b"", SplitWindow),
        (414, b"", SplitWindow),
        (425, b"", Later),
        (429, b"", RateLimited),
        (429, HTML, RateLimited),
        (500, b"{}", Later),
        (502, HTML, Later),
        (503, b"", Later),
        (599, b"", Later),
        (400, b"", RequestRefused),
        (404, HTML, RequestRefused),
        (302, b"", RequestRefused),
        (200, HTML, OtherProxy),
        (200, b"<?xml version='1.0'?>", OtherProxy),
    ],
)
@pytest.mark.parametrize("marketplace", ALL)
def test_what_is_said_everywhere_means_the_same_everywhere(
    marketplace: Marketplace, status: int, body: bytes, error: type[CollectError]
) -> None:
    assert type(judged(marketplace.judge, answer(marketplace, status, body))) is error


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"[]"), (200, b'{"rows":[]}'), (204, b""), (200, b'{"odd":NaN}'), (200, b"\xef\xbb\xbf{}"), (200, b"")],
)
@pytest.mark.parametrize("marketplace", ALL)
def test_data_is_let_pass(marketplace: Marketplace, status: int, body: bytes) -> None:
    marketplace.judge(answer(marketplace, status, body))


def test_html_by_its_content_type_is_not_data_either() -> None:
    given = answer(OZON, 200, b"Please wait", {"content-type": "text/html; charset=utf-8"})
    assert isinstance(judged(OZON.judge, given), OtherProxy)


def test_a_file_may_begin_like_html() -> None:
    judge_status(answer(YANDEX_MARKET, 200, HTML, signed=False))


@pytest.mark.parametrize("marketplace", ALL)
def test_a_failure_carries_its_answer_for_whoever_looks_later(marketplace: Marketplace) -> None:
    for status, body in ((503, b"{}"), (403, HTML), (400, b"{}")):
        error = judged(marketplace.judge, given := answer(marketplace, status, body))
        assert isinstance(error, Later | OtherProxy | RequestRefused)
        assert error.answer is given


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
        (403, b'{"message":"Offer not signed"}', StreamUnavailable),
        (429, b'{"code":8,"message":"rate limit"}', RateLimited),
        (503, b'{"code":8,"message":"exhausted"}', RateLimited),
        (500, b'{"code":13,"message":"internal"}', Later),
        (404, b'{"code":5,"message":"not found"}', RequestRefused),
        (403, b'{"code":"7","message":7}', RequestRefused),
    ],
)
def test_ozon(status: int, body: bytes, error: type[CollectError]) -> None:
    assert type(judged(OZON.judge, answer(OZON, status, body))) is error


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
        (404, errors("NOT_FOUND", "campaign"), RequestRefused),
        (423, errors("LOCKED", "method is locked"), StreamUnavailable),
        (500, errors("INTERNAL", "no"), Later),
    ],
)
def test_yandex_market(status: int, body: bytes, error: type[CollectError]) -> None:
    assert type(judged(YANDEX_MARKET.judge, answer(YANDEX_MARKET, status, body))) is error


def test_a_report_that_yandex_market_no_longer_knows_is_not_our_fault() -> None:
    given = answer(YANDEX_MARKET, 404, errors("NOT_FOUND", "r1"), path="/v2/reports/info/r1")
    error = judged(YANDEX_MARKET.judge, given)
    assert isinstance(error, Later)
    assert error.status == 404


def test_too_many_at_the_same_time_frees_itself_and_names_its_bucket() -> None:
    body = errors("LIMIT", "Hit rate limit of 4 parallel requests for campaignId 12345")
    error = judged(YANDEX_MARKET.judge, answer(YANDEX_MARKET, 420, body))
    assert isinstance(error, RateLimited)
    assert (error.wait, error.bucket) == (timedelta(seconds=1), "parallel")
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

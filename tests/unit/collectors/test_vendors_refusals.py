"""The vendors' own error bodies, each judged by what the worker has to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.errors import (
    AccountRefused,
    CollectError,
    Later,
    RateLimited,
    RequestRefused,
    SplitWindow,
    StreamUnavailable,
)
from collectors.ozon.api import OZON
from collectors.ozon.performance import PERFORMANCE
from collectors.registry import find_marketplace
from tests.unit.collectors.judged import answer, judged

SPECS = Path(__file__).resolve().parents[4] / "shared" / "specs"
FOLDERS = {"wildberries": "wildberries", "ozon": "ozon", "yandex_market": "yandex-market"}
EXAMPLES: tuple[tuple[str, str, int, type[CollectError]], ...] = (
    ("wildberries", "error_400_advert", 400, RequestRefused),
    ("wildberries", "error_400_content", 400, RequestRefused),
    ("wildberries", "error_400_prices", 400, RequestRefused),
    ("wildberries", "error_400_statistics", 400, RequestRefused),
    ("wildberries", "error_401", 401, AccountRefused),
    ("wildberries", "error_402", 402, AccountRefused),
    ("wildberries", "error_403_finance", 403, StreamUnavailable),
    ("wildberries", "error_403_marketplace", 403, StreamUnavailable),
    ("wildberries", "error_404_disabled", 404, StreamUnavailable),
    ("wildberries", "error_429", 429, RateLimited),
    ("ozon", "error_400", 400, RequestRefused),
    ("ozon", "error_403", 403, StreamUnavailable),
    ("ozon", "error_obsolete_method", 400, StreamUnavailable),
    ("ozon", "error_rate_limit", 429, RateLimited),
    ("yandex_market", "error_401", 401, AccountRefused),
    ("yandex_market", "error_403", 403, StreamUnavailable),
    ("yandex_market", "error_420", 420, RateLimited),
    ("yandex_market", "error_420_documented", 420, RateLimited),
)
DOCUMENTS = (
    ("ozon", "ozon/ozon-seller-openapi.normalized.json"),
    ("ozon", "ozon/ozon-performance-openapi.normalized.json"),
    ("yandex_market", "yandex-market/yandex-market-openapi.json"),
)
HOSTS = {"ozon/ozon-performance-openapi.normalized.json": PERFORMANCE}  # … of those that have one of their own
# What a status means with the vendor's usual body, where nothing in it says otherwise.
BY_STATUS: dict[int, type[CollectError]] = {
    400: RequestRefused,
    401: AccountRefused,
    403: StreamUnavailable,
    404: RequestRefused,
    409: RequestRefused,
    420: RateLimited,
    423: StreamUnavailable,
    429: RateLimited,
    500: Later,
}
USUAL = {
    "ozon": {"code": 2, "details": [{"typeUrl": "string", "value": "string"}], "message": "string"},
    "yandex_market": {"status": "ERROR", "errors": [{"code": "string", "message": "string"}]},
}
# From the Wildberries documents, which are YAML: one body for each shape and host.
WILDBERRIES: tuple[tuple[int, str, type[CollectError]], ...] = (
    (400, '{"errors": ["dateFrom: field required"]}', RequestRefused),
    (400, '{"data": null, "error": true, "errorText": "Invalid data format"}', RequestRefused),
    (400, '{"code": "IncorrectParameter", "message": "IncorrectParameter"}', RequestRefused),
    (400, '{"error": "Некорректная дата конца"}', RequestRefused),
    (400, '{"title": "Bad Request", "detail": "validation failed", "errors": [{"value": "-1"}]}', RequestRefused),
    (400, "Request body can not be decoded", RequestRefused),
    (400, '{"detail": "difference between dateFrom and dateTo should be less or equal 8 days"}', SplitWindow),
    (400, '{"errors": [{"detail": "max date range 31 days", "field": "begin and end"}]}', SplitWindow),
    (401, '{"title": "unauthorized", "detail": "token problem; token is malformed", "status": 401}', AccountRefused),
    (402, '{"title": "payment required", "detail": "insufficient funds on its balance"}', AccountRefused),
    (403, '{"code": "AccessDenied", "message": ""}', StreamUnavailable),
    (403, '{"data": null, "error": true, "errorText": "Ошибка авторизации"}', StreamUnavailable),
    (403, '{"title": "Authorization error", "detail": "Authorization error"}', StreamUnavailable),
    (403, '{"title": "access denied", "status": 403, "detail": "abac: access denied"}', StreamUnavailable),
    (403, '{"status": 403, "title": "no active subscription or tariff"}', StreamUnavailable),
    (403, '{"title": "forbidden", "detail": "base token is not allowed"}', StreamUnavailable),
    (404, '{"title": "path not found", "detail": "This method is temporarily disabled"}', StreamUnavailable),
    (404, '{"code": "NotFound", "message": "", "data": {"sku": ""}}', RequestRefused),
    (406, '{"code": "StatusNotAcceptable", "message": "no"}', RequestRefused),
    (409, '[{"code": "CargoWarehouseRestriction", "message": "no", "data": []}]', RequestRefused),
    (413, "body size exceeds the given limit", SplitWindow),
    (422, '{"data": null, "error": true, "errorText": "Unexpected result"}', RequestRefused),
    (422, "Статус кампании не изменен", RequestRefused),
    (429, '{"title": "too many requests", "detail": "limited by c122a060-a7fb-4bb4-abb0-32fd4e18d489"}', RateLimited),
    (451, '{"title": "moderation error"}', RequestRefused),
)

beside_specs = pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' documents are not beside this checkout")


@beside_specs
@pytest.mark.parametrize(
    ("marketplace", "example", "status", "error"), EXAMPLES, ids=[f"{case[0]}/{case[1]}" for case in EXAMPLES]
)
def test_a_refusal_of_the_vendor_means(marketplace: str, example: str, status: int, error: type[CollectError]) -> None:
    found = find_marketplace(marketplace)
    body = (SPECS / FOLDERS[marketplace] / "examples" / f"{example}.json").read_bytes()
    raised = judged(found.judge, answer(found, status, body))
    assert type(raised) is error
    if isinstance(raised, RateLimited):
        assert timedelta(0) < raised.wait <= timedelta(minutes=1)


@beside_specs
def test_every_example_of_a_refusal_is_judged_here() -> None:
    found = {
        (name, file.stem) for name, folder in FOLDERS.items() for file in (SPECS / folder).glob("examples/error_*.json")
    }
    assert {(name, example) for name, example, _, _ in EXAMPLES} == found


@beside_specs
@pytest.mark.parametrize(("marketplace", "document"), DOCUMENTS)
def test_every_error_that_a_document_declares_is_judged(marketplace: str, document: str) -> None:
    found = find_marketplace(marketplace)
    declared = set(_declared(json.loads((SPECS / document).read_bytes())))
    assert declared
    for status, example in declared:
        body = json.dumps(USUAL[marketplace]) if example is None else example
        raised = judged(found.judge, answer(found, status, body.encode(), host=HOSTS.get(document)))
        assert type(raised) is BY_STATUS[status], f"{status} {body}"


def _declared(document: dict[str, Any]) -> Iterator[tuple[int, str | None]]:
    """Yield the error statuses of all operations, each with its example if it has one."""
    operations = (value for path in document["paths"].values() for value in path.values() if "responses" in value)
    for operation in operations:
        for status, response in operation["responses"].items():
            if not status.isdecimal() or int(status) < 300:  # "default" has no status
                continue
            told = document["components"]["responses"][status] if "$ref" in response else response
            for content in told.get("content", {}).values():
                examples = [content.get("example"), *(one["value"] for one in content.get("examples", {}).values())]
                yield from ((int(status), None if example is None else json.dumps(example)) for example in examples)


@pytest.mark.parametrize(("status", "body", "error"), WILDBERRIES)
def test_a_refusal_of_wildberries_means(status: int, body: str, error: type[CollectError]) -> None:
    found = find_marketplace("wildberries")
    assert type(judged(found.judge, answer(found, status, body.encode()))) is error


@pytest.mark.parametrize(
    ("status", "path", "words", "error"),
    [
        (401, "/api/client/token", "Client authentication failed", AccountRefused),
        (400, "/api/client/token", "invalid_client", AccountRefused),
        (403, "/api/client/token", "access denied", AccountRefused),
        (401, "/api/client/campaign", "Access token has expired", AccountRefused),
        (403, "/api/client/campaign", "no access", StreamUnavailable),
        (400, "/api/client/statistics", "Превышен лимит по количеству кампаний (максимум 10)", RequestRefused),
        (404, "/api/client/statistics/0c159c60-ab92-46d9-9a6b-d225dbf5c7b1", "report not found", Later),
        (404, "/api/client/statistics/report", "report not found", Later),
        (404, "/api/client/campaign", "Not Found", RequestRefused),
    ],
)
def test_a_refusal_of_ozons_advertising_means(status: int, path: str, words: str, error: type[CollectError]) -> None:
    body = json.dumps({"error": words}).encode()
    assert type(judged(OZON.judge, answer(OZON, status, body, path=path, host=PERFORMANCE))) is error


@pytest.mark.parametrize(
    ("words", "bucket"),
    [
        ("Превышен лимит активных запросов, максимум 1", "performance_reports"),
        ("Too Many Requests", "performance"),
    ],
)
def test_a_limit_of_ozons_advertising_stops_nothing_of_the_seller_api(words: str, bucket: str) -> None:
    body = json.dumps({"error": words}).encode()
    raised = judged(OZON.judge, answer(OZON, 429, body, path="/api/client/statistics", host=PERFORMANCE))
    assert isinstance(raised, RateLimited)
    assert raised.bucket == bucket
    assert bucket not in {each.name for each in OZON.buckets}
    assert not [*OZON.told(answer(OZON, 429, body, host=PERFORMANCE))]

"""The vendors' own error bodies, each judged by what the worker has to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from collectors.errors import AccountRefused, CollectError, RateLimited, RequestRefused, StreamUnavailable
from collectors.registry import find_marketplace
from collectors.stream import Answer, Request
from tests.unit.collectors.scripted import NOW

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

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' specifications are not beside this checkout")


@pytest.mark.parametrize(
    ("marketplace", "example", "status", "error"), EXAMPLES, ids=[f"{case[0]}/{case[1]}" for case in EXAMPLES]
)
def test_a_refusal_of_the_vendor_means(marketplace: str, example: str, status: int, error: type[CollectError]) -> None:
    found = find_marketplace(marketplace)
    body = (SPECS / FOLDERS[marketplace] / "examples" / f"{example}.json").read_bytes()
    request = Request(method="POST", host=min(found.hosts), path="/some/method")
    with pytest.raises(error, match="/some/method") as caught:
        found.judge(Answer(request=request, status=status, headers={}, body=body, fetched_at=NOW))
    assert type(caught.value) is error
    if isinstance(caught.value, RateLimited):
        assert timedelta(0) < caught.value.wait <= timedelta(minutes=1)


def test_every_example_of_a_refusal_is_judged_here() -> None:
    found = {
        (name, file.stem) for name, folder in FOLDERS.items() for file in (SPECS / folder).glob("examples/error_*.json")
    }
    assert {(name, example) for name, example, _, _ in EXAMPLES} == found

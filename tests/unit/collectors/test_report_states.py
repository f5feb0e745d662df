"""What Yandex Market says of a report."""

from __future__ import annotations

import json

import pytest

from collectors.errors import Malformed
from collectors.reports import Failed, NothingToTell, Ready, State, TooLarge, Working
from collectors.stream import Request
from collectors.windows import seconds
from collectors.yandex_market.reports import report_state
from tests.unit.collectors.scripted import answer_of


def state(**result: object) -> State:
    return report_state(answer_of(json.dumps({"status": "OK", "result": result}).encode()))


@pytest.mark.parametrize(
    ("result", "means"),
    [
        ({"status": "PENDING"}, Working(seconds(5))),
        ({"status": "PROCESSING", "subStatus": None}, Working(seconds(5))),
        ({"status": "DONE", "subStatus": "NO_DATA"}, NothingToTell()),
        ({"status": "FAILED", "subStatus": "NO_DATA"}, NothingToTell()),
        ({"status": "FAILED", "subStatus": "TOO_LARGE"}, TooLarge()),
        ({"status": "FAILED", "subStatus": "RESOURCE_NOT_FOUND"}, Failed("RESOURCE_NOT_FOUND")),
        ({"status": "FAILED"}, Failed("no reason given")),
    ],
)
def test_each_state_has_a_meaning(result: dict[str, object], means: State) -> None:
    assert state(**result) == means


def test_a_link_is_fetched_as_it_was_given_and_without_credentials() -> None:
    found = state(status="DONE", file="https://files.market.yandex.net/a%20b/7.zip?sign=x%2Fy&empty=&n=1")
    assert found == Ready(
        Request(
            method="GET",
            host="files.market.yandex.net",
            path="/a%20b/7.zip",
            query={"sign": "x/y", "empty": "", "n": "1"},
            buckets=(),
            signed=False,
        )
    )


@pytest.mark.parametrize(
    "result",
    [
        {"status": "DONE"},
        {"status": "DONE", "file": ""},
        {"status": "DONE", "file": 7},
        {"status": "DONE", "file": "https://[files/7.zip"},
        {"status": "SLEEPING"},
        {},
    ],
)
def test_a_state_that_we_do_not_know_is_malformed(result: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        state(**result)

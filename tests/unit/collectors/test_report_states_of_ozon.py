"""What Ozon says of a report."""

from __future__ import annotations

import json

import pytest

from collectors.errors import Malformed
from collectors.ozon.reports import report_state
from collectors.reports import Failed, Ready, State, Working
from collectors.stream import Request
from collectors.windows import seconds
from tests.unit.collectors.scripted import answer_of


def state(**result: object) -> State:
    return report_state(answer_of(json.dumps({"result": result}).encode()))


@pytest.mark.parametrize(
    ("result", "means"),
    [
        ({"status": "waiting", "file": ""}, Working(seconds(10))),
        ({"status": "processing"}, Working(seconds(10))),
        ({"status": "failed", "error": "too_many"}, Failed("too_many")),
        ({"status": "failed", "error": ""}, Failed("no reason given")),
    ],
)
def test_each_state_has_a_meaning(result: dict[str, object], means: State) -> None:
    assert state(**result) == means


def test_a_link_is_fetched_without_credentials() -> None:
    assert state(status="success", error="", file="https://cdn1.ozone.ru/s3/f3/7.csv?sign=x%2Fy") == Ready(
        Request(
            method="GET",
            host="cdn1.ozone.ru",
            path="/s3/f3/7.csv",
            query={"sign": "x/y"},
            buckets=(),
            signed=False,
        )
    )


@pytest.mark.parametrize(
    "result",
    [{"status": "success", "file": ""}, {"status": "success", "file": "https://[files/7.csv"}, {"status": "odd"}, {}],
)
def test_a_state_that_we_do_not_know_is_malformed(result: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        state(**result)

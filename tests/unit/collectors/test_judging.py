"""Status alone does not decide what an answer means: the ways of refusing that all marketplaces share."""

from __future__ import annotations

import json
import re
from contextlib import closing

import pytest

from collectors.errors import (
    AccountRefused,
    Blame,
    CollectError,
    Later,
    OtherProxy,
    RateLimited,
    RequestRefused,
    SplitWindow,
    StreamUnavailable,
)
from collectors.ozon.api import OZON, SELLER
from collectors.refusals import judge_status
from collectors.registry import STREAMS, find_marketplace
from collectors.stream import Answer, Marketplace, Request
from collectors.wildberries.api import WILDBERRIES
from collectors.yandex_market.api import YANDEX_MARKET
from tests.unit.collectors.judged import answer, judged
from tests.unit.collectors.scripted import NOW
from worker.http.spool import Spool

ALL = [pytest.param(find_marketplace(name), id=name) for name in STREAMS]
HTML = b"\n <!DOCTYPE html><html><body>Access denied</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"", AccountRefused),
        (402, b"", AccountRefused),
        (403, HTML, OtherProxy),
        (403, b"Forbidden by policy", OtherProxy),
        (403, b"", OtherProxy),
        (403, b'{"anything":"else"}', StreamUnavailable),
        (401, HTML, OtherProxy),
        (402, HTML, OtherProxy),
        (451, HTML, OtherProxy),
        (451, b'{"message":"by order of a court"}', RequestRefused),
        (511, HTML, OtherProxy),
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
        (400, b"Request body can not be decoded", RequestRefused),
        (409, b"{}", RequestRefused),
        (404, HTML, RequestRefused),
        (461, b"{}", RequestRefused),
        (302, b"", RequestRefused),
        (200, HTML, OtherProxy),
        (200, b"<?xml version='1.0'?>", OtherProxy),
        (200, b"", Later),
        (200, b" \n", Later),
    ],
)
@pytest.mark.parametrize("marketplace", ALL)
def test_what_is_said_everywhere_means_the_same_everywhere(
    marketplace: Marketplace, status: int, body: bytes, error: type[CollectError]
) -> None:
    assert type(judged(marketplace.judge, answer(marketplace, status, body))) is error


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"[]"), (200, b'{"rows":[]}'), (204, b""), (200, b'{"odd":NaN}'), (200, b"\xef\xbb\xbf{}")],
)
@pytest.mark.parametrize("marketplace", ALL)
def test_data_is_let_pass(marketplace: Marketplace, status: int, body: bytes) -> None:
    marketplace.judge(answer(marketplace, status, body))


def test_html_by_its_content_type_is_not_data_either() -> None:
    given = answer(OZON, 200, b"Please wait", {"content-type": "text/html; charset=utf-8"})
    assert isinstance(judged(OZON.judge, given), OtherProxy)


def test_a_file_may_begin_like_html() -> None:
    judge_status(answer(YANDEX_MARKET, 200, HTML, signed=False))


@pytest.mark.parametrize("body", [b"", b" \r\n"])
@pytest.mark.parametrize("signed", [True, False])
def test_a_file_that_holds_nothing_is_not_taken_for_a_report(body: bytes, signed: bool) -> None:
    request = Request(method="GET", host=SELLER, path="/file", file=True, signed=signed)
    error = judged(judge_status, Answer(request=request, status=200, headers={}, body=body, fetched_at=NOW))
    assert type(error) is Later
    assert error.blame is Blame.API


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_link_to_a_file_that_does_not_open_says_nothing_of_the_key(status: int) -> None:
    error = judged(judge_status, answer(YANDEX_MARKET, status, b"<Error>Expired</Error>", signed=False))
    assert type(error) is Later


def test_a_report_that_is_kept_on_disk_has_no_body_to_look_at() -> None:
    request = Request(method="GET", host=min(WILDBERRIES.hosts), path="/file", file=True)
    with closing(Spool()) as spool:
        WILDBERRIES.judge(Answer(request=request, status=200, headers={}, body=b"", fetched_at=NOW, spool=spool))


@pytest.mark.parametrize("marketplace", ALL)
def test_a_firewall_blames_the_pair_and_only_a_500_may_be_asking_too_much(marketplace: Marketplace) -> None:
    assert judged(marketplace.judge, answer(marketplace, 403, HTML)).blame is Blame.PAIR
    for status in (500, 502, 503, 504):
        error = judged(marketplace.judge, answer(marketplace, status, b"{}"))
        assert isinstance(error, Later)
        assert error.too_much is (status == 500)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://elsewhere.example/login?token=s3cret", r"another host \(elsewhere\.example\)"),
        ("//elsewhere.example", "another host"),
        ("https://[", "another host"),
        ("/v2/orders?key=s3cret", "on the same host"),
        ("https://{host}/v2", "on the same host"),
        (None, "on the same host"),
    ],
)
def test_a_redirect_says_whether_the_api_moved_or_somebody_is_on_the_way(location: str | None, words: str) -> None:
    headers = {} if location is None else {"location": location.replace("{host}", SELLER)}
    error = judged(OZON.judge, answer(OZON, 302, headers=headers))
    assert type(error) is RequestRefused
    assert re.search(words, str(error))
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "key",
    [
        "1a2b3c4d-1111-2222-3333-444455556666",
        "ACMA:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4f4240:0f1e2d3c",
        "eyJhbGciOiJFUzI1NiJ9.eyJhY2MiOjN9.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize("marketplace", ALL)
def test_a_key_that_the_api_repeats_is_not_quoted(marketplace: Marketplace, status: int, key: str) -> None:
    words = f"the api-key {key} is bad"
    errors_ = [{"code": "FORBIDDEN", "message": words}]
    for body in ({"message": words, "errors": errors_}, [words]):
        error = judged(marketplace.judge, answer(marketplace, status, json.dumps(body).encode()))
        assert key not in str(error)
        assert "is bad" in str(error)


@pytest.mark.parametrize("before", [*range(150, 206, 5), *range(990, 1006, 3), *range(1965, 2006, 5)])
@pytest.mark.parametrize("filler", ["x ", "a1" * 20 + " "])
def test_no_half_of_a_key_is_quoted_wherever_a_quotation_is_cut(before: int, filler: str) -> None:
    key = "ACMA:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4f4240"
    words = (filler * before)[:before] + " " + key + " and more" * 1000
    quotations = (
        str(judged(judge_status, answer(OZON, 400, words.encode()))),
        str(judged(lambda given: judge_status(given, words), answer(OZON, 400))),
    )
    for quoted in quotations:
        assert key[:8] not in quoted
        assert len(quoted) < 1100


@pytest.mark.parametrize("marketplace", ALL)
def test_who_must_mend_an_account_is_told_how(marketplace: Marketplace) -> None:
    key, payment = (str(judged(marketplace.judge, answer(marketplace, status, b"{}"))) for status in (401, 402))
    assert key.startswith("the key is refused: give the account a new one, then `collector account resume`")
    assert "payment" in payment
    assert "not another key" in payment
    assert "`collector account resume`" in payment


@pytest.mark.parametrize("marketplace", ALL)
def test_a_failure_carries_its_answer_for_whoever_looks_later(marketplace: Marketplace) -> None:
    for status, body in ((503, b"{}"), (403, HTML), (400, b"{}")):
        error = judged(marketplace.judge, given := answer(marketplace, status, body))
        assert isinstance(error, Later | OtherProxy | RequestRefused)
        assert error.answer is given


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"message":"\xff"}', b"\xff\xfe", b"{"])
@pytest.mark.parametrize("marketplace", ALL)
def test_no_body_breaks_the_judging(marketplace: Marketplace, body: bytes) -> None:
    marketplace.judge(answer(marketplace, 200, body))
    assert isinstance(judged(marketplace.judge, answer(marketplace, 500, body)), Later)

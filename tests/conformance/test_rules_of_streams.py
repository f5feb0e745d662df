"""What `assert_stream_conforms` refuses: streams that are good but for one rule, each with the sentence it gets."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from collectors.envelope import Envelope
from collectors.errors import AccountRefused, Malformed, NotReady
from collectors.paging import by_cursor, by_offset, get, post
from collectors.refusals import judge_status
from collectors.reports import Ready, Working, report
from collectors.stream import (
    Answer,
    Bucket,
    Fetch,
    IdsOf,
    Marketplace,
    Page,
    Pages,
    Rate,
    Request,
    Secret,
    Skip,
    Snapshot,
    Step,
    Stream,
    Walk,
    Windows,
)
from collectors.testing import NOW, assert_stream_conforms, walk_of
from collectors.windows import days, hours

HOST, FILES = "api.test", "files.test"
ROWS = [{"id": number, "at": (NOW - timedelta(hours=number)).isoformat()} for number in range(1, 80)]
LINK = "0123456789abcdef"


def sign(secret: Secret, _: Request) -> dict[str, str]:
    return {"Api-Key": secret["token"]}


MARKETPLACE = Marketplace(
    name="test",
    hosts=frozenset({HOST}),
    file_hosts=(FILES,),
    sign=sign,
    judge=judge_status,
    buckets=(Bucket(name="all", rate=Rate(hours(1))),),
)


def bounds(walk: Walk, at: Any) -> dict[str, Any]:
    return {"from": walk.span.start.isoformat(), "to": walk.span.end.isoformat(), **at}


_STATE = Envelope(file=("file", str | None), known=("known", bool))


def report_state(answer: Answer) -> Ready | Working:
    file = _STATE.read(answer)["file"]
    if file is None:
        return Working(timedelta(seconds=1))
    return Ready(Request(method="GET", host=FILES, path=f"/{file}", query={"key": LINK}, signed=False))


GOODS = Stream(
    marketplace=MARKETPLACE,
    name="goods",
    about="goods",
    progress=Snapshot(),
    pages=by_offset(get(HOST, "/rows"), rows="rows", size=30),
    buckets=(),
    every=hours(1),
)
ORDERS = replace(
    GOODS,
    name="orders",
    progress=Windows(longest=days(1), since=days(30)),
    pages=by_offset(get(HOST, "/rows", bounds), rows="rows", size=10),
)
REPORT = replace(
    ORDERS,
    name="report",
    pages=report(
        post(HOST, "/reports", lambda walk, _: bounds(walk, {}), repeatable=False),
        report_id="id",
        poll=get(HOST, lambda _, at: f"/reports/{at['report']}"),
        state=report_state,
    ),
)


async def api(request: Request) -> Answer:
    """Play an API: rows by offset, in a window if asked, and reports that are ready when they are asked for."""
    asked = dict(request.query)
    if request.path.startswith("/reports"):
        body: Any = {"id": "r1"} if request.method == "POST" else {"file": "r1.csv", "known": True}
    elif request.host == FILES:
        body = "a file"
    else:
        start, end = (datetime.fromisoformat(str(asked.get(name, NOW))) for name in ("from", "to"))
        rows = [row for row in ROWS if "from" not in asked or start <= datetime.fromisoformat(str(row["at"])) < end]
        begin = int(asked.get("offset", 0))
        body = {"rows": rows[begin : begin + int(asked.get("limit", 10))], "next": str(begin + 10)}
    return Answer(request=request, status=200, headers={}, body=json.dumps(body).encode(), fetched_at=NOW)


@pytest.mark.parametrize("stream", [GOODS, ORDERS, REPORT], ids=lambda stream: stream.name)
async def test_a_good_stream_conforms(stream: Stream) -> None:
    await assert_stream_conforms(stream, api)


def pages_by(*, resume: bool = True, strict: bool = True, ends: bool = True, cursor: Any = int) -> Pages:
    """Page by offset with one rule broken."""
    envelope = Envelope("rows")

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = int((walk.cursor or {"at": 0})["at"]) if resume else 0
        while True:
            answer = await fetch(Request(method="GET", host=HOST, path="/rows", query={"offset": at, "limit": 30}))
            if strict:
                found = len(envelope.read(answer).rows)
            else:
                read = json.loads(answer.body + b"}" * (answer.body.count(b"{") - answer.body.count(b"}")))
                found = len((read or {}).get("rows", []))
            at += found
            last = not found
            yield Page(answer=answer, records=found, cursor={"at": cursor(at)}, last=last)
            if last and ends:
                return

    return pages


async def skipping(fetch: Fetch, _: Walk) -> AsyncGenerator[Step, None]:
    answer = await fetch(Request(method="GET", host=HOST, path="/rows"))
    yield Skip(Malformed("odd", answer), {})
    yield Page(answer=answer, records=1, cursor={}, last=True)


async def making_again(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
    """Make a report with each page."""
    at = int((walk.cursor or {"at": 0})["at"])
    for number in range(at, 3):
        make = post(HOST, "/reports", repeatable=False)(walk, {"seller": walk.seller})
        answer = await fetch(make)
        Envelope(id=("id", str)).read(answer)
        yield Page(answer=answer, records=1, cursor={"at": number + 1}, last=number == 2)


async def never_ready(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
    answer = await fetch(get(HOST, "/rows")(walk, {}))
    if answer.status == 200:
        raise NotReady("not yet", wait=timedelta(seconds=1))
    yield Page(answer=answer, records=0, cursor={}, last=True)


async def keeping_a_link(fetch: Fetch, _: Walk) -> AsyncGenerator[Step, None]:
    answer = await fetch(Request(method="GET", host=FILES, path="/r1", query={"key": LINK}, signed=False))
    yield Page(answer=answer, records=None, cursor={"link": f"https://{FILES}/r1?key={LINK}"}, last=True)


def telling(answer: Answer) -> None:
    if answer.status != 200:
        raise AccountRefused(answer.body.decode())


def forgiving(answer: Answer) -> None:
    if answer.status != 404:
        judge_status(answer)


def ending_late(walk: Walk, at: Any) -> dict[str, Any]:
    return bounds(walk, at) | {"to": (walk.span.end + timedelta(hours=1)).isoformat()}


def nowhere(_: Walk, at: Any) -> dict[str, Any]:
    return {**at, "offset": at["offset"] + len(ROWS)}


BROKEN = [
    (replace(GOODS, ids=IdsOf(streams=("cards",), read=lambda _: ())), "/rows although no id is left to ask for"),
    (replace(GOODS, pages=pages_by(ends=False)), "test/goods does not end"),
    (replace(GOODS, pages=pages_by(cursor=lambda at: at % 30)), "the cursor {'at': 0} comes twice"),
    (replace(GOODS, pages=pages_by(cursor=lambda at: (at,))), "a cursor that JSON changes"),
    (replace(GOODS, pages=pages_by(resume=False)), "stopped after step 1, does not go on to the same pages"),
    (replace(GOODS, pages=pages_by(strict=False)), "takes an answer for data although its envelope moved"),
    (replace(GOODS, pages=by_offset(get(HOST, "/rows", nowhere), rows="rows", size=3)), "brings nothing"),
    (replace(GOODS, pages=skipping), "skips an answer that it was given whole"),
    (replace(GOODS, pages=never_ready), "is not ready after"),
    (replace(GOODS, pages=making_again), "makes again what was made"),
    (replace(GOODS, pages=keeping_a_link), "keeps what opens a link to a file"),
    (
        replace(GOODS, pages=by_offset(get("evil.test", "/rows"), rows="rows", size=9)),
        "would show credentials to a host outside",
    ),
    (replace(GOODS, marketplace=replace(MARKETPLACE, buckets=())), "has no limit"),
    (replace(GOODS, marketplace=replace(MARKETPLACE, sign=lambda *_: {})), "is not signed"),
    (replace(GOODS, marketplace=replace(MARKETPLACE, judge=telling)), "repeats `token` in an error"),
    (replace(GOODS, marketplace=replace(MARKETPLACE, judge=forgiving)), "a refusal with status 404 for data"),
    (replace(REPORT, marketplace=replace(MARKETPLACE, file_hosts=(".other.test",))), "on none of the marketplace's"),
    (replace(ORDERS, pages=GOODS.pages), "asks the same for one window as for another"),
    (
        replace(ORDERS, pages=by_offset(get(HOST, "/rows", ending_late), rows="rows", size=10)),
        "brings 25 records of a window, and [13, 13] of its two parts",
    ),
    (
        replace(
            GOODS,
            pages=by_cursor(
                get(HOST, "/rows", lambda walk, at: {"offset": at["cursor"] or 0, "limit": walk.limit(10)}),
                rows="rows",
                following="next",
            ),
        ),
        "in smaller pages",
    ),
]


@pytest.mark.parametrize(("stream", "sentence"), BROKEN, ids=[sentence for _, sentence in BROKEN])
async def test_a_stream_that_breaks_a_rule_is_told_which(stream: Stream, sentence: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        await assert_stream_conforms(stream, api)


async def test_records_that_sum_up_a_window_need_not_add_up() -> None:
    async def one_sum(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        answer = await fetch(get(HOST, "/rows", bounds)(walk, {}))
        Envelope("rows").read(answer)
        yield Page(answer=answer, records=1, cursor={}, last=True)

    await assert_stream_conforms(replace(ORDERS, pages=one_sum), api, adds_up=False)
    with pytest.raises(AssertionError, match=r"brings 1 records of a window, and \[1, 1\] of its two parts"):
        await assert_stream_conforms(replace(ORDERS, pages=one_sum), api)


async def test_a_window_that_cannot_be_split_is_held_against_the_one_before() -> None:
    daily = Windows(longest=days(1), grain=days(1), since=days(30))
    await assert_stream_conforms(replace(ORDERS, progress=daily), api)
    with pytest.raises(AssertionError, match="asks the same for one window as for another"):
        await assert_stream_conforms(replace(ORDERS, progress=daily, pages=GOODS.pages), api)


async def test_a_walk_may_be_given() -> None:
    asked: list[Request] = []

    async def shop(request: Request) -> Answer:
        asked.append(request)
        return await api(request)

    walk = walk_of(ORDERS, now=NOW - days(1))
    await assert_stream_conforms(ORDERS, shop, walk=walk)
    assert asked[0].query["to"] == "2026-11-19T00:00:00+00:00" == walk.span.end.isoformat()

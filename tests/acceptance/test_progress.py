"""The loop against APIs whose paging does not go on, or that cannot give as much as they are asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from collectors.errors import CollectError, Later, SmallerPage, SplitWindow
from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Request, Step, Stream, Walk
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage, hasty
from worker.jobs import collect_slice
from worker.keeping import MOST_HALVINGS, STUBBORN

PRICES = STREAMS["yandex_market"]["prices"]
POSTINGS = STREAMS["ozon"]["fbs_postings"]
PRODUCTS = STREAMS["ozon"]["products"]


async def account_of(stage: Stage, marketplace: str) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), marketplace)


def answering(stream: Stream, altered: Callable[[Answer], Answer]) -> Stream:
    """The stream of an API that answers so, in small pages."""

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async def asking(request: Request) -> Answer:
            return altered(await fetch(request))

        async with aclosing(stream.pages(asking, dataclasses.replace(walk, smaller=6))) as steps:
            async for step in steps:
                yield step

    return dataclasses.replace(stream, pages=pages)


def demanding(stream: Stream, complaint: Callable[[Request], CollectError | None]) -> Stream:
    """The stream of an API that complains of some requests instead of answering."""

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async def asking(request: Request) -> Answer:
            if (error := complaint(request)) is not None:
                raise error
            return await fetch(request)

        async with aclosing(stream.pages(asking, walk)) as steps:
            async for step in steps:
                yield step

    return dataclasses.replace(stream, pages=pages)


async def collect(
    stage: Stage, account: Account, stream: Stream, slice_name: str = "", *, times: int = 1, page_a_run: bool = False
) -> None:
    async with stage.resources(streams={account.marketplace: {stream.name: stream}}) as resources:
        for _ in range(times):
            await collect_slice(hasty(resources), account.key(stream.name, slice_name), stopping=lambda: page_a_run)
            await stage.pass_waits()


async def state_of(stage: Stage, stream: str) -> dict[str, Any]:
    sql = "SELECT state, position::text, attempts, last_error FROM collect.stream_state WHERE stream = $1"
    return dict((await stage.rows(sql + " ORDER BY slice", stream))[0])


@pytest.mark.parametrize("page_a_run", [False, True], ids=["in one run", "each page in a run of its own"])
async def test_a_circle_is_stopped_and_its_answer_quarantined_and_the_position_stays(
    stage: Stage, page_a_run: bool
) -> None:
    """The token on the third page is that on the first: without the guard it would be read for ever."""
    account = await account_of(stage, "yandex_market")
    tokens: list[bytes] = []

    def in_a_circle(answer: Answer) -> Answer:
        token = json.loads(answer.body)["result"]["paging"]["nextPageToken"].encode()
        if token not in tokens:
            tokens.append(token)
        return dataclasses.replace(
            answer, body=answer.body.replace(tokens[2], tokens[0]) if tokens[2:] else answer.body
        )

    await collect(stage, account, answering(PRICES, in_a_circle), times=12, page_a_run=page_a_run)
    assert len(tokens) == 3
    state = await state_of(stage, "prices")
    assert state["state"] == "quarantined"
    assert "they come round again" in state["last_error"]
    assert await stage.value("SELECT array_agg(times) FROM collect.quarantine") == [3]
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 0
    stored = await stage.value("SELECT count(*) FROM raw.payload")
    assert stored <= 9
    assert json.loads(state["position"])["walk"]["pages"] == stored, "it stands behind the last page that is kept"


async def test_records_that_contradict_the_declared_total_are_not_taken(stage: Stage) -> None:
    account = await account_of(stage, "ozon")

    def declaring(answer: Answer) -> Answer:
        found = json.loads(answer.body)
        found["result"]["total"] += 1
        return dataclasses.replace(answer, body=json.dumps(found).encode())

    await collect(stage, account, answering(PRODUCTS, declaring), "ALL", times=3)
    state = await state_of(stage, "products")
    assert state["state"] == "quarantined"
    assert "that were declared" in state["last_error"]
    assert await stage.value("SELECT count(*) FROM raw.page") == 0


@pytest.mark.parametrize("error", [SmallerPage, SplitWindow])
async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones_until_the_walk_is_complete(
    stage: Stage, error: type[CollectError]
) -> None:
    account = await account_of(stage, "yandex_market")
    asked: list[int] = []

    def complaint(request: Request) -> CollectError | None:
        asked.append(int(request.query["limit"]))
        return error("too much at once") if asked[-1] > 125 else None

    stream = demanding(PRICES, complaint)
    await collect(stage, account, stream, times=3, page_a_run=True)
    assert asked[:4] == [500, 250, 125, 125], "another run remembers"
    await collect(stage, account, stream)
    assert set(asked[2:]) == {125}
    await assert_whole(stage, account, ["prices"])
    await assert_honest(stage)
    await stage.make_due()
    await collect(stage, account, stream, page_a_run=True)
    assert 500 in asked[4:], "a new walk asks for as much as the API takes"


async def test_a_stream_that_can_ask_for_no_less_fails_after_a_few_vain_requests(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    asked = 0

    def complaint(_: Request) -> CollectError:
        nonlocal asked
        asked += 1
        return SmallerPage("too much at once")

    await collect(stage, account, demanding(PRICES, complaint))
    assert asked == MOST_HALVINGS + 1
    assert (await stage.rows("SELECT outcome, error FROM collect.run"))[0]["error"] == "too much at once"


async def test_an_api_that_always_fails_on_a_window_is_asked_for_half_of_it(stage: Stage) -> None:
    account = await account_of(stage, "ozon")
    asked: list[tuple[str, str]] = []

    def complaint(request: Request) -> CollectError | None:
        asked.append((request.body["filter"]["since"], request.body["filter"]["to"]))
        return Later("500", too_much=True) if len(asked) <= STUBBORN else None

    await collect(stage, account, demanding(POSTINGS, complaint), times=STUBBORN)
    assert len(set(asked[:STUBBORN])) == 1, "the whole window, as often as it takes to see a pattern"
    assert asked[STUBBORN][0] == asked[0][0]
    assert asked[STUBBORN][1] < asked[0][1]
    await assert_whole(stage, account, ["fbs_postings"])
    await assert_honest(stage)


async def test_an_api_that_is_just_down_is_not_asked_for_less(stage: Stage) -> None:
    account = await account_of(stage, "ozon")
    asked: list[object] = []

    def complaint(request: Request) -> CollectError:
        asked.append(request.body)
        return Later("503")

    await collect(stage, account, demanding(POSTINGS, complaint), times=2 * STUBBORN)
    assert len(asked) == 2 * STUBBORN
    assert all(body == asked[0] for body in asked)

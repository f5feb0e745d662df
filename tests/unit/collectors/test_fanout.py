"""Asking for the ids that other streams listed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.fanout import by_ids, for_each_id
from collectors.paging import by_last_row, post
from collectors.stream import Answer, Fetch, Id, Mark, Page, Request, Skip, Step, Walk
from tests.unit.collectors.scripted import NOW, WALK

HELD = by_ids(post("api.test", "/info"), rows="items", size=7)


async def steps_of(ids: list[Id], *, cursor: dict[str, Id] | None, smaller: int, most: int) -> list[Step]:
    """Walk as far as `most` steps. Every third id is of something that is gone."""
    found: list[Step] = []

    async def fetch(request: Request) -> Answer:
        rows = [{"id": one} for number, one in enumerate(request.body["ids"]) if number % 3]
        body = json.dumps({"items": rows}).encode()
        return Answer(request=request, status=200, headers={}, body=body, fetched_at=NOW)

    async for step in HELD(fetch, replace(WALK, ids=ids, cursor=cursor, smaller=smaller)):
        found.append(step)
        if len(found) == most:
            break
    return found


def asked(steps: list[Step]) -> list[Id]:
    return [one for step in steps if isinstance(step, Page) for one in step.answer.request.body["ids"]]


@given(
    ids=st.one_of(st.sets(st.integers(0, 500), max_size=60), st.sets(st.text("ab1-", max_size=4), max_size=60)),
    stops=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3))),
)
async def test_each_id_is_asked_for_once_however_often_the_walk_is_gone_on_with(
    ids: set[Id], stops: list[tuple[int, int]]
) -> None:
    ordered = sorted(ids)
    found: list[Step] = []
    for most, smaller in [*stops, (1000, 0)]:
        cursor = json.loads(json.dumps(dict(found[-1].cursor))) if found else None
        found += await steps_of(ordered, cursor=cursor or None, smaller=smaller, most=most)
        if isinstance(found[-1], Page | Mark) and found[-1].last:
            break
    assert asked(found) == ordered
    assert [step.last for step in found if isinstance(step, Page | Mark)] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(("anew", "rest"), [([1, 2, 3, 4, 5], [4, 5]), ([1, 2, 9], [9]), ([1], []), ([], [])], ids=str)
async def test_a_walk_goes_on_behind_the_last_id_where_they_were_read_anew(anew: list[Id], rest: list[Id]) -> None:
    steps = await steps_of(anew, cursor={"after": 3}, smaller=0, most=9)
    assert asked(steps) == rest
    assert len(steps) == 1
    if not rest:
        assert steps == [Mark({"after": 3}, last=True)]


OF_EACH = for_each_id(
    by_last_row(post("api.test", lambda walk, _: f"/reports/{walk.ids[0]}"), rows="", field="row"),
)


def rows_of(one: int) -> list[int]:
    """Return the rows of a report. One that divides by 4 has none."""
    return [] if one % 4 == 0 else [one * 10 + number for number in range(7 if one % 3 == 0 else 3)]


async def each_of(ids: list[Id], *, cursor: dict[str, object] | None = None, most: int = 1000) -> list[Step]:
    """Walk as far as `most` steps, two rows a page."""

    async def fetch(request: Request) -> Answer:
        rows = [row for row in rows_of(int(request.path.rpartition("/")[2])) if row > request.body["after"]]
        body = json.dumps([{"row": row} for row in rows[:2]]).encode()
        return Answer(request=request, status=200, headers={}, body=body, fetched_at=NOW)

    found: list[Step] = []
    async for step in OF_EACH(fetch, replace(WALK, ids=ids, cursor=cursor)):
        found.append(step)
        if len(found) == most:
            break
    return found


def told(steps: list[Step]) -> list[tuple[str, bytes, bool]]:
    pages = [step for step in steps if isinstance(step, Page)]
    return [(page.answer.request.path, page.answer.body, page.last) for page in pages]


def position(steps: list[Step]) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps(dict(steps[-1].cursor)))
    return found


async def test_each_id_is_walked_to_its_end_and_the_end_of_the_last_one_is_the_end_of_all() -> None:
    steps = await each_of([1, 3, 4, 5])
    assert [row["row"] for _, body, _ in told(steps) for row in json.loads(body)] == [
        *rows_of(1),
        *rows_of(3),
        *rows_of(5),
    ]
    assert [path for path, _, _ in told(steps)] == [f"/reports/{one}" for one in (1, 1, 1, 3, 3, 3, 3, 3, 4, 5, 5, 5)]
    assert [last for _, _, last in told(steps)] == [False] * 11 + [True]


async def test_a_walk_over_each_id_goes_on_from_any_page_and_asks_nothing_twice() -> None:
    whole = await each_of([1, 3, 4, 5])
    for number in range(1, len(whole)):
        first = await each_of([1, 3, 4, 5], most=number)
        rest = await each_of([1, 3, 4, 5], cursor=position(first))
        assert told(first + rest) == told(whole)


@pytest.mark.parametrize(
    ("anew", "rest"),
    [
        ([1, 2, 3, 5], ["/reports/3"] * 4 + ["/reports/5"] * 3),
        ([1, 2, 5], ["/reports/5"] * 3),  # the id that it stood in is gone: no other is asked from that place on
        ([1, 2], []),
    ],
    ids=str,
)
async def test_a_walk_within_an_id_goes_on_there_where_they_were_read_anew(anew: list[Id], rest: list[str]) -> None:
    within = await each_of([1, 3], most=4)  # a page of id 3
    steps = await each_of(anew, cursor=position(within))
    assert [path for path, _, _ in told(steps)] == rest
    assert isinstance(steps[-1], Page | Mark)
    assert steps[-1].last


async def test_what_is_remembered_or_set_aside_within_an_id_is_so_within_the_walk_over_all() -> None:
    answer = Answer(
        request=Request(method="GET", host="api.test", path="/"), status=200, headers={}, body=b"", fetched_at=NOW
    )
    error = Malformed("odd", answer)

    async def inner(_: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = (walk.cursor or {"at": 0})["at"]
        steps: list[Step] = [
            Mark({"at": 1}),
            Skip(error, {"at": 2}),
            Page(answer=answer, records=1, cursor={"at": 3}, declared_total=1),
            Mark({"at": 4}, last=True),
        ]
        for step in islice(steps, at, None):
            yield step

    walk = replace(WALK, ids=["a", "b"])

    async def steps_from(cursor: dict[str, object] | None) -> list[Step]:
        return [step async for step in for_each_id(inner)(_never, replace(walk, cursor=cursor))]

    whole = await steps_from(None)
    assert whole == [
        *_within("a", answer, error),
        Mark({"after": "a"}),
        *_within("b", answer, error),
        Mark({"after": "b"}, last=True),
    ]
    for number in range(1, len(whole)):
        assert await steps_from(position(whole[:number])) == whole[number:]


def _within(one: Id, answer: Answer, error: Malformed) -> list[Step]:
    return [
        Mark({"id": one, "within": {"at": 1}}),
        Skip(error, {"id": one, "within": {"at": 2}}),
        Page(answer=answer, records=1, cursor={"id": one, "within": {"at": 3}}),  # the total is of one id
    ]


async def _never(request: Request) -> Answer:
    raise AssertionError(request)

"""Asking for the ids that other streams listed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.fanout import by_ids
from collectors.paging import post
from collectors.stream import Answer, Id, Mark, Page, Request, Step
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

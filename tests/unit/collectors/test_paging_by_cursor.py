"""Cursors, last ids and page tokens: handed back until the API says that there is no more."""

from __future__ import annotations

import json

import pytest

from collectors.errors import Malformed, NoProgress
from collectors.paging import by_cursor, get
from tests.unit.collectors.scripted import Script, assert_resumes, gathered, pages_of

ASK = get("api.test", "/rows", lambda _, at: {"cursor": at["cursor"] or None})
HAS_NEXT = by_cursor(ASK, rows="rows", following="next", more="has_next")
LAST_ID = by_cursor(ASK, rows="rows", following="next", total="total")
TOKEN = by_cursor(ASK, rows="result.rows", following="result.paging.token", empty_ends=False)


def page(*rows: int, **values: object) -> bytes:
    return json.dumps({"rows": rows, **values}).encode()


async def test_a_cursor_may_be_a_number_which_is_zero_at_first_and_in_the_end() -> None:
    numbered = by_cursor(
        get("api.test", "/rows", lambda _, at: {"next": at["cursor"]}), rows="rows", following="next", first=0
    )
    script = Script([page(1, next=10), page(2, next=20), page(next=0)])
    pages = await pages_of(numbered, script)
    assert script.said == [{"next": 0}, {"next": 10}, {"next": 20}]
    assert [found.last for found in pages] == [False, False, True]
    await assert_resumes(numbered, [page(1, next=10), page(2, next=20), page(next=0)])
    _, error = await gathered(numbered, Script([page(1, next="10")]))
    assert isinstance(error, Malformed)


def token(*rows: int, following: str | None = None) -> bytes:
    paging = {} if following is None else {"token": following}
    return json.dumps({"result": {"rows": rows, "paging": paging}}).encode()


async def test_with_has_next_the_flag_alone_decides() -> None:
    script = Script(
        [page(1, next="a", has_next=True), page(next="b", has_next=True), page(2, next="c", has_next=False)]
    )
    pages = await pages_of(HAS_NEXT, script)
    assert script.said == [{}, {"cursor": "a"}, {"cursor": "b"}]
    assert [found.last for found in pages] == [False, False, True]


@pytest.mark.parametrize("end", [page(next="c", total=3), page(next="", total=3), page(3, next="", total=3)])
async def test_a_last_id_ends_with_an_empty_page_or_an_empty_id(end: bytes) -> None:
    script = Script([page(1, 2, next="b", total=3), end])
    pages = await pages_of(LAST_ID, script)
    assert [found.last for found in pages] == [False, True]
    assert [found.declared_total for found in pages] == [3, 3]


async def test_a_missing_token_ends_the_walk_and_an_empty_page_does_not() -> None:
    script = Script([token(1, following="a"), token(following="b"), token(2)])
    pages = await pages_of(TOKEN, script)
    assert [found.records for found in pages] == [1, 0, 1]
    assert [found.last for found in pages] == [False, False, True]


async def test_it_goes_on_from_any_page() -> None:
    await assert_resumes(HAS_NEXT, [page(1, next="a", has_next=True), page(2, next="b", has_next=False)])
    await assert_resumes(LAST_ID, [page(n, next=str(n), total=4) for n in range(4)] + [page(next="", total=4)])
    await assert_resumes(TOKEN, [token(1, following="a"), token(2, following="b"), token(3)])


async def test_no_cursor_although_there_is_more_is_a_fault() -> None:
    end = page(2, next="", has_next=True)
    pages, error = await gathered(HAS_NEXT, Script([page(1, next="a", has_next=True), end]))
    assert len(pages) == 1
    assert isinstance(error, NoProgress)
    assert error.answer.body == end


@pytest.mark.parametrize(
    "moved",
    [
        json.dumps({"result": {"rows": [], "next": "a", "has_next": False}}).encode(),
        page(1, next="a"),
        page(1, next="a", has_next=None),
        page(1, next=7, has_next=True),
        page(1, next={"id": 1}, has_next=True),
        b'{"rows":"none","has_next":false}',
    ],
)
async def test_an_envelope_that_moved_is_malformed_and_yields_nothing(moved: bytes) -> None:
    pages, error = await gathered(HAS_NEXT, Script([moved]))
    assert pages == []
    assert isinstance(error, Malformed)


async def test_a_declared_total_must_be_there_once_it_is_promised() -> None:
    pages, error = await gathered(LAST_ID, Script([page(1, next="a")]))
    assert pages == []
    assert isinstance(error, Malformed)

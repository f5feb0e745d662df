"""Offsets: on until an empty page, perhaps in a pinned snapshot, perhaps not deeper than the API lets."""

from __future__ import annotations

import pytest

from collectors.errors import Malformed, NoProgress, SplitWindow
from collectors.paging import by_offset, get
from tests.unit.collectors.scripted import Script, Scripted, assert_resumes, gathered, pages_of, walk_from

ASK = get("api.test", "/rows")
PLAIN = by_offset(ASK, rows="")
PINNED = by_offset(ASK, rows="rows", pinned="at", pin_as="snapshot")
SHALLOW = by_offset(ASK, rows="", deepest=3)
TWO, ONE, NONE = b"[1,2]", b"[3]", b"[]"


async def test_only_an_empty_page_ends_the_walk_not_a_short_one() -> None:
    script = Script([TWO, ONE, b"[4,5]", NONE])
    pages = await pages_of(PLAIN, script)
    assert script.said == [{"offset": 0}, {"offset": 2}, {"offset": 3}, {"offset": 5}]
    assert [page.records for page in pages] == [2, 1, 2, 0]
    assert [page.last for page in pages] == [False, False, False, True]
    assert [page.worth_storing for page in pages] == [True, True, True, False]


async def test_a_list_that_is_empty_from_the_beginning_is_one_last_page() -> None:
    (page,) = await pages_of(PLAIN, Script([NONE]))
    assert page.last
    assert page.records == 0


async def test_a_snapshot_is_pinned_from_the_second_page_on_with_what_the_first_said() -> None:
    script = Script([b'{"at":"noon","rows":[1]}', b'{"at":"later","rows":[2]}', b'{"at":"later","rows":[]}'])
    await pages_of(PINNED, script)
    assert script.said == [
        {"offset": 0},
        {"offset": 1, "snapshot": "noon"},
        {"offset": 2, "snapshot": "noon"},
    ]


@pytest.mark.parametrize("body", [b'{"rows":[1]}', b'{"at":null,"rows":[1]}', b'{"at":7,"rows":[1]}'])
async def test_a_snapshot_without_its_time_is_malformed(body: bytes) -> None:
    pages, error = await gathered(PINNED, Script([body]))
    assert pages == []
    assert isinstance(error, Malformed)


async def test_beyond_what_the_api_lets_the_window_is_split() -> None:
    script = Script([TWO, ONE, b"[4]"])
    pages, error = await gathered(SHALLOW, script)
    assert [page.cursor for page in pages] == [{"offset": 2}, {"offset": 3}, {"offset": 4}]
    assert isinstance(error, SplitWindow)
    assert script.said[-1] == {"offset": 3}, "the deepest offset may be asked for"


async def test_it_goes_on_from_any_page() -> None:
    await assert_resumes(PLAIN, [TWO, ONE, b"[4]", NONE])
    await assert_resumes(PINNED, [b'{"at":"noon","rows":[1]}', b'{"at":"noon","rows":[2]}', b'{"at":"x","rows":[]}'])


async def test_an_api_that_ignores_the_offset_is_noticed() -> None:
    pages, error = await gathered(PLAIN, Script([TWO, TWO]))
    assert len(pages) == 1
    assert isinstance(error, NoProgress)


@pytest.mark.parametrize("answer", [b"{}", b'{"rows":[]}', b"null", b"", b"<html>", b'{"error":true,"data":null}'])
async def test_an_answer_without_rows_is_no_empty_page(answer: Scripted) -> None:
    pages, error = await gathered(PLAIN, Script([TWO, answer]))
    assert len(pages) == 1
    assert isinstance(error, Malformed)


async def test_a_cursor_is_a_copy_that_later_pages_do_not_change() -> None:
    pages = await pages_of(PLAIN, Script([TWO, ONE, NONE]), walk_from({"offset": 10}))
    assert [page.cursor for page in pages] == [{"offset": 12}, {"offset": 13}, {"offset": 13}]

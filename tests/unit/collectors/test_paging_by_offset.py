"""Offsets: on until an empty page, perhaps in a pinned snapshot, perhaps not deeper than the API lets."""

from __future__ import annotations

import dataclasses

import pytest

from collectors.errors import Malformed, RequestRefused, SplitWindow
from collectors.paging import by_offset, get
from collectors.stream import Page, Skip
from tests.unit.collectors.scripted import Script, Scripted, answer_of, assert_resumes, gathered, pages_of, walk_from

ASK = get("api.test", "/rows", lambda _, at: {name: value for name, value in at.items() if name != "limit"})
PLAIN = by_offset(ASK, rows="", size=10)
PINNED = by_offset(ASK, rows="rows", size=10, pinned="at", pin_as="snapshot")
SHALLOW = by_offset(ASK, rows="", size=10, deepest=3)
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


async def test_204_is_an_empty_page() -> None:
    for paging in (PLAIN, PINNED):
        first = TWO if paging is PLAIN else b'{"at":"noon","rows":[1,2]}'
        endings: tuple[list[Scripted], ...] = ([first, (204, b"")], [(204, b"")])
        for answers in endings:
            *_, page = await pages_of(paging, Script(answers))
            assert (page.records, page.last) == (0, True)


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
    assert [page.cursor["offset"] for page in pages] == [2, 3, 4]
    assert isinstance(error, SplitWindow)
    assert script.said[-1] == {"offset": 3}, "the deepest offset may be asked for"


async def test_it_goes_on_from_any_page() -> None:
    await assert_resumes(PLAIN, [TWO, ONE, b"[4]", NONE])
    await assert_resumes(PINNED, [b'{"at":"noon","rows":[1]}', b'{"at":"noon","rows":[2]}', b'{"at":"x","rows":[]}'])


async def test_the_page_is_as_large_as_it_may_be_and_halved_as_often_as_the_walk_was_told() -> None:
    sized = by_offset(get("api.test", "/rows"), rows="", size=10)
    for smaller, limit in ((0, 10), (1, 5), (2, 2), (9, 1)):
        script = Script([NONE])
        await pages_of(sized, script, dataclasses.replace(walk_from(None), smaller=smaller))
        assert script.said == [{"offset": 0, "limit": limit}]


BAD = [b"{}", b'{"rows":[]}', b"null", b"", b"<html>", b'{"error":true,"data":null}']


@pytest.mark.parametrize("bad", [*BAD, RequestRefused("odd", answer_of(b""))])
async def test_a_page_that_is_refused_is_skipped_by_the_size_of_those_before_it(bad: Scripted) -> None:
    script = Script([TWO, bad, ONE, NONE])
    steps, error = await gathered(PLAIN, script)
    assert error is None
    assert [type(step) for step in steps] == [Page, Skip, Page, Page]
    assert script.said == [{"offset": 0}, {"offset": 2}, {"offset": 4}, {"offset": 5}]


async def test_before_any_page_was_seen_it_is_as_large_as_was_asked_for() -> None:
    script = Script([b"null", NONE])
    await gathered(PLAIN, script)
    assert script.said == [{"offset": 0}, {"offset": 10}]


async def test_two_refused_pages_in_a_row_stop_the_walk_also_in_another_run() -> None:
    steps, error = await gathered(PLAIN, Script([TWO, b"null", b"{}"]))
    assert isinstance(error, Malformed)
    assert error.answer.body == b"{}"
    resumed = Script([b"{}"])
    assert isinstance((await gathered(PLAIN, resumed, walk_from(steps[-1].cursor)))[1], Malformed)
    assert resumed.said == [{"offset": 4}]


async def test_every_other_page_may_be_refused() -> None:
    steps, error = await gathered(PLAIN, Script([b"null", TWO, b"null", TWO, NONE]))
    assert error is None
    places = [(step.cursor["offset"], "refused" in step.cursor) for step in steps]
    assert places == [(10, True), (12, False), (14, True), (16, False), (16, False)]


async def test_a_snapshot_whose_time_is_not_known_yet_cannot_go_on() -> None:
    steps, error = await gathered(PINNED, Script([b"null"]))
    assert steps == []
    assert isinstance(error, Malformed)
    steps, error = await gathered(PINNED, Script([b'{"at":"noon","rows":[1]}', b"null", b'{"at":"x","rows":[]}']))
    assert error is None
    assert steps[1].cursor == {"offset": 2, "snapshot": "noon", "refused": True}


async def test_a_cursor_is_a_copy_that_later_pages_do_not_change() -> None:
    pages = await pages_of(PLAIN, Script([TWO, ONE, NONE]), walk_from({"offset": 10}))
    assert [page.cursor["offset"] for page in pages] == [12, 13, 13]


async def test_a_row_that_comes_again_behind_the_border_of_a_page_tells_that_rows_moved() -> None:
    script = Script([b"[1,2]", b"[9,2,3]", b"[4,5]", b"[4]", NONE])
    pages = await pages_of(PLAIN, script)
    assert [page.shifted for page in pages] == [False, True, False, False, False]
    places = [{"offset": offset} for offset in (0, 2, 5, 7, 8)]
    assert script.said == places, "what it remembers is not asked for"


async def test_a_border_is_remembered_by_the_next_run() -> None:
    first = (await pages_of(PLAIN, Script([TWO, NONE])))[0]
    again = await pages_of(PLAIN, Script([b"[2,3]", NONE]), walk_from(first.cursor))
    assert again[0].shifted


async def test_a_total_is_told_with_each_page_and_has_to_be_there() -> None:
    counted = by_offset(ASK, rows="rows", size=10, total="total")
    pages = await pages_of(counted, Script([b'{"rows":[1],"total":2}', b'{"rows":[2],"total":3}', (204, b"")]))
    assert [page.declared_total for page in pages] == [2, 3, None]
    _, error = await gathered(counted, Script([b'{"rows":[1]}'] * 2))
    assert isinstance(error, Malformed)

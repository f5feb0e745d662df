"""Rows beyond the last one's number, until 204 or an empty page."""

from __future__ import annotations

import pytest

from collectors.errors import Malformed, NoProgress
from collectors.paging import by_last_row, get
from tests.unit.collectors.scripted import Script, Scripted, assert_resumes, gathered, pages_of

PAGES = by_last_row(get("api.test", "/rows"), rows="", field="rrdId")
FIRST, SECOND = b'[{"rrdId":3},{"rrdId":9007199254740995}]', b'[{"rrdId":9007199254740997}]'
END: Scripted = (204, b"")


@pytest.mark.parametrize("end", [END, b"[]"], ids=["204", "empty page"])
async def test_it_ends_with_204_or_an_empty_page(end: Scripted) -> None:
    script = Script([FIRST, SECOND, end])
    pages = await pages_of(PAGES, script)
    assert script.said == [{"after": 0}, {"after": 9007199254740995}, {"after": 9007199254740997}]
    assert [page.records for page in pages] == [2, 1, 0]
    assert [page.last for page in pages] == [False, False, True]
    assert not pages[-1].worth_storing


async def test_it_goes_on_from_any_page() -> None:
    await assert_resumes(PAGES, [FIRST, SECOND, END])


@pytest.mark.parametrize("again", [FIRST, b'[{"rrdId":3}]', b'[{"rrdId":9},{"rrdId":-1}]'])
async def test_rows_that_do_not_go_on_are_a_fault(again: bytes) -> None:
    pages, error = await gathered(PAGES, Script([FIRST, again]))
    assert len(pages) == 1
    assert isinstance(error, NoProgress)


@pytest.mark.parametrize(
    "moved", [b'{"rows":[]}', b"null", b"", b'[{"rrd_id":3}]', b'[{"rrdId":"3"}]', b'[{"rrdId":3},null]']
)
async def test_what_cannot_be_paged_is_malformed(moved: bytes) -> None:
    pages, error = await gathered(PAGES, Script([moved]))
    assert pages == []
    assert isinstance(error, Malformed)


async def test_an_odd_row_before_the_last_stops_nothing() -> None:
    pages = await pages_of(PAGES, Script([b'[{"rrdId":1,"sum":NaN},{"odd":1},{"rrdId":2}]', END]))
    assert [page.cursor for page in pages] == [{"after": 2}, {"after": 2}]


async def test_it_ends_where_the_answer_says_that_there_is_no_more() -> None:
    pages = by_last_row(get("api.test", "/rows"), rows="rows", field="id", more="has_next", quoted=True)
    answers = [b'{"rows":[{"id":"1000015552"}],"has_next":true}', b'{"rows":[{"id":1000015553}],"has_next":false}']
    script = Script(answers)
    found = await pages_of(pages, script)
    assert script.said == [{"after": 0}, {"after": 1000015552}]
    assert [page.last for page in found] == [False, True]
    await assert_resumes(pages, answers)


@pytest.mark.parametrize("moved", [b'{"rows":[{"id":1}]}', b'{"rows":[{"id":"one"}],"has_next":true}'])
async def test_a_number_that_may_be_quoted_is_still_a_number(moved: bytes) -> None:
    pages = by_last_row(get("api.test", "/rows"), rows="rows", field="id", more="has_next", quoted=True)
    _, error = await gathered(pages, Script([moved]))
    assert isinstance(error, Malformed)

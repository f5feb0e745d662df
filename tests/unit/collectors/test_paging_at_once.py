"""What is one answer: a whole list, or one record."""

from __future__ import annotations

import pytest

from collectors.errors import Malformed
from collectors.paging import at_once, get, one_record
from tests.unit.collectors.scripted import Script, Scripted, gathered, pages_of

ASK = get("api.test", "/rows", lambda _, __: {"day": "today"})
LIST = at_once(ASK, rows="rows")
COUNTED = at_once(ASK, rows="rows", count="all")
RECORD = one_record(ASK, field="id", kind=str)


async def test_one_answer_is_all_there_is() -> None:
    script = Script([b'{"rows":[1,2]}'])
    (page,) = await pages_of(LIST, script)
    assert script.said == [{"day": "today"}]
    assert (page.records, page.last, dict(page.cursor)) == (2, True, {})


@pytest.mark.parametrize("answer", [(204, b""), b'{"rows":[]}', b'{"rows":null,"all":0}', b'{"all":0}'])
async def test_nothing_is_said_by_204_by_an_empty_list_or_by_a_count_of_zero(answer: Scripted) -> None:
    pages = await pages_of(COUNTED if b"all" in str(answer).encode() else LIST, Script([answer]))
    assert [(page.records, page.last, page.worth_storing) for page in pages] == [(0, True, False)]


@pytest.mark.parametrize("body", [b'{"rows":null,"all":3}', b'{"all":3}', b'{"rows":[1]}', b'{"rows":[1],"all":"1"}'])
async def test_rows_that_are_not_where_their_count_says_are_malformed(body: bytes) -> None:
    pages, error = await gathered(COUNTED, Script([body]))
    assert pages == []
    assert isinstance(error, Malformed)


@pytest.mark.parametrize("body", [b'{"rows":null}', b"{}", b"[]", b""])
async def test_a_list_that_moved_is_malformed(body: bytes) -> None:
    _, error = await gathered(LIST, Script([body]))
    assert isinstance(error, Malformed)


async def test_a_record_is_known_by_its_field() -> None:
    (page,) = await pages_of(RECORD, Script([b'{"id":"a","name":"b"}']))
    assert (page.records, page.last) == (1, True)
    for body in (b'{"name":"b"}', b'{"id":7}', b"[]"):
        _, error = await gathered(RECORD, Script([body]))
        assert isinstance(error, Malformed)

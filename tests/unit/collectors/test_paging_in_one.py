"""Answers that are all there is."""

from __future__ import annotations

import pytest

from collectors.errors import Malformed
from collectors.paging import get, in_one
from tests.unit.collectors.scripted import Script, gathered, pages_of


async def test_the_rows_of_one_answer_are_all_there_is() -> None:
    (page,) = await pages_of(
        in_one(get("api.test", "/rows"), rows="result.rows"), Script([b'{"result":{"rows":[1,2]}}'])
    )
    assert (page.records, page.last) == (2, True)


async def test_an_answer_without_rows_is_counted_and_not_stored() -> None:
    (page,) = await pages_of(in_one(get("api.test", "/rows"), rows="rows"), Script([b'{"rows":[]}']))
    assert (page.worth_storing, page.last) == (False, True)


async def test_an_answer_may_be_one_record_itself() -> None:
    body = b'{"company":{},"subscription":{"type":"PREMIUM"}}'
    (page,) = await pages_of(in_one(get("api.test", "/info"), holds="subscription"), Script([body]))
    assert (page.records, page.last) == (1, True)


@pytest.mark.parametrize("moved", [b"{}", b'{"result":{"subscription":{}}}', b'{"subscription":[]}', b"[]"])
async def test_a_record_that_moved_is_malformed(moved: bytes) -> None:
    found, error = await gathered(in_one(get("api.test", "/info"), holds="subscription"), Script([moved]))
    assert found == []
    assert isinstance(error, Malformed)

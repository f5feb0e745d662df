"""A key of several fields that each answer repeats; an empty page ends the walk and keeps the key."""

from __future__ import annotations

import json

import pytest

from collectors.errors import Malformed
from collectors.paging import by_keyset, get
from tests.unit.collectors.scripted import WINDOW, Script, assert_resumes, gathered, pages_of, walk_from

PAGES = by_keyset(
    get("api.test", "/rows"),
    rows="cards",
    at={"updatedAt": ("cursor.updatedAt", str), "nmID": ("cursor.nmID", int)},
    begin=lambda since: {"updatedAt": f"{since:%Y-%m-%d}", "nmID": 0},
)
NOTHING = b'{"cards":[],"cursor":{"total":0}}'


def cards(at: str, number: int, *rows: int) -> bytes:
    cursor = {"updatedAt": at, "nmID": number, "total": len(rows)}
    return json.dumps({"cards": rows or (number,), "cursor": cursor}).encode()


async def test_the_key_of_each_answer_is_asked_for_next_and_kept_at_the_end() -> None:
    script = Script([cards("b", 5), cards("b", 9), NOTHING])
    pages = await pages_of(PAGES, script)
    assert script.said == [
        {"updatedAt": "2026-08-22", "nmID": 0},
        {"updatedAt": "b", "nmID": 5},
        {"updatedAt": "b", "nmID": 9},
    ]
    assert pages[-1].last
    assert pages[-1].cursor == {"updatedAt": "b", "nmID": 9}, "the next run goes on from here"


async def test_a_backfill_begins_with_its_window() -> None:
    script = Script([NOTHING])
    await pages_of(PAGES, script, walk_from(None, window=WINDOW))
    assert script.said == [{"updatedAt": "2026-11-01", "nmID": 0}]


async def test_it_goes_on_from_any_page_and_from_the_last() -> None:
    answers = [cards("b", 5), cards("c", 2), NOTHING]
    await assert_resumes(PAGES, answers)
    last = (await pages_of(PAGES, Script(answers)))[-1]
    later = Script([cards("d", 1), NOTHING])
    assert [page.records for page in await pages_of(PAGES, later, walk_from(last.cursor))] == [1, 0]
    assert later.said[0] == {"updatedAt": "c", "nmID": 2}


@pytest.mark.parametrize(
    "moved",
    [
        b'{"cards":[{}]}',
        b'{"cards":[{}],"cursor":{"updatedAt":"b"}}',
        b'{"cards":[{}],"cursor":{"updatedAt":"b","nmID":"5"}}',
        b'{"cards":[{}],"cursor":{"updatedAt":null,"nmID":5}}',
        b'{"data":{"cards":[]},"cursor":{"updatedAt":"b","nmID":5}}',
    ],
)
async def test_a_page_without_its_key_is_malformed(moved: bytes) -> None:
    pages, error = await gathered(PAGES, Script([moved]))
    assert pages == []
    assert isinstance(error, Malformed)

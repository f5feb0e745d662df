"""An inclusive watermark: the rows at the bound come again, and whether that is news is told from what they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed, NoProgress
from collectors.paging import by_watermark, get
from collectors.stream import Answer, Page, Request
from tests.unit.collectors.scripted import (
    WINDOW,
    Script,
    answer_of,
    assert_resumes,
    gathered,
    pages_of,
    walk_from,
)

FULL = 4
PAGES = by_watermark(
    get("api.test", "/rows", lambda _, at: {"since": at["since"]}),
    rows="",
    field="at",
    full=FULL,
    begin=lambda since: f"{since:%Y-%m-%dT%H}",
    passed=lambda since, end: datetime.fromisoformat(since).replace(tzinfo=UTC) >= end,
)
BEGINNING = "2026-08-22T12"


def rows(*given: str) -> bytes:
    """Rows from texts such as "02 a": changed at 02, named a."""
    return json.dumps([{"at": f"2026-11-{text[:2]}", "id": text[3:]} for text in given]).encode()


FIRST = rows("01 a", "02 b")


async def only_page(cursor_of: Page, answer: bytes) -> Page:
    (page,) = await pages_of(PAGES, Script([answer]), walk_from(cursor_of.cursor))
    return page


async def test_it_asks_at_the_last_row_until_an_empty_page() -> None:
    script = Script([FIRST, rows("02 b", "03 c"), b"[]"])
    pages = await pages_of(PAGES, script)
    assert script.said == [{"since": BEGINNING}, {"since": "2026-11-02"}, {"since": "2026-11-03"}]
    assert [page.last for page in pages] == [False, False, True]
    assert [page.worth_storing for page in pages] == [True, True, False]


async def test_the_same_rows_at_the_bound_again_end_the_walk_and_are_not_new() -> None:
    pages = await pages_of(PAGES, Script([FIRST, rows("02 b")]))
    assert (pages[-1].last, pages[-1].new, pages[-1].worth_storing) == (True, False, False)
    assert pages[-1].cursor == pages[0].cursor


async def test_rows_at_the_bound_in_another_order_are_not_new() -> None:
    pages = await pages_of(PAGES, Script([rows("01 a", "02 b", "02 c"), rows("02 c", "02 b")]))
    assert not pages[-1].new


async def test_another_row_with_the_timestamp_of_the_bound_is_new_once() -> None:
    _, more = await pages_of(PAGES, Script([FIRST, rows("02 b", "02 c")]))
    assert (more.last, more.new, more.worth_storing) == (True, True, True)
    assert not (await only_page(more, rows("02 b", "02 c"))).new


async def test_a_row_at_the_bound_that_was_rewritten_is_new() -> None:
    (first, _) = await pages_of(PAGES, Script([FIRST, b"[]"]))
    assert (await only_page(first, rows("02 B"))).new


async def test_the_next_run_asks_at_the_bound_and_finds_what_came_since() -> None:
    pages = await pages_of(PAGES, Script([FIRST, b"[]"]))
    script = Script([rows("02 b", "03 c"), b"[]"])
    later = await pages_of(PAGES, script, walk_from(pages[-1].cursor))
    assert script.said[0] == {"since": "2026-11-02"}
    assert later[0].new


async def test_an_account_without_rows_is_up_to_date_at_once() -> None:
    (page,) = await pages_of(PAGES, Script([b"[]"]))
    assert page.last
    assert page.cursor == {"since": BEGINNING, "seen": None}


async def test_it_goes_on_from_any_page() -> None:
    await assert_resumes(PAGES, [FIRST, rows("02 b", "02 c", "03 d"), rows("03 d")])
    await assert_resumes(PAGES, [FIRST, rows("02 b", "03 d"), b"[]"])


@pytest.mark.parametrize("cursor", [None, {"since": "2026-11-02", "seen": "x"}])
async def test_a_full_page_of_rows_at_the_bound_is_a_fault(cursor: dict[str, str] | None) -> None:
    full = [rows("02 a", "02 b", "02 c", "02 d")] * (1 if cursor else 2)
    pages, error = await gathered(PAGES, Script(full), walk_from(cursor))
    assert len(pages) == len(full) - 1, "what leads to the bound is kept"
    assert isinstance(error, NoProgress)
    assert "full page" in str(error)


@pytest.mark.parametrize("unsorted", [rows("01 x", "02 b"), rows("03 c", "02 b"), rows("03 c", "01 a")])
async def test_rows_that_are_not_in_order_are_a_fault(unsorted: bytes) -> None:
    pages, error = await gathered(PAGES, Script([FIRST, unsorted]))
    assert len(pages) == 1
    assert isinstance(error, NoProgress)


@pytest.mark.parametrize(
    "moved", [b"null", b'{"rows":[]}', b'[{"id":1}]', b'[{"at":7}]', b'[{"at":null}]', b'[{"at":"2026-11-01"},7]']
)
async def test_what_cannot_be_paged_is_malformed(moved: bytes) -> None:
    pages, error = await gathered(PAGES, Script([moved]))
    assert pages == []
    assert isinstance(error, Malformed)


async def test_a_backfill_begins_with_its_window_and_ends_behind_it() -> None:
    script = Script([rows("01 a", "07 b"), rows("07 b", "08 c", "09 d")])
    pages = await pages_of(PAGES, script, walk_from(None, window=WINDOW))
    assert script.said == [{"since": "2026-11-01T00"}, {"since": "2026-11-07"}]
    assert [page.last for page in pages] == [False, True]


async def test_a_bound_that_is_no_time_is_malformed_where_a_window_has_to_end() -> None:
    pages, error = await gathered(PAGES, Script([b'[{"at":"soon"}]']), walk_from(None, window=WINDOW))
    assert pages == []
    assert isinstance(error, Malformed)


@given(
    st.lists(st.integers(10, 19), max_size=30),
    st.integers(1, 6),
    st.booleans(),
    st.lists(st.integers(19, 22), max_size=6),
)
async def test_whatever_the_ties_and_the_page_size_every_row_is_brought(
    days: list[int], size: int, repeats: bool, added: list[int]
) -> None:
    """Both forms of the end are played. Only the one that repeats can tell of a late row with the bound's timestamp."""
    pages = by_watermark(
        get("api.test", "/rows", lambda _, at: {"since": at["since"]}),
        rows="",
        field="at",
        full=80_000,
        begin=lambda _: "2026-11-01",
        passed=lambda _, __: False,
    )
    table = [(day, number) for number, day in enumerate(sorted(days))]

    async def fetch(request: Request) -> Answer:
        return answer_of(_page_at(table, str(request.query["since"]), size=size, repeats=repeats))

    stored = [page async for page in pages(fetch, walk_from(None)) if isinstance(page, Page)]
    table += [(day, 100 + number) for number, day in enumerate(sorted(added)) if repeats or day > 19]
    table.sort()
    stored += [page async for page in pages(fetch, walk_from(stored[-1].cursor)) if isinstance(page, Page)]
    held = {(row["at"], row["id"]) for page in stored if page.worth_storing for row in json.loads(page.answer.body)}
    assert held == {(f"2026-11-{day}", number) for day, number in table}
    (idle,) = [page async for page in pages(fetch, walk_from(stored[-1].cursor)) if isinstance(page, Page)]
    assert not idle.worth_storing


def _page_at(table: Sequence[tuple[int, int]], since: str, *, size: int, repeats: bool) -> bytes:
    """Answer as the vendor does: rows at or after, cut silently, but never to less than one row beyond the bound."""
    found = [{"at": f"2026-11-{day}", "id": number} for day, number in table if f"2026-11-{day}" >= since]
    boundary = sum(row["at"] == since for row in found)
    end = max(size, boundary + 1)
    if not repeats:
        if boundary == len(found):
            return b"[]"
        if found[end:] and found[end - 1]["at"] == found[-1]["at"]:
            end = len(found)
    return json.dumps(found[:end]).encode()

"""Ids of many pages, put in order."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from worker.db.ids import Ids

NUMBERS = st.lists(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 40), max_size=30), max_size=8)
TEXTS = st.lists(st.lists(st.text("ab1-", max_size=3), max_size=30), max_size=8)


@given(pages=NUMBERS | TEXTS, few=st.integers(0, 20))
def test_ids_come_ascending_and_each_once_however_the_pages_cut_them(pages: list[list[int | str]], few: int) -> None:
    ids = Ids(few)
    for page in pages:
        ids.add(lambda _, page=page: page, b"")  # type: ignore[misc]
    assert list(ids.sorted()) == sorted({one for page in pages for one in page})


def test_numbers_are_kept_in_eight_bytes_each() -> None:
    ids = Ids()
    for start in range(0, 200_000, 1000):
        ids.add(lambda _, start=start: range(start, start + 1000), b"")  # type: ignore[misc]
    assert sys.getsizeof(ids.sorted()) < 200_000 * 10

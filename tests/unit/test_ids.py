"""Ids of many pages, put in order."""

from __future__ import annotations

import sys
from array import array
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from worker.db.ids import Ids
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId
from worker.kept_ids import KeptIds

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


WALK, NEXT = UUID(int=1), UUID(int=2)
SLICES = [
    SliceKey(organization_id=OrganizationId(WALK), account_id=AccountId(WALK), marketplace="ozon", stream=name)
    for name in "abc"
]
THOUSAND = array("q", range(1000))


def test_the_ids_of_walks_are_kept_within_bounds_those_used_last_longest() -> None:
    kept = KeptIds(most=2 * sys.getsizeof(THOUSAND))
    for key in SLICES[:2]:
        kept.keep(key, WALK, THOUSAND)
    assert kept.of(SLICES[0], WALK) is THOUSAND
    kept.keep(SLICES[2], WALK, THOUSAND)
    assert [kept.of(key, WALK) is not None for key in SLICES] == [True, False, True]
    kept.keep(SLICES[1], WALK, [str(one) for one in range(1000)])
    assert kept.of(SLICES[1], WALK) is None, "texts are larger than the list of them"
    assert kept.size == 2 * sys.getsizeof(THOUSAND)


def test_ids_are_those_of_one_walk_and_gone_with_it() -> None:
    kept = KeptIds()
    kept.keep(SLICES[0], WALK, THOUSAND)
    assert kept.of(SLICES[0], NEXT) is None
    kept.keep(SLICES[0], NEXT, THOUSAND)
    assert kept.of(SLICES[0], WALK) is None
    kept.forget(SLICES[0])
    assert kept.size == 0

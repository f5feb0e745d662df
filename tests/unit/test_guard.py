"""The guard beside the loop: what goes on is let alone for ever, what does not is found, however long the circle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from collectors.errors import Malformed, NoProgress, Unacceptable
from collectors.registry import STREAMS
from collectors.stream import Cursor, Mark, Page
from tests.unit.collectors.scripted import NOW, answer_of
from worker import guard
from worker.batch import Batch
from worker.db.position import OpenWalk, Position, decode, encode

SNAPSHOT = STREAMS["ozon"]["products"]
WATERMARK = STREAMS["wildberries"]["cards"]
BEGUN = Position(walk=OpenWalk(id=uuid7(), started_at=NOW))


def page(at: object, *, body: str | None = None, **values: object) -> Page:
    """A page of one record whose body is like no other, unless that is given."""
    cursor: Cursor = {"cursor": at}
    body = json.dumps([repr(at), str(uuid7())]) if body is None else body
    known: dict[str, object] = {"answer": answer_of(body.encode()), "records": 1, "cursor": cursor}
    return Page(**{**known, **values})  # type: ignore[arg-type]  # what each is


def follow(pages: Iterable[Page | Mark], position: Position = BEGUN, *, every_run: bool = False) -> Position:
    """Add page after page, as the loop does; with `every_run`, each in a run of its own."""
    batch = Batch(SNAPSHOT if position.walk else WATERMARK, position)
    for step in pages:
        before = batch.position
        try:
            batch.add(step)
        except Unacceptable:
            assert batch.position is before, "it moved"
            raise
        if every_run:
            batch = Batch(SNAPSHOT, decode(encode(batch.position)))
    return batch.position


def stumbles_after(cursors: Sequence[object], *, every_run: bool = False) -> int:
    """Return how many pages were taken before the guard found that they come round again."""
    taken = 0

    def counted() -> Iterable[Page]:
        nonlocal taken
        for at in cursors:
            yield page(at)
            taken += 1

    with pytest.raises(NoProgress, match=r"come round again|is the one of this page"):
        follow(counted(), every_run=every_run)
    return taken


def test_a_cursor_that_stands_still_is_found_at_once() -> None:
    assert stumbles_after(["a", "b", "b", "b"]) == 2


@pytest.mark.parametrize("length", [1, 2, 3, 5, 64, 65, 1000])
@pytest.mark.parametrize("before", [0, 1, 2, 63, 100])
def test_a_circle_is_found_within_three_rounds(before: int, length: int) -> None:
    walked = [*range(before), *[before + number % length for number in range(4 * (before + length))]]
    assert stumbles_after(walked) <= 3 * (before + length)


def test_a_circle_is_found_although_every_page_is_a_run_of_its_own() -> None:
    assert stumbles_after([f"token {number % 7}" for number in range(40)], every_run=True) <= 21


@given(st.integers(0, 200), st.integers(1, 200))
def test_whatever_comes_round_again_is_found(before: int, length: int) -> None:
    walked = [*range(before), *[before + number % length for number in range(3 * (before + length))]]
    assert stumbles_after(walked) <= 3 * (before + length)


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 3)), unique=True, max_size=300), st.booleans())
def test_what_goes_on_is_never_stopped(cursors: list[tuple[str, int]], has_walk: bool) -> None:
    """Cursors that never come twice, empty pages and full ones; and then the walk's last page, whatever it says."""
    position = BEGUN if has_walk else Position()
    steps = [page(at, records=number) for number, at in enumerate(map(list, cursors))]
    position = follow(steps, position)
    assert len(encode(position)) < 500, "it does not grow with the walk"
    if cursors:
        follow([page(list(cursors[-1]), records=0, last=True)], position)


def test_what_is_remembered_does_not_grow_with_the_walk() -> None:
    position = follow(page(number) for number in range(5000))
    assert len(encode(position)) < 500


def test_a_page_may_come_twice_and_not_three_times() -> None:
    position = follow([page(1, body="[1]"), page(2, body="[1]"), page(3), page(4, body="[1]"), page(5, body="[1]")])
    with pytest.raises(NoProgress, match="the one before it, and the one before that") as caught:
        follow([page(6, body="[1]")], position)
    assert caught.value.answer.body == b"[1]"


def test_empty_pages_that_are_all_the_same_say_nothing() -> None:
    follow(page(number, body="[]", records=0) for number in range(50))


def test_an_idle_watermark_repeats_cursor_and_body_at_every_run() -> None:
    position = follow([page("noon")], Position())
    for _ in range(20):
        position = follow([page("noon", body="[]", records=0, last=True)], position)
    follow([page("one", body="[1]"), page("one", body="[1]", last=True, new=False)], position)


def test_a_watermark_that_was_up_to_date_begins_a_trail_anew() -> None:
    position = follow([page("a"), page("b"), page("b", last=True)], Position())
    assert position.trail == Position().trail


def test_marks_are_no_pages() -> None:
    polled = [Mark({"report": "7"}), Mark({}), Mark({"report": "7"}), Mark({}), Mark({"report": "7"})]
    follow([*polled, page("7", last=True)])


def test_two_walks_in_a_row_may_be_equal() -> None:
    walk = [page("a", body="[1]"), page("b", body="[2]"), page("b", body="[]", records=0, last=True)]
    for _ in range(3):
        assert follow(walk) == Position(current_since=NOW)


def test_pages_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_PAGES", 40)
    position = follow(page(number) for number in range(40))
    with pytest.raises(NoProgress, match="more than 40 pages and no end"):
        follow([page(40)], position)


def test_a_declared_total_says_how_many_pages_there_can_be() -> None:
    position = follow(
        [page(1, declared_total=100, records=10), *(page(n, declared_total=100, records=0) for n in range(2, 201))]
    )
    with pytest.raises(NoProgress, match="more than 200 pages"):
        follow([page(201, declared_total=100, records=0)], position)


@pytest.mark.parametrize("last", [True, False])
def test_more_records_than_were_declared_are_a_fault(last: bool) -> None:
    position = follow([page(1, records=6, declared_total=10), page(2, records=4, declared_total=10)])
    with pytest.raises(Malformed, match="11 records so far, although 10 were declared"):
        follow([page(3, declared_total=10, last=last)], position)


def test_a_walk_that_ends_before_its_total_is_not_complete() -> None:
    position = follow([page(1, records=6, declared_total=10)])
    with pytest.raises(Malformed, match="after 9 records of 10 that were declared"):
        follow([page(2, records=3, declared_total=10, last=True)], position)
    follow([page(2, records=4, declared_total=10, last=True)], position)


def test_a_total_that_changed_on_the_way_is_held_against_nothing() -> None:
    position = follow([page(1, records=6, declared_total=10), page(2, records=6, declared_total=11)])
    follow([page(3, records=0, declared_total=10, last=True)], position)


def test_a_total_says_nothing_of_rows_that_moved_from_page_to_page() -> None:
    """One came in and another went: the total is what it was, and a row is there twice."""
    position = follow([page(1, records=5, declared_total=10), page(2, records=6, declared_total=10, shifted=True)])
    assert position.walk is not None
    assert position.walk.total_changed
    follow([page(3, records=0, declared_total=10, last=True)], position)


def test_a_walk_that_skipped_pages_lacks_records_and_that_is_known() -> None:
    walk = msgspec.structs.replace(BEGUN.walk, skipped=1)  # type: ignore[type-var]
    follow([page(1, records=3, declared_total=10, last=True)], Position(walk=walk))


def test_a_position_of_an_earlier_release_can_be_gone_on_from() -> None:
    assert decode('{"cursor": {"cursor": "a"}, "walk": null, "pages": 3}').trail == Position().trail
    digest = hashlib.sha256(b"").digest()
    assert guard.trail_behind(page("b"), Position(cursor={"cursor": "a"}), None, digest=digest).pages == 1


def test_smaller_pages_are_asked_for_until_the_walk_ends() -> None:
    for begun in (Position(smaller=2), msgspec.structs.replace(BEGUN, smaller=2)):
        on_the_way = follow([page("a")], begun)
        assert on_the_way.smaller == 2
        assert follow([page("b", last=True)], on_the_way).smaller == 0

"""Paging: answers that are good one by one and lead nowhere."""

from sandbox.faults.answers import Act, Reply
from sandbox.faults.case import Answers, Blame, Case, Named, Reaction, Scene, Stored

_QUARANTINE = (Reaction.QUARANTINE,)


def _page(number: int, following: str, total: int | None = None) -> Act:
    told = b"" if total is None else b', "total": %d' % total
    return Reply(200, b'{"rows": [{"id": %d}], "next": "%s"%s}' % (number, following.encode(), told))


_SAME = Reply(200, b'{"rows": [{"id": 1}]}')
_END = Reply(200, b'{"rows": []}')

CASES = (
    Case(
        name="cursor-stands-still",
        what="there is more, says the answer, at the cursor that was asked for",
        plays=(Answers(_page(1, "a"), _page(2, "a")),),
        scene=Scene.PAGES,
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="cursor-cycles",
        what="cursors that come again: two, or many, by turns",
        plays=(
            Answers(*[_page(number, "ab"[number % 2]) for number in range(60)]),
            Answers(*[_page(number, "abcdefg"[number % 7]) for number in range(60)]),
        ),
        scene=Scene.PAGES,
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="page-twice",
        what="a page that is the one before it, once",
        plays=(Answers(_SAME, _SAME, _END),),
        scene=Scene.OFFSETS,
        stored=Stored.PAGE,
    ),
    Case(
        name="page-again-and-again",
        what="a page that is the one before it, twice in a row: the offset is ignored",
        plays=(Answers(_SAME),),
        scene=Scene.OFFSETS,
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="pages-without-end",
        what="ever new cursors: more pages than there can be, or than the declared total can fill",
        plays=(
            Named("tests/unit/test_guard.py::test_pages_without_end_are_stopped"),
            Named("tests/unit/test_guard.py::test_a_declared_total_says_how_many_pages_there_can_be"),
        ),
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="more-than-declared",
        what="more records than the total that every page declared",
        plays=(Answers(*[_page(number, str(number), total=3) for number in range(1, 9)]),),
        scene=Scene.TOTALS,
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="total-contradicted",
        what="fewer records at the end than the total that every page declared",
        plays=(Answers(_page(1, "a", total=5), _page(2, "", total=5)),),
        scene=Scene.TOTALS,
        blame=Blame.API,
        reactions=_QUARANTINE,
        stored=Stored.QUARANTINE,
    ),
    Case(
        name="total-changes",
        what="the declared total changes on the way: the walk says so",
        plays=(Answers(_page(1, "a", total=5), _page(2, "", total=2)),),
        scene=Scene.TOTALS,
        stored=Stored.PAGE,
    ),
)

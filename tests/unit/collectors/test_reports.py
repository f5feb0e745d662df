"""Reports: created once, remembered at once, waited for without a worker, fetched as one page."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import CollectError, Later, Malformed, NotReady, RequestRefused, SplitWindow
from collectors.paging import get, post
from collectors.place import Place
from collectors.reports import (
    Failed,
    NothingToTell,
    Ready,
    State,
    TooLarge,
    Working,
    file_name,
    report,
    report_by_ids,
    report_named_by_us,
)
from collectors.stream import Answer, Bucket, Cursor, Id, Mark, Page, Rate, Request, Scope, Step
from tests.unit.collectors.scripted import WALK, Script, Scripted, answer_of, gathered, steps_of, walk_from

FILE = Request(method="GET", host="files.test", path="/made/7.zip", signed=False)
CREATED = b'{"result":{"reportId":"r1"}}'
STATES: dict[bytes, State] = {
    b"working": Working(timedelta(seconds=5)),
    b"ready": Ready(FILE),
    b"ready at theirs": Ready(Request(method="GET", host="api.test", path="/file/7")),
    b"nothing": NothingToTell(),
    b"too large": TooLarge(),
    b"failed": Failed("no mood"),
}
PAGES = report(
    post("api.test", "/create", lambda walk, _: {"seller": walk.seller}, repeatable=False),
    report_id="result.reportId",
    poll=get("api.test", lambda _, at: f"/info/{at['report']}", lambda _, __: {}),
    state=lambda answer: STATES[answer.body],
)
MARKED = {"report": "r1"}


async def run(answers: list[Scripted], cursor: Cursor | None = None) -> tuple[list[Step], CollectError, Script]:
    """Return what a run yielded before the error that ended it, the error, and what was asked."""
    script = Script(answers)
    steps, error = await gathered(PAGES, script, walk_from(cursor))
    assert error is not None
    return steps, error, script


async def test_it_is_created_polled_and_fetched() -> None:
    script = Script([CREATED, b"ready", b"PK\x03\x04"])
    mark, page = await steps_of(PAGES, script)
    assert [request.path for request in script.asked] == ["/create", "/info/r1", "/made/7.zip"]
    assert mark == Mark(MARKED)
    assert isinstance(page, Page)
    assert (page.answer.body, page.records, page.last, page.file_name) == (b"PK\x03\x04", None, True, "7.zip")
    assert page.worth_storing
    assert page.answer.request == replace(FILE, file=True), "what is stored says where the file came from"


async def test_its_id_is_given_out_before_anything_else_is_asked() -> None:
    script = Script([CREATED])
    async with aclosing(PAGES(script, WALK)) as steps:
        assert await anext(steps) == Mark(MARKED)
    assert [request.path for request in script.asked] == ["/create"]
    assert not script.asked[0].repeatable


async def test_what_is_not_made_yet_is_put_off_for_as_long_as_it_says() -> None:
    steps, error, _ = await run([CREATED, b"working"])
    assert steps == [Mark(MARKED)]
    assert isinstance(error, NotReady)
    assert error.wait == timedelta(seconds=5)


async def test_a_restart_polls_what_was_created_and_creates_nothing() -> None:
    _, error, script = await run([b"working"], MARKED)
    assert isinstance(error, NotReady)
    assert [request.path for request in script.asked] == ["/info/r1"]
    (page,) = await steps_of(PAGES, Script([b"ready", b"PK"]), walk_from(MARKED))
    assert isinstance(page, Page)


async def test_a_report_that_covers_too_much_time_is_split() -> None:
    _, error, _ = await run([CREATED, b"too large"])
    assert isinstance(error, SplitWindow)


async def test_a_report_without_data_completes_the_walk_and_stores_nothing() -> None:
    (page,) = await steps_of(PAGES, Script([b"nothing"]), walk_from(MARKED))
    assert isinstance(page, Page)
    assert page.last
    assert not page.worth_storing


async def test_a_file_of_204_completes_the_walk_and_stores_nothing() -> None:
    (page,) = await steps_of(PAGES, Script([b"ready", (204, b"")]), walk_from(MARKED))
    assert isinstance(page, Page)
    assert (page.last, page.records, page.worth_storing) == (True, 0, False)


async def test_what_makes_a_report_by_get_is_not_repeated_either() -> None:
    by_get = report(
        get("api.test", "/create", lambda _, __: {}, repeatable=False),
        report_id="id",
        poll=get("api.test", "/info"),
        state=lambda _: NothingToTell(),
    )
    script = Script([b'{"id":"r1"}', b"nothing"])
    await steps_of(by_get, script)
    assert [request.repeatable for request in script.asked] == [False, True]


async def test_a_report_that_failed_is_forgotten_so_that_the_next_run_creates_another() -> None:
    steps, error, _ = await run([b"failed"], MARKED)
    assert steps == [Mark({"failed": 1})]
    assert isinstance(error, Later)
    assert "no mood" in str(error)
    assert await _creates_again(steps[-1])


async def test_a_report_that_is_no_longer_known_is_forgotten_too() -> None:
    gone = Later("404", answer=answer_of(b"", status=404))
    steps, error, _ = await run([gone], MARKED)
    assert steps == [Mark({"failed": 1})]
    assert isinstance(error, Later)
    assert await _creates_again(steps[-1])


@pytest.mark.parametrize("answer", [b"failed", Later("404", answer=answer_of(b"", status=404))])
async def test_a_report_that_fails_time_and_again_is_set_aside(answer: Scripted) -> None:
    cursor: Cursor | None = None
    errors = []
    for _ in range(4):
        steps, error, _ = await run([CREATED, answer], cursor)
        cursor = steps[-1].cursor if isinstance(steps[-1], Mark) else None
        errors.append(error)
    assert [type(error) for error in errors] == [Later, Later, RequestRefused, RequestRefused]
    assert isinstance(errors[2], RequestRefused)
    assert errors[2].answer.body != CREATED, "it is the answer to the poll that tells why"
    assert cursor is not None
    assert await _creates_again(Mark(cursor)), "or dropping the answer would ask for the same report for ever"


@pytest.mark.parametrize("trouble", [Later("no way there"), Later("500", answer=answer_of(b"", status=500))])
async def test_a_poll_that_fails_forgets_nothing(trouble: Later) -> None:
    steps, error, _ = await run([trouble], MARKED)
    assert steps == []
    assert error is trouble


async def test_a_download_that_fails_forgets_nothing() -> None:
    trouble = Later("reset")
    steps, error, _ = await run([b"ready", trouble], MARKED)
    assert steps == []
    assert error is trouble


async def test_a_file_of_the_marketplaces_own_that_is_gone_has_its_report_made_again() -> None:
    """A link may be given anew by the next poll; where our credentials are asked for there is no other way."""
    gone = Later("404", answer=answer_of(b"", status=404))
    steps, error, _ = await run([b"ready", Later("404", answer=replace(gone.answer, request=FILE))], MARKED)  # type: ignore[type-var]
    assert (steps, type(error)) == ([], Later)
    steps, error, _ = await run([b"ready at theirs", gone], MARKED)
    assert steps == [Mark({"failed": 1})]
    assert "no longer knows it" in str(error)
    assert await _creates_again(steps[-1])


async def test_its_place_is_taken_by_its_creation_and_is_over_with_the_poll_that_says_so() -> None:
    places = Bucket(name="reports", rate=Rate(timedelta(minutes=15)), scope=Scope.PLACES)
    placed = report(
        post("api.test", "/create", repeatable=False),
        report_id="result.reportId",
        poll=get("api.test", "/info"),
        state=lambda answer: STATES[answer.body],
        places=places,
    )
    script = Script([CREATED, b"ready", b"PK"])
    await steps_of(placed, script, replace(WALK, id="w1"))
    create, poll, download = (request.place for request in script.asked)
    assert create == Place(places, "w1")
    assert download is None
    assert poll is not None
    assert (poll.bucket, poll.name) == (places, "w1")
    assert poll.over is not None
    over = {body for body in STATES if poll.over(answer_of(body))}
    assert over == STATES.keys() - {b"working"}


@pytest.mark.parametrize("answer", [b"{}", b'{"result":{"reportId":7}}', b'{"reportId":"r1"}', b'{"result":null}'])
async def test_an_answer_without_the_id_is_malformed_and_remembers_nothing(answer: bytes) -> None:
    steps, error, _ = await run([answer])
    assert steps == []
    assert isinstance(error, Malformed)


@pytest.mark.parametrize(
    ("header", "path", "name"),
    [
        ('attachment; filename="a b.zip"', "/x", "a b.zip"),
        ("attachment; filename=report.zip; size=3", "/x", "report.zip"),
        ("", "/made/7.zip", "7.zip"),
        ("inline", "/made/7.zip", "7.zip"),
        ("", "/", None),
    ],
)
def test_a_file_has_the_name_the_server_gives_it_or_that_of_its_path(header: str, path: str, name: str | None) -> None:
    request = Request(method="GET", host="files.test", path=path)
    answer = Answer(
        request=request,
        status=200,
        headers={"content-disposition": header} if header else {},
        body=b"",
        fetched_at=WALK.now,
    )
    assert file_name(answer) == name


async def _creates_again(step: Step) -> bool:
    _, _, script = await run([CREATED, b"working"], step.cursor)
    return [request.path for request in script.asked] == ["/create", "/info/r1"]


NAMED = report_named_by_us(
    post("api.test", "/create", lambda _, at: {"id": at["report"]}, repeatable=False),
    named=lambda walk, failed: f"{walk.seller}-{failed}",
    accepted="data",
    poll=get("api.test", "/list", lambda _, at: {"id": at["report"]}),
    state=lambda answer: STATES.get(answer.body),
)
ACCEPTED, UNKNOWN = b'{"data":"begun"}', b"unknown"
OURS = {"report": "7-0"}


async def test_a_report_that_we_name_is_created_if_it_is_not_known_under_the_name_that_was_kept() -> None:
    script = Script([UNKNOWN, ACCEPTED, UNKNOWN])
    steps, error = await gathered(NAMED, script, walk_from(None))
    assert steps == [Mark(OURS), Mark({**OURS, "created": True})]
    assert isinstance(error, NotReady), "it may not be listed yet"
    assert script.said == [{"id": "7-0"}] * 3
    assert [request.method for request in script.asked] == ["GET", "POST", "GET"]


async def test_a_report_that_we_name_is_not_created_again_where_the_answer_to_that_was_lost() -> None:
    script = Script([b"working", b"ready", b"PK"])
    mark, page = await steps_of(NAMED, script, walk_from(OURS))
    assert mark == Mark({**OURS, "created": True})
    assert isinstance(page, Page)
    assert [request.path for request in script.asked] == ["/list", "/list", "/made/7.zip"]


async def test_a_report_that_failed_is_created_under_another_name() -> None:
    steps, error = await gathered(NAMED, Script([b"failed"]), walk_from({**OURS, "created": True}))
    assert steps == [Mark({"failed": 1})]
    assert isinstance(error, Later)
    script = Script([UNKNOWN, ACCEPTED, b"nothing"])
    _, _, page = await steps_of(NAMED, script, walk_from({"failed": 1}))
    assert script.said == [{"id": "7-1"}] * 3
    assert isinstance(page, Page)
    assert page.last


class Press:
    """Makes reports of what it is asked for. Each is ready at the second poll; of 3 the first one is not made."""

    def __init__(self) -> None:
        self.asked_for: dict[str, list[Id]] = {}
        self.polls: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Answer:
        if request.path == "/create":
            name = f"r{len(self.asked_for)}"
            self.asked_for[name] = request.body["ids"]
            return answer_of(json.dumps({"id": name}).encode(), request=request)
        name = request.path.rpartition("/")[2]
        if request.path.startswith("/file"):
            return answer_of(json.dumps(self.asked_for[name]).encode(), request=request)
        self.polls[name] += 1
        first_of_3 = 3 in self.asked_for[name] and list(self.asked_for.values()).count(self.asked_for[name]) == 1
        told = b"working" if self.polls[name] < 2 else b"failed" if first_of_3 else b"ready"
        return answer_of(told, request=request)


def pressed(answer: Answer) -> State:
    name = answer.request.path.rpartition("/")[2]
    is_ready = answer.body == b"ready"
    return Ready(Request(method="GET", host="api.test", path=f"/file/{name}")) if is_ready else STATES[answer.body]


BY_IDS = report_by_ids(
    report(
        post("api.test", "/create", lambda walk, _: {"ids": list(walk.ids)}, repeatable=False),
        report_id="id",
        poll=get("api.test", lambda _, at: f"/info/{at['report']}"),
        state=pressed,
    ),
    size=4,
)


@given(
    ids=st.sets(st.integers(0, 9), max_size=9),
    runs=st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(0, 9)), st.integers(0, 3)), max_size=20),
)
async def test_of_each_id_one_report_is_made_wherever_the_walk_is_gone_on_with(
    ids: set[int], runs: list[tuple[int, set[int], int]]
) -> None:
    """A run is stopped after so many steps; at the next one these ids are new, and reports are smaller."""
    press, steps, ever = Press(), list[Step](), set(ids)
    for most, new, smaller in [*runs, *[(99, set[int](), 0)] * 40]:
        walk = replace(WALK, ids=sorted(ever), cursor=_stored(steps), smaller=smaller)
        with suppress(NotReady, Later, StopAsyncIteration):
            async with aclosing(BY_IDS(press, walk)) as found:
                for _ in range(most):
                    steps.append(await anext(found))
        if steps and isinstance(last := steps[-1], Mark | Page) and last.last:
            break
        ever |= {one for one in new if steps and one > max(ids, default=0)}
    pages = [step for step in steps if isinstance(step, Page)]
    brought = [one for page in pages for one in json.loads(page.answer.body)]
    assert brought == sorted(set(brought)), "none twice"
    assert ids <= set(brought) <= ever
    assert [step.last for step in steps if isinstance(step, Page | Mark)] == [False] * (len(steps) - 1) + [True]
    made_for_nothing = 1 if 3 in brought else 0
    assert len(press.asked_for) == len(pages) + made_for_nothing, "each was created once"


def _stored(steps: list[Step]) -> Cursor | None:
    """Return the cursor of the last step as the next run finds it: through JSON."""
    return json.loads(json.dumps(dict(steps[-1].cursor))) if steps else None


async def test_a_report_under_way_is_fetched_although_all_its_ids_are_gone() -> None:
    press = Press()
    steps, _ = await gathered(BY_IDS, press, replace(WALK, ids=[1, 2]))
    cursor = {"ids": [1, 2], "within": {"report": "r0"}}
    assert steps == [Mark(cursor)]
    (page,), error = await gathered(BY_IDS, press, replace(WALK, cursor=cursor))
    assert error is None
    assert isinstance(page, Page)
    assert (dict(page.cursor), page.last, page.answer.body) == ({"after": 2}, True, b"[1, 2]")

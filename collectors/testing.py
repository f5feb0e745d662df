"""What a stream must do so that the worker can collect it, checked by one call in a test.

    async def test_goods() -> None:
        await assert_stream_conforms(GOODS, shop)

`shop` plays the marketplace: it takes a Request and returns an Answer, to the same request the same, filtered and paged
as the API does it. No test framework is needed: what does not hold is an AssertionError, one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from collectors.errors import CollectError, Malformed, NotReady
from collectors.login import ACCESS_TOKEN
from collectors.refusals import judge_status
from collectors.stream import (
    Answer,
    Cursor,
    Fetch,
    Id,
    Mark,
    Page,
    Request,
    Secret,
    Skip,
    Step,
    Stream,
    Walk,
    Watermark,
    Window,
    Windows,
)
from collectors.windows import cell, in_two

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_MOST_STEPS = 1000  # pages and polls of one walk: a marketplace of a test has fewer
_SMALLEST = 4  # times that the worker halves a page
_LONG = 8  # characters: a shorter value of a link opens nothing


async def assert_stream_conforms(
    stream: Stream, fetch: Fetch, *, walk: Walk | None = None, adds_up: bool = True
) -> None:
    """Assert that the stream ends, goes on from every page and after a kill in every request, keeps to its window,
    brings the same in smaller pages, refuses an envelope that moved, has limits, asks for nothing where no ids are
    left, and lets no secret out.

    `walk` says of which seller, slice, window and ids. It should take three to ten pages: each is walked from many
    times. Without it, see `walk_of`. `adds_up` is False where a window does not hold what its parts hold: its records
    sum it up, or only whole months can be asked for.
    """
    walk = walk or walk_of(stream)
    whole = await _Run(stream, fetch, walk).to_the_end()
    _assert_ends(whole)
    _assert_links_are_not_kept(whole)
    _assert_refusals_repeat_no_key(whole)
    await _assert_goes_on(whole)
    await _assert_same_in_smaller_pages(whole)
    await _assert_refuses_what_moved(whole)
    if isinstance(stream.progress, Windows):
        await _assert_keeps_to_its_window(whole, stream.progress, walk.span, adds_up=adds_up)
    if stream.ids is not None:
        await _assert_asks_for_no_more_than_its_ids(whole)


def walk_of(
    stream: Stream, *, now: datetime = NOW, seller: str = "1", slice_: str | None = None, ids: Sequence[Id] = ()
) -> Walk:
    """Return a walk at its beginning: of the last whole window before `now`, and the first slice ("1" if listed)."""
    progress, window = stream.progress, None
    if isinstance(progress, Windows):
        window = cell(progress, cell(progress, now - progress.lag).start - timedelta(seconds=1))
    if slice_ is None:
        slice_ = stream.slices[0] if isinstance(stream.slices, tuple) else "1"
    return Walk(seller=seller, since=now - timedelta(days=20), now=now, slice=slice_, window=window, ids=ids)


class _Killed(BaseException):
    """The worker was killed. Nothing that a stream catches."""


def _as_it_is(_: Request, body: bytes) -> bytes:
    return body


@dataclass
class _Run:
    """The worker's part of a walk: signs, asks, judges, and keeps where it stands, as JSON."""

    stream: Stream
    fetch: Fetch
    walk: Walk
    asked: list[Request] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    asked_before: list[int] = field(default_factory=list)  # by step: how many requests went before it
    killed_in: int | None = None  # the number of a request
    stopped_after: int = _MOST_STEPS  # steps
    spoil: Callable[[Request, bytes], bytes] = _as_it_is  # a request, and the body that answers it

    @property
    def name(self) -> str:
        return f"{self.stream.marketplace.name}/{self.stream.name}"

    @property
    def pages(self) -> list[Page]:
        return [step for step in self.steps if isinstance(step, Page)]

    @property
    def records(self) -> int:
        return sum(page.records or 0 for page in self.pages)

    async def to_the_end(self) -> _Run:
        """Walk to the last page, or as far as it is let, polling a report as often as it takes."""
        for _ in range(_MOST_STEPS):
            try:
                async with aclosing(self.stream.pages(self, self.walk)) as steps:
                    async for step in steps:
                        self._keep(step)
                        if len(self.steps) >= self.stopped_after:
                            break
            except NotReady:
                continue
            except _Killed:
                pass
            assert len(self.steps) < _MOST_STEPS, f"{self.name} does not end: {_MOST_STEPS} pages so far"
            return self
        raise AssertionError(f"{self.name} is not ready after {_MOST_STEPS} polls")

    async def from_here(self) -> _Run:
        """Go on as another worker does: with nothing but the position."""
        return await _Run(self.stream, self.fetch, self.walk).to_the_end()

    async def __call__(self, request: Request) -> Answer:
        number = len(self.asked)
        self._assert_may_be_asked(request)
        self.asked.append(request)
        if number == self.killed_in:
            raise _Killed
        answer = await self.fetch(request)
        answer = replace(answer, body=self.spoil(request, answer.body))
        (self.stream.marketplace.judge if request.signed else judge_status)(answer)
        return answer

    def _keep(self, step: Step) -> None:
        kept = json.loads(json.dumps(dict(step.cursor)))
        assert kept == dict(step.cursor), f"{self.name} has a cursor that JSON changes: {step.cursor}"
        self.walk = replace(self.walk, cursor=kept)
        self.steps.append(step)
        self.asked_before.append(len(self.asked))

    def _assert_may_be_asked(self, request: Request) -> None:
        marketplace, name = self.stream.marketplace, f"{self.name}: {request.method} {request.host}{request.path}"
        if not request.signed:
            assert request.host.endswith(marketplace.file_hosts), f"{name} is on none of the marketplace's `file_hosts`"
            return
        assert request.host in marketplace.hosts, (
            f"{name} would show credentials to a host outside the marketplace's `hosts`"
        )
        own = self.stream.buckets if request.buckets is None else request.buckets
        assert own or marketplace.buckets, f"{name} has no limit: give the stream or the marketplace `buckets`"
        signed = " ".join(marketplace.sign(_secret(self.stream), request).values())
        assert any(value in signed for value in _secret(self.stream).values()), f"{name} is not signed"


def _told(pages: Iterable[Page]) -> list[tuple[object, ...]]:
    """Return what two walks must agree about. A file has no records: made anew, it may be written otherwise."""
    bodies = [(page, None if page.records is None else page.answer.body) for page in pages]
    return [(body, page.records, page.last, page.new, dict(page.cursor)) for page, body in bodies]


def _assert_ends(whole: _Run) -> None:
    name, steps = whole.name, whole.steps
    for step in steps:
        assert not isinstance(step, Skip), f"{name} skips an answer that it was given whole: {step.error}"
    ends = [isinstance(step, Page | Mark) and step.last for step in steps]
    assert ends.count(True) == 1, f"{name} has {ends.count(True)} last pages in {len(steps)} steps, instead of one"
    assert ends[-1], f"{name} goes on behind its last page"
    assert any(page.worth_storing for page in whole.pages), f"{name} brings nothing, so the test would prove nothing"
    cursors: list[Cursor] = [dict(step.cursor) for step in steps[:-1]]
    for number, cursor in enumerate(cursors):
        assert cursor not in cursors[:number], f"{name} goes in a circle: the cursor {cursor} comes twice"


def _assert_refusals_repeat_no_key(whole: _Run) -> None:
    marketplace, request = whole.stream.marketplace, whole.asked[0]
    for status in (400, 401, 402, 403, 404, 409, 429, 500):
        for name, value in _secret(whole.stream).items():
            body = json.dumps({"code": status, "error": f"denied to {value}", "message": f"denied to {value}"}).encode()
            try:
                marketplace.judge(Answer(request=request, status=status, headers={}, body=body, fetched_at=NOW))
            except CollectError as error:
                told = f"{error!s} {error!r}"
            else:
                raise AssertionError(f"{whole.name} takes a refusal with status {status} for data")
            assert value not in told, f"{whole.name} repeats `{name}` in an error, as the API does with status {status}"


def _secret(stream: Stream) -> Secret:
    marketplace = stream.marketplace
    names = {*marketplace.secret_fields, *(name for login in marketplace.logins.values() for name in login.fields)}
    tokens = {ACCESS_TOKEN} if marketplace.logins else set()
    return {name: f"secret-of-{name}-0123456789abcdef0123456789" for name in names | tokens}


def _assert_links_are_not_kept(whole: _Run) -> None:
    links = [request for request in whole.asked if not request.signed]
    values = {str(value) for request in links for value in request.query.values() if len(str(value)) >= _LONG}
    kept = json.dumps([[dict(step.cursor) for step in whole.steps], [request.stored() for request in links]])
    assert not [value for value in values if value in kept], f"{whole.name} keeps what opens a link to a file"


async def _assert_goes_on(whole: _Run) -> None:
    """Stop at every page as a worker does whose time is up, and kill it in every request; let another go on."""
    stops: list[tuple[str, _Run]] = [
        (f"stopped after step {number}", replace(_fresh(whole), stopped_after=number))
        for number in range(1, len(whole.steps))
    ]
    kills = [
        (f"killed in request {number + 1}", replace(_fresh(whole), killed_in=number))
        for number in range(len(whole.asked))
    ]
    for when, first in stops + kills:
        await first.to_the_end()
        rest = await first.from_here()
        assert _told(first.pages + rest.pages) == _told(whole.pages), (
            f"{whole.name}, {when}, does not go on to the same pages from {first.walk.cursor}"
        )
        known = first.asked[: first.asked_before[-1]] if first.steps else []
        again = [request for request in rest.asked if not request.repeatable and request in known]
        assert not again, f"{whole.name}, {when}, makes again what was made: it needs a Mark behind {again[0].path}"


def _fresh(whole: _Run, walk: Walk | None = None) -> _Run:
    return _Run(whole.stream, whole.fetch, walk or replace(whole.walk, cursor=None))


async def _assert_same_in_smaller_pages(whole: _Run) -> None:
    if isinstance(whole.stream.progress, Watermark):
        return  # rows at its bound come again with each page
    small = await _fresh(whole, replace(whole.walk, cursor=None, smaller=_SMALLEST)).to_the_end()
    assert small.records == whole.records, (
        f"{whole.name} brings {small.records} records in smaller pages, and {whole.records} in large ones"
    )


def _cut_short(body: bytes) -> bytes:
    return body.rstrip()[:-1]


def _below(body: bytes) -> bytes:
    return b'{"moved":' + body + b"}"


def _null(_: bytes) -> bytes:
    return b"null"


async def _assert_refuses_what_moved(whole: _Run) -> None:
    for number, request in enumerate(whole.asked):
        if request.signed and not request.file:
            steps = sum(asked <= number for asked in whole.asked_before)  # that were there when it was asked
            cursor = whole.steps[steps - 1].cursor if steps else None
            for moved in (_cut_short, _below, _null):
                await _assert_refuses(whole, replace(whole.walk, cursor=cursor), request, moved)


async def _assert_refuses(whole: _Run, walk: Walk, spoilt: Request, moved: Callable[[bytes], bytes]) -> None:
    bodies: list[bytes] = []

    def spoil(request: Request, body: bytes) -> bytes:
        if bodies or request != spoilt or not body.strip():
            return body
        bodies.append(moved(body))
        return bodies[0]

    run = replace(_fresh(whole, walk), spoil=spoil)
    try:
        await run.to_the_end()
    except Malformed:
        return
    refused = [step for step in run.steps if isinstance(step, Skip) and isinstance(step.error, Malformed)]
    assert refused or not bodies, (
        f"{whole.name} takes an answer for data although its envelope moved, and must not: {bodies[0][:50]!r}"
    )


async def _assert_asks_for_no_more_than_its_ids(whole: _Run) -> None:
    """Let the ids be gone, or all behind the walk: that is no reason to ask for all, nor for the last ones again."""
    for walk in (replace(whole.walk, cursor=None, ids=()), whole.walk):
        run = await _fresh(whole, walk).to_the_end()
        assert not run.asked, f"{whole.name} asks for {run.asked[0].path} although no id is left to ask for"
        assert run.steps == [Mark(walk.cursor or {}, last=True)], f"{whole.name} does not end where no id is left"


async def _assert_keeps_to_its_window(whole: _Run, progress: Windows, window: Window, *, adds_up: bool) -> None:
    """Read it in two parts, which together hold what it holds: no hole between them, and nothing twice.

    Where that cannot be, hold it against its neighbour, for which another request must be made at least.
    """
    halves = in_two(progress, window) if adds_up else None
    adds_up = halves is not None
    parts = halves or [cell(progress, window.start - timedelta(seconds=1)), window]
    runs = []
    for part in parts:
        run = _fresh(whole, replace(whole.walk, cursor=None, window=part))
        run.killed_in = None if adds_up else 0  # the neighbour may be older than what the API keeps: not really asked
        runs.append(await run.to_the_end())
    assert runs[0].asked[0] != runs[1].asked[0], f"{whole.name} asks the same for one window as for another"
    records = [run.records for run in runs]
    assert not adds_up or sum(records) == whole.records, (
        f"{whole.name} brings {whole.records} records of a window, and {records} of its two parts: its ends are wrong"
    )

"""Reports that are made before they can be fetched: create → poll → download.

The report's id is kept as soon as it is known, so a restart polls instead of creating a second one; waiting for it
holds no worker. The three are steps of one stream, each with its own limits.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from collectors.envelope import Envelope
from collectors.errors import Later, Malformed, NotReady, RequestRefused, SplitWindow
from collectors.paging import Ask
from collectors.place import Place
from collectors.stream import Answer, Bucket, Cursor, Fetch, FilesOfIds, Id, Mark, Page, Pages, Request, Step, Walk

_ENOUGH_FAILED = 3  # reports in a row: as they are asked for, they are not made


@dataclass(frozen=True)
class Working:
    """Ask again after `wait`."""

    wait: timedelta


@dataclass(frozen=True)
class Ready:
    """The file can be fetched by this request."""

    download: Request


@dataclass(frozen=True)
class NothingToTell:
    """The report was made and holds nothing."""


@dataclass(frozen=True)
class TooLarge:
    """The report covers too much time."""


@dataclass(frozen=True)
class Failed:
    """The report was not made, or is no longer there; it has to be created again."""

    reason: str


State = Working | Ready | NothingToTell | TooLarge | Failed
_NOT_LISTED_YET = Working(timedelta(minutes=1))

_GONE = Failed("the marketplace no longer knows it")


@dataclass(frozen=True)
class _Making:
    """How to ask about a report that is being made."""

    poll: Ask
    state: Callable[[Answer], State]
    places: Bucket | None

    async def asked(self, fetch: Fetch, walk: Walk, at: Cursor) -> tuple[Answer, State]:
        """Return what has become of the report, and the file if it is ready, or else the answer that says so."""
        answer, gone = await _fetched(fetch, self.placed(self.poll(walk, at), walk, self._is_over))
        found = _GONE if gone else self.state(answer)
        if isinstance(found, Ready):
            answer, gone = await _fetched(fetch, replace(found.download, file=True))
        return answer, _GONE if gone else found

    def placed(self, request: Request, walk: Walk, over: Callable[[Answer], bool] | None = None) -> Request:
        return request if self.places is None else replace(request, place=Place(self.places, walk.id, over))

    def _is_over(self, answer: Answer) -> bool:
        return not isinstance(self.state(answer), Working)


def report(
    create: Ask, *, report_id: str, poll: Ask, state: Callable[[Answer], State], places: Bucket | None = None
) -> Pages:
    """Create a report, wait for it, fetch its file as one page, however large; 204 for a file is an empty report.

    `report_id` is the id's path in the answer to `create`; `poll` is given {"report"}; `state` reads its answer.
    A poll, or a file for which our credentials are asked, that the API answers with 404 means that the report is gone.
    After three in a row that were not made the last answer is refused, for each costs a creation. `places` says how
    many reports may be under way at the same time, where that is limited.
    """
    envelope = Envelope(id=(report_id, str))

    making = _Making(poll, state, places)

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = dict(walk.cursor or {})
        if "report" not in at:
            at["report"] = envelope.read(await fetch(making.placed(create(walk, {}), walk)))["id"]
            yield Mark(at)
        answer, found = await making.asked(fetch, walk, at)
        yield _brought(at, answer, found)
        _refuse_failed(at, answer, found)

    return pages


def report_named_by_us(
    create: Ask, *, named: Callable[[Walk, int], str], accepted: str, poll: Ask, state: Callable[[Answer], State | None]
) -> Pages:
    """The same, where it is we who give the report its id; `create` and `poll` are given {"report"}.

    `named` makes the id of a walk and of the number of its reports that failed. It is kept before the report is asked
    for, and only what `poll` does not know is created: `state` says None of that. So none is created twice, wherever a
    worker died. `accepted` is the path of a text in the answer to `create`.
    """
    envelope = Envelope(accepted=(accepted, str))
    making = _Making(poll, lambda answer: state(answer) or _NOT_LISTED_YET, None)

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = dict(walk.cursor or {})
        if "report" not in at:
            at = {**at, "report": named(walk, at.get("failed", 0))}
            yield Mark(at)
        if "created" not in at:
            if state(await fetch(poll(walk, at))) is None:
                envelope.read(await fetch(create(walk, at)))
            at = {**at, "created": True}
            yield Mark(at)
        answer, found = await making.asked(fetch, walk, at)
        yield _brought(at, answer, found)
        _refuse_failed(at, answer, found)

    return pages


def report_by_ids(one: Pages, *, size: int) -> Pages:
    """Make a report of the first `size` of the walk's ids, or less, as `one` does, and then of those behind them.

    `one` finds them in `walk.ids`, never none of them. The cursor holds the last id that is done with, and the ids of
    the report under way beside what `one` remembers of it: so a walk goes on with that very report, even where the ids
    have been read anew, and none is created twice. Where no id is left, nothing is asked.
    """

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = dict(walk.cursor or {})
        if "ids" not in at and not _behind(at, walk):
            yield Mark(at, last=True)
        while "ids" in at or _behind(at, walk):
            ids = at.get("ids") or _behind(at, walk)[: walk.limit(size)]
            async with aclosing(one(fetch, replace(walk, ids=ids, cursor=at.get("within")))) as steps:
                async for step in steps:
                    if isinstance(step, Mark):
                        at = {**at, "ids": list(ids), "within": dict(step.cursor)}
                        yield Mark(at)
                    elif isinstance(step, Page):  # of a report nothing is skipped
                        at = {"after": ids[-1]}
                        yield replace(step, cursor=at, last=not _behind(at, walk))

    return FilesOfIds(pages, at_once=size)


def _behind(at: Cursor, walk: Walk) -> Sequence[Id]:
    return walk.ids[bisect_right(walk.ids, at["after"]) :] if "after" in at else walk.ids


def _brought(at: Cursor, answer: Answer, found: State) -> Page | Mark:
    """Return the page of a report that was made, or what is to be remembered of one that was not. Raises the others."""
    match found:
        case Working(wait):
            raise NotReady("the report is not made yet", wait=wait)
        case TooLarge():
            raise SplitWindow("the report covers too much time")
        case Failed():
            return Mark({"failed": at.get("failed", 0) + 1})  # as progress it spends no attempt: so they are counted
        case NothingToTell():
            return Page(answer=answer, records=0, cursor={}, last=True)
        case Ready() if answer.status == 204:
            return Page(answer=answer, records=0, cursor={}, last=True)
        case Ready():
            return Page(answer=answer, records=None, cursor={}, last=True, file_name=file_name(answer))


def _refuse_failed(at: Cursor, answer: Answer, found: State) -> None:
    if isinstance(found, Failed):
        failed = at.get("failed", 0) + 1
        if failed >= _ENOUGH_FAILED:
            raise RequestRefused(f"{failed} reports in a row were not made: {found.reason}", answer)
        raise Later(f"the report was not made: {found.reason}")


async def _fetched(fetch: Fetch, request: Request) -> tuple[Answer, bool]:
    """Fetch, and tell whether it is gone. Of a link that does not open that is not said: a poll may give another."""
    try:
        return await fetch(request), False
    except Later as error:
        if error.status != 404 or error.answer is None or not request.signed:
            raise
        return error.answer, True


def link_to(link: str, answer: Answer) -> Request:
    """Make the request for a file from the link that `answer` gives. It is for nobody's credentials to see."""
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise Malformed(f"the link to the file cannot be read: {error}", answer) from error
    return Request(
        method="GET",
        host=parts.netloc,
        path=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        buckets=(),
        signed=False,
    )


def file_name(answer: Answer) -> str | None:
    """Return the name that the server gives the file, or the last part of its path."""
    named = re.search(r'filename="?([^";]+)"?', answer.headers.get("content-disposition", ""))
    return named.group(1) if named else answer.request.path.rsplit("/", 1)[-1] or None

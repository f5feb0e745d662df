"""Reports that are made before they can be fetched: create → poll → download.

The report's id is kept as soon as it is known, so a restart polls instead of creating a second one; waiting for it
holds no worker. The three are steps of one stream, each with its own limits.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from collectors.envelope import Envelope
from collectors.errors import Later, Malformed, NotReady, SplitWindow
from collectors.paging import Ask
from collectors.stream import Answer, Fetch, Mark, Page, Pages, Request, Step, Walk


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


def report(create: Ask, *, report_id: str, poll: Ask, state: Callable[[Answer], State]) -> Pages:
    """Create a report, wait for it, fetch its file as one page, however large; 204 for a file is an empty report.

    `report_id` is the id's path in the answer to `create`; `poll` is given {"report"}; `state` reads its answer.
    A poll that the API answers with 404 means that the report is gone.
    """
    envelope = Envelope(id=(report_id, str))

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        at = dict(walk.cursor or {})
        if "report" not in at:
            at = {"report": envelope.read(await fetch(create(walk, {})))["id"]}
            yield Mark(at)
        answer, found = await _poll(fetch, poll(walk, at), state)
        match found:
            case Working(wait):
                raise NotReady("the report is not made yet", wait=wait)
            case TooLarge():
                raise SplitWindow("the report covers too much time")
            case Failed(reason):
                yield Mark({})
                raise Later(f"the report was not made: {reason}")
            case NothingToTell():
                yield Page(answer=answer, records=0, cursor={}, last=True)
            case Ready(download):
                answer = await fetch(replace(download, file=True))
                if answer.status == 204:
                    yield Page(answer=answer, records=0, cursor={}, last=True)
                else:
                    yield Page(answer=answer, records=None, cursor={}, last=True, file_name=file_name(answer))

    return pages


async def _poll(fetch: Fetch, request: Request, state: Callable[[Answer], State]) -> tuple[Answer, State]:
    try:
        answer = await fetch(request)
    except Later as error:
        if error.status != 404 or error.answer is None:
            raise
        return error.answer, Failed("the marketplace no longer knows it")
    return answer, state(answer)


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

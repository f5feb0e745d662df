"""A marketplace that answers from a list: the seam of `pages` is one async function, so nothing has to be patched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collectors.errors import CollectError
from collectors.stream import Answer, Cursor, Fetch, Page, Pages, Request, Step, Walk, Window

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WALK = Walk(seller="7", since=NOW - timedelta(days=90), now=NOW)
WINDOW = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC))

Scripted = bytes | tuple[int, bytes] | CollectError


def answer_of(
    body: bytes, *, status: int = 200, request: Request | None = None, headers: dict[str, str] | None = None
) -> Answer:
    request = request or Request(method="GET", host="api.test", path="/rows")
    return Answer(request=request, status=status, headers=headers or {}, body=body, fetched_at=NOW)


@dataclass
class Script:
    """Answers in the order given, and keeps what it was asked. An error in the list is raised."""

    answers: Sequence[Scripted]
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> Answer:
        assert len(self.asked) < len(self.answers), f"asked once too often: {request.query or request.body}"
        found = self.answers[len(self.asked)]
        self.asked.append(request)
        if isinstance(found, CollectError):
            raise found
        status, body = found if isinstance(found, tuple) else (200, found)
        return answer_of(body, status=status, request=request)

    @property
    def said(self) -> list[object]:
        """What each request said: its body, or its query."""
        return [dict(request.query) if request.body is None else request.body for request in self.asked]


def walk_from(cursor: Cursor | None, *, window: Window | None = None) -> Walk:
    return Walk(seller=WALK.seller, since=WALK.since, now=NOW, cursor=cursor, window=window)


async def steps_of(pages: Pages, fetch: Script, walk: Walk = WALK) -> list[Step]:
    async with aclosing(pages(fetch, walk)) as steps:
        return [step async for step in steps]


async def pages_of(pages: Pages, fetch: Script, walk: Walk = WALK) -> list[Page]:
    return [step for step in await steps_of(pages, fetch, walk) if isinstance(step, Page)]


async def gathered(pages: Pages, fetch: Fetch, walk: Walk = WALK) -> tuple[list[Step], CollectError | None]:
    """Return what came before the error that ended the walk, and the error."""
    found: list[Step] = []
    try:
        async with aclosing(pages(fetch, walk)) as steps:
            async for step in steps:
                found.append(step)  # noqa: PERF401 - what came before the error counts
    except CollectError as error:
        return found, error
    return found, None


async def assert_resumes(pages: Pages, answers: Sequence[Scripted], *, window: Window | None = None) -> None:
    """Assert that the cursor of every page but the last asks for, and yields, just the pages after it."""
    script = Script(answers)
    whole = await pages_of(pages, script, walk_from(None, window=window))
    assert len(whole) == len(answers)
    for number, page in enumerate(whole[:-1], start=1):
        rest = Script(answers[number:])
        assert await pages_of(pages, rest, walk_from(page.cursor, window=window)) == whole[number:]
        assert rest.asked == script.asked[number:]

"""A page that was handed on is gone when the next one comes: the byte budget counts it no more."""

from __future__ import annotations

import weakref
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from collectors.links import by_link
from collectors.paging import by_cursor, by_keyset, by_last_row, by_offset, by_watermark
from collectors.stream import Answer, Pages, Request, Walk

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def ask(walk: Walk, at: object) -> Request:  # noqa: ARG001 - as a stream is asked
    return Request(method="GET", host="api.example.com", path="/rows")


PAGINGS = {
    "cursor": by_cursor(ask, rows="rows", following="next"),
    "offset": by_offset(ask, rows="rows", size=10),
    "last row": by_last_row(ask, rows="rows", field="id"),
    "keyset": by_keyset(ask, rows="rows", at={"next": ("next", str)}, begin=lambda _: {"next": ""}),
    "watermark": by_watermark(
        ask, rows="rows", field="at", full=10, begin=lambda _: "", passed=lambda since, until: since > str(until)
    ),
    "link": by_link(ask, rows="rows"),
}


@pytest.mark.parametrize("pages", PAGINGS.values(), ids=PAGINGS)
async def test_a_page_is_not_in_memory_while_the_next_one_comes(pages: Pages) -> None:
    fetched: list[weakref.ref[Answer]] = []

    async def fetch(request: Request) -> Answer:
        assert [answer for answer in fetched if answer() is not None] == []
        number = len(fetched) + 1
        answer = Answer(
            request=request,
            status=200,
            headers={"link": '</rows>; rel="next"'},
            body=b'{"rows":[{"id":%d,"at":"%d"}],"next":"%d"}' % (number, number, number),
            fetched_at=NOW,
        )
        fetched.append(weakref.ref(answer))
        return answer

    walk = Walk(seller="1", since=NOW - timedelta(days=1), now=NOW, slice="", window=None, cursor=None, smaller=0)
    async with aclosing(pages(fetch, walk)) as steps:
        async for step in steps:
            del step
            if len(fetched) == 3:
                break
    assert len(fetched) == 3

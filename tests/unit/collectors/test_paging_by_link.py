"""Paging by the Link header: followed as it is, on the same host only, and read strictly."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from collectors.errors import Malformed
from collectors.links import by_link
from collectors.paging import get
from collectors.stream import Answer, Page, Request
from tests.unit.collectors.scripted import answer_of, gathered, walk_from

PAGES = by_link(get("api.test", "/v1/rows", lambda walk, _: {"limit": walk.limit(2)}), rows="")
BODY = b"[1, 2]"


@dataclass
class Linked:
    """Answers with these Link headers, one after the other."""

    links: list[str | None]
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> Answer:
        link = self.links[len(self.asked)]
        self.asked.append(request)
        return answer_of(BODY, request=request, headers={} if link is None else {"link": link})


@pytest.mark.parametrize(
    "link",
    [
        '<https://api.test/v1/rows?limit=2&after=a%2Cb>; rel="next"',
        "</v1/rows?limit=2&after=a%2Cb>; rel=next",
        '<?limit=2&after=a%2Cb>; title="the, next"; rel="last next"',
        '<https://api.test/v1/rows?page=1,2>; rel="prev", <?limit=2&after=a%2Cb>;rel="NEXT"',
    ],
)
async def test_the_next_link_is_followed_until_there_is_none(link: str) -> None:
    fetch = Linked([link, '</v1/rows>; rel="prev"'])
    steps, error = await gathered(PAGES, fetch, walk_from(None))
    assert error is None
    assert [(page.records, page.last) for page in steps if isinstance(page, Page)] == [(2, False), (2, True)]
    assert [request.query for request in fetch.asked] == [{"limit": 2}, {"limit": "2", "after": "a,b"}]
    assert {request.path for request in fetch.asked} == {"/v1/rows"}


async def test_it_goes_on_from_the_cursor_of_a_page() -> None:
    first = Linked(["</v1/rows/b?x=1>; rel=next", "</v1/rows/c?x=>; rel=next", None])
    whole, _ = await gathered(PAGES, first, walk_from(None))
    for number in (1, 2):
        rest = Linked(first.links[number:])
        assert (await gathered(PAGES, rest, walk_from(whole[number - 1].cursor)))[0] == whole[number:]
        assert rest.asked == first.asked[number:]


@pytest.mark.parametrize(
    ("link", "about"),
    [
        ("next page: /v1/rows?after=a", "the Link header cannot be read"),
        ("<https://evil.test/v1/rows>; rel=next", "another host, which must not see the credentials"),
        ("<http://api.test/v1/rows>; rel=next", "another host"),
        ("<https://api.test:8443/v1/rows>; rel=next", "another host"),
        ("<https://[::1/v1/rows>; rel=next", "cannot be read"),
        ("</v1/rows?after>; rel=next", "cannot be read"),
        ("</v1/rows?a=1&a=2>; rel=next", "names a parameter twice"),
    ],
)
async def test_a_link_that_cannot_be_followed_is_malformed(link: str, about: str) -> None:
    steps, error = await gathered(PAGES, Linked([link]), walk_from(None))
    assert steps == []
    assert isinstance(error, Malformed)
    assert about in str(error)


async def test_rows_that_are_not_there_are_malformed() -> None:
    steps, error = await gathered(
        by_link(get("api.test", "/v1/rows"), rows="rows"), Linked(["</v1/rows?a=1>; rel=next"]), walk_from(None)
    )
    assert steps == []
    assert isinstance(error, Malformed)

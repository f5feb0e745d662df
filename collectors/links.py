"""Paging by `Link: <…>; rel="next"` (RFC 8288), as many small APIs do it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from urllib.parse import parse_qsl, urljoin, urlsplit

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import Ask
from collectors.stream import Answer, Fetch, Page, Pages, Request, Step, Walk, records_at

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^",;\s]+))?)*)')
_RELATION = re.compile(r';\s*rel\s*=\s*"?([^";]+)', re.IGNORECASE)


def by_link(ask: Ask, *, rows: str) -> Pages:
    """Follow the link to the next page until an answer has none. `ask` asks for the first page."""
    envelope = Envelope(rows)

    @records_at(rows)
    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        first = ask(walk, {})
        at = dict(walk.cursor or {"path": first.path, "query": dict(first.query)})
        while True:
            answer = await fetch(replace(first, path=at["path"], query=at["query"]))
            found = envelope.read(answer).rows
            following = _following(answer)
            if following is not None:
                at = {"path": following.path, "query": dict(following.query)}
            yield Page(answer=answer, records=len(found), cursor=dict(at), last=following is None)
            if following is None:
                return
            del answer, found  # else it would be in memory while the next one comes

    return pages


def _following(answer: Answer) -> Request | None:
    header = answer.headers.get("link", "").strip()
    links = _LINK.findall(header)
    if header and not links:
        raise Malformed(f"the Link header cannot be read: {header[:100]!r}", answer)
    related = [(url, _RELATION.search(parameters)) for url, parameters in links]
    following = [url for url, relation in related if relation and "next" in relation[1].lower().split()]
    return _request(following[0], answer) if following else None


def _request(url: str, answer: Answer) -> Request:
    asked = answer.request
    here = f"https://{asked.host}"
    try:
        parts = urlsplit(urljoin(f"{here}{asked.path}", url))
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise Malformed(f"the link to the next page cannot be read: {error}", answer) from error
    if f"{parts.scheme}://{parts.netloc}" != here:
        raise Malformed("the link to the next page leads to another host, which must not see the credentials", answer)
    if len(dict(query)) < len(query):
        raise Malformed("the link to the next page names a parameter twice", answer)
    return replace(asked, path=parts.path, query=dict(query))

"""What is known of an account's key: what it says of itself, and what the marketplace says of it when it is asked.

Nothing here is secret: it may be shown, logged and stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from collectors.stream import Answer, ListedBy, Request, Stream, Walk, Windows
from collectors.windows import cell


def _nothing(_: Stream, __: Request) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What is known of a key, or of several that one secret holds. What is not known is empty, and refuses nothing."""

    kind: str = ""  # of the key, in the vendor's word
    sellers: frozenset[str] = frozenset()  # the marketplace's own ids of those whose key it is
    expires_at: datetime | None = None  # of several the first
    lacks: Callable[[Stream, Request], str] = _nothing  # why a request of a stream would be refused, or ""

    def with_more(self, more: Knowledge) -> Knowledge:
        """Put together what the key says and what the marketplace says of it."""
        return Knowledge(
            kind=more.kind or self.kind,
            sellers=self.sellers | more.sellers,
            expires_at=more.expires_at or self.expires_at,
            lacks=lambda stream, request: self.lacks(stream, request) or more.lacks(stream, request),
        )


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A question about the key itself, whatever it may do. Its `request` names its own buckets."""

    request: Request
    read: Callable[[Answer], Knowledge]  # raises Malformed
    tells_more: bool = True  # False: the key says all that the answer does, which only shows that the key is taken


class _Enough(BaseException):
    """We have seen the request. Nothing that a stream catches."""


def first_request(stream: Stream, *, seller: str, now: datetime) -> Request | None:
    """Return what a walk of the stream asks first, without asking; None if it asks nothing."""
    window = cell(stream.progress, now - timedelta(days=1)) if isinstance(stream.progress, Windows) else None
    slice_ = "1" if isinstance(stream.slices, ListedBy) else stream.slices[0]
    ids = () if stream.ids is None else (stream.ids.example,)
    walk = Walk(seller=seller, since=now - timedelta(days=1), now=now, slice=slice_, window=window, ids=ids)
    asked: list[Request] = []

    async def fetch(request: Request) -> Answer:
        asked.append(request)
        raise _Enough

    steps = stream.pages(fetch, walk)
    # `pages` awaits nothing but `fetch`, so it runs to that, or to a step before it, in one go, without an event loop.
    with suppress(_Enough, StopAsyncIteration):
        while not asked:
            with suppress(StopIteration):
                steps.__anext__().send(None)
    return asked[0] if asked else None


def refused_streams(
    knowledge: Knowledge, streams: Iterable[Stream], *, seller: str, now: datetime
) -> Mapping[str, str]:
    """Name the streams that the key cannot have, each with the reason."""
    found = {}
    for stream in streams:
        request = first_request(stream, seller=seller, now=now)
        found[stream.name] = "" if request is None else knowledge.lacks(stream, request)
    return {name: why for name, why in found.items() if why}

"""What is known of an account's key: what it says of itself, and what the marketplace says of it when it is asked.

Nothing here is secret: it may be shown, logged and stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches

from collectors.stream import Answer, ListedBy, Marketplace, Request, Secret, Stream, Walk, Windows
from collectors.windows import cell

_A_NAME = re.compile(r"[A-Za-z_]{1,32}")  # anything else may be a secret in the place of its name
_NEAR = 0.75  # "comment" is 0.71 from "content", and "finanse" 0.86 from "finance"


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
    """Return what a walk of the stream asks first, without asking; None if it asks nothing at all."""
    window = cell(stream.progress, now - timedelta(days=1)) if isinstance(stream.progress, Windows) else None
    slice_ = "1" if isinstance(stream.slices, ListedBy) else stream.slices[0]
    ids = (stream.ids.example,) if stream.ids else ()
    walk = Walk(seller=seller, since=now - timedelta(days=1), now=now, slice=slice_, window=window, ids=ids)
    asked: list[Request] = []

    async def fetch(request: Request) -> Answer:
        asked.append(request)
        raise _Enough

    # `pages` awaits nothing but `fetch`, so it runs to that, or to a Mark before it, in one step, without a loop.
    steps = stream.pages(fetch, walk)
    with suppress(_Enough, StopAsyncIteration):
        while True:
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


@dataclass(frozen=True)
class Ignored:
    """A name in a secret that nobody reads."""

    words: str  # one sentence, which does not hold the value
    misspelt: bool  # it is nearly one that is read and not there


def ignored(marketplace: Marketplace, secret: Secret) -> Iterator[Ignored]:
    """Tell which names of the secret the marketplace does not know, with the nearest one that it does."""
    if marketplace.other_fields is None:
        return
    of_logins = [name for login in marketplace.logins.values() for name in login.fields]
    known = [*marketplace.secret_fields, *marketplace.other_fields, *of_logins]
    missing = [name for name in known if name not in secret]
    for name in sorted(secret.keys() - set(known)):
        is_name = _A_NAME.fullmatch(name) is not None
        shown = f"{name!r} in the secret" if is_name else f"a name of {len(name)} characters in the secret"
        near = get_close_matches(name.lower(), missing, n=1, cutoff=_NEAR) if is_name else []
        advice = f"call it {near[0]!r}" if near else f"{marketplace.name} has {', '.join(known)}"
        yield Ignored(f"{shown} is ignored: {advice}", misspelt=bool(near))

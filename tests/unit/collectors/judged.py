"""An answer, and what a judge raises for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collectors.errors import CollectError
from collectors.stream import Answer, Marketplace, Request
from tests.unit.collectors.scripted import NOW


def answer(
    marketplace: Marketplace,
    status: int,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    path: str = "/some/method",
    signed: bool = True,
    host: str | None = None,  # the first whose requests the secret itself signs
) -> Answer:
    host = host or min(marketplace.hosts - marketplace.logins.keys())
    request = Request(method="GET", host=host, path=path, signed=signed)
    return Answer(request=request, status=status, headers=headers or {}, body=body, fetched_at=NOW)


def judged(judge: Callable[[Answer], None], given: Answer) -> CollectError:
    with pytest.raises(CollectError) as caught:
        judge(given)
    assert str(given.status) in str(caught.value)
    assert given.request.path in str(caught.value)
    return caught.value

"""Walking a stream as the worker does, over real sockets, without the worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from collectors.errors import NotReady
from collectors.login import ACCESS_TOKEN
from collectors.refusals import judge_status
from collectors.stream import Answer, Cursor, Page, Request, Stream, Walk, Window, Windows
from collectors.windows import missing
from sandbox.server import Sandbox

LAST_DAYS = timedelta(days=15)


@dataclass
class Seller:
    """One seller of the sandbox, seen by one stream. It is the stream's `fetch`."""

    box: Sandbox
    client: AsyncClient
    stream: Stream
    number: int = 1
    asked: list[Request] = field(default_factory=list)
    token: str | None = None

    @property
    def id(self) -> str:
        return self.box.seller(self.stream.marketplace.name, self.number)

    @property
    def secret(self) -> Mapping[str, str]:
        text = self.box.credentials(self.stream.marketplace.name, self.id)
        return json.loads(text) if text.startswith("{") else {"token": text}

    async def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        marketplace = self.stream.marketplace
        signature = marketplace.sign(await self._signing(request), request) if request.signed else {}
        answer = await self._send(request, request.body, signature)
        (marketplace.judge if request.signed else judge_status)(answer)
        return answer

    async def _signing(self, request: Request) -> Mapping[str, str]:
        """Return the secret, with the token that it is exchanged for, where that is what signs."""
        login = self.stream.marketplace.logins.get(request.host)
        if login is None:
            return self.secret
        if self.token is None:
            self.token = login.token(await self._send(login.request, login.body(self.secret), {})).value
        return {**self.secret, ACCESS_TOKEN: self.token}

    async def _send(self, request: Request, body: Any, signature: Mapping[str, str]) -> Answer:
        response = await self.client.request(
            request.method,
            f"{self.box.hosts[request.host]}{request.path}",
            params=dict(request.query),
            content=None if body is None else msgspec.json.encode(body),
            headers={"Host": request.host, **signature},
        )
        return Answer(
            request=request,
            status=response.status_code,
            headers=dict(response.headers),
            body=response.content,
            fetched_at=datetime.now(UTC),
        )

    async def pages(self, walk: Walk) -> list[Page]:
        """Walk to the last page, polling a report as often as it takes."""
        found: list[Page] = []
        while not (found and found[-1].last):
            try:
                async with aclosing(self.stream.pages(self, walk)) as steps:
                    async for step in steps:
                        walk = replace(walk, cursor=step.cursor)
                        if isinstance(step, Page):
                            found.append(step)
            except NotReady:
                continue
        return found

    def walks(self, slices: tuple[str, ...]) -> list[Walk]:
        """Return the walks that a worker would have to make for the last days."""
        now = self.box.clock.now()
        windows: list[Window | None] = [None]
        if isinstance(self.stream.progress, Windows):
            since = now - LAST_DAYS - self.stream.progress.lag
            windows = [*missing(self.stream.progress, [Window(since, now)], now)]
            assert windows, "no window to walk: the test would prove nothing"
        return [
            Walk(seller=self.id, since=now - LAST_DAYS, now=now, slice=name, window=window)
            for name in slices
            for window in windows
        ]

    def held(self, walk: Walk, **given: Any) -> list[str]:
        """Return the keys of what the sandbox holds of a walk's window, or since its watermark begins."""
        start, end = (walk.since, None) if walk.window is None else (walk.window.start, walk.window.end)
        name = self.stream.marketplace.name
        return sorted(
            self.box.records(
                name, self.id, self.stream.name, **{"slice_": walk.slice, "start": start, "end": end, **given}
            )
        )


Keys = Callable[[bytes], list[str]]


def cursor_after(pages: list[Page], number: int) -> Cursor:
    """Return the cursor as a restart finds it: through JSON."""
    return json.loads(json.dumps(dict(pages[number].cursor)))  # type: ignore[no-any-return]

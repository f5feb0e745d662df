"""The streams that meet the faults: each way of paging once, in each marketplace's name, so that its judge judges."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from datetime import timedelta

import msgspec

from collectors.errors import CollectError
from collectors.ozon.api import OZON
from collectors.paging import by_cursor, by_last_row, by_offset, get, post
from collectors.reports import Failed, Ready, State, Working, report
from collectors.stream import (
    Answer,
    Bucket,
    Fetch,
    Marketplace,
    Pages,
    Rate,
    Request,
    Snapshot,
    Step,
    Stream,
    Walk,
    Windows,
)
from collectors.wildberries.api import STATISTICS, WILDBERRIES
from collectors.windows import days, hours, minutes
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET
from sandbox.faults.case import Scene

HOSTS = {"ozon": "api-seller.ozon.ru", "wildberries": STATISTICS, "yandex_market": PARTNER}
FILES = "files.yandex.net"
CANARY = "canary-0000"
MARKETPLACES = {"ozon": OZON, "wildberries": WILDBERRIES, "yandex_market": YANDEX_MARKET}
SECRETS = {
    "ozon": {"client_id": "1234", "api_key": f"{CANARY}-ozon-key"},
    "wildberries": {"token": f"{CANARY}-wildberries-token"},
    "yandex_market": {"token": f"{CANARY}-yandex-token"},
}


class Asked:
    """Notes in `log` what the streams asked for and which errors they were told: the border to the fetching."""

    def __init__(self, log: list[object]) -> None:
        self._log = log

    def through(self, pages: Pages) -> Pages:
        """Note everything that these pages ask."""

        async def noted(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
            async def asking(request: Request) -> Answer:
                self._log.append(request)
                try:
                    return await fetch(request)
                except CollectError as error:
                    self._log.append(error)
                    raise

            try:
                async for step in pages(asking, walk):
                    yield step
            except CollectError as error:  # the stream's own, of an answer that it cannot read
                self._log.append(error)
                raise

        return noted


def streams(asked: Asked) -> dict[str, dict[str, Stream]]:
    """Return every scene for every marketplace, by the scene's name."""
    return {
        name: {scene.name.lower(): _stream(marketplace, scene, asked) for scene in Scene}
        for name, marketplace in MARKETPLACES.items()
    }


def _stream(marketplace: Marketplace, scene: Scene, asked: Asked) -> Stream:
    host = HOSTS[marketplace.name]
    stream = Stream(
        marketplace=marketplace,
        name=scene.name.lower(),
        about=scene.value,
        progress=Snapshot(),
        pages=asked.through(_pages(scene, host)),
        buckets=(Bucket(name=f"faults {scene.name}", rate=Rate(timedelta(milliseconds=1), burst=1000)),),
        every=hours(1),
    )
    match scene:
        case Scene.WINDOWS:
            return replace(stream, progress=Windows(longest=days(7), since=hours(4), grain=minutes(1)))
        case Scene.SELLERS:
            return replace(stream, sellers=_sellers)
    return stream


def _pages(scene: Scene, host: str) -> Pages:
    match scene:
        case Scene.OFFSETS:
            return by_offset(get(host, "/rows"), rows="rows", size=100)
        case Scene.LAST_ROWS:
            return by_last_row(get(host, "/rows"), rows="", field="id")
        case Scene.WINDOWS:
            return by_cursor(
                get(host, "/rows", lambda walk, _: {"from": str(walk.span.start), "to": str(walk.span.end)}),
                rows="rows",
                following="next",
            )
        case Scene.TOTALS:
            return by_cursor(get(host, "/rows"), rows="rows", following="next", total="total")
        case Scene.REPORT:
            return report(
                post(host, "/reports/create", lambda _, __: {}, repeatable=False),
                report_id="report",
                poll=get(host, lambda _, at: f"/reports/info/{at['report']}", lambda _, __: {}),
                state=_state,
            )
    return by_cursor(get(host, "/rows"), rows="rows", following="next")


class _Report(msgspec.Struct):
    state: str
    file: str = ""


def _state(answer: Answer) -> State:
    found = msgspec.json.decode(answer.body, type=_Report)
    if found.state == "ready":
        host, _, path = found.file.removeprefix("https://").partition("/")
        return Ready(Request(method="GET", host=host, path=f"/{path}", signed=False, buckets=(), file=True))
    return Working(timedelta(seconds=5)) if found.state == "working" else Failed(found.state)


class _Seller(msgspec.Struct):
    seller: str


def _sellers(answer: Answer) -> Iterable[str]:
    try:
        return [msgspec.json.decode(answer.body, type=_Seller).seller]
    except msgspec.DecodeError:
        return []

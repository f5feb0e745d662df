"""Streams of Wildberries that are reports of the seller's analytics: a CSV in a ZIP, by an id that we give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import get, post
from collectors.reports import Failed, Ready, State, Working, report_named_by_us
from collectors.stream import Answer, Json, Pages, Request, Stream, Walk, Windows
from collectors.wildberries.api import ANALYTICS, WILDBERRIES, limit
from collectors.wildberries.times import moscow_day
from collectors.windows import MOSCOW, days, hours, seconds

_PATH: Final = "/api/v2/nm-report/downloads"
_FILTER: Final = "filter[downloadIds]"
_OURS: Final = UUID("7d1f6d8e-52a1-5c0b-9d1b-3c6f0a2be7a4")  # whose names are those of our reports
_LIST = Envelope("data")
_FILE_LIMIT = limit("nm_report_file", every=seconds(20), burst=3, base=hours(1))


def csv_report(kind: str, parameters: Callable[[Walk], dict[str, Json]]) -> Pages:
    """Make a report of that kind. It is kept for 48 hours."""
    return report_named_by_us(
        post(
            ANALYTICS,
            _PATH,
            lambda walk, at: {"id": at["report"], "reportType": kind, "params": parameters(walk)},
            repeatable=False,
        ),
        named=lambda walk, failed: str(uuid5(_OURS, f"{walk.seller} {kind} {walk.span} {walk.now} {failed}")),
        accepted="data",
        poll=get(
            ANALYTICS,
            _PATH,
            lambda _, at: {_FILTER: at["report"]},
            buckets=(limit("nm_report_list", every=seconds(20), burst=3, base=hours(1)),),
        ),
        state=_state,
    )


def _state(answer: Answer) -> State | None:
    """Read the list of reports, asked for with the id of one: what it says of others is not of ours."""
    rows, ours = _LIST.read(answer).rows, answer.request.query[_FILTER]
    row = next((number for number in range(len(rows)) if rows.value(number, "id", str) == ours), None)
    if row is None:
        return None
    match rows.value(row, "status", str):
        case "WAITING" | "PROCESSING" | "RETRY":
            return Working(seconds(10))
        case "SUCCESS":
            path = f"{_PATH}/file/{ours}"
            return Ready(Request(method="GET", host=ANALYTICS, path=path, buckets=(_FILE_LIMIT,)))
        case "FAILED":
            return Failed("no reason given")
        case status:
            raise Malformed(f"a report's status that we do not know: {status!r}", answer)


def _period(walk: Walk) -> dict[str, str]:
    """Name the Moscow days of the window, of which the last is inclusive."""
    return {"start": moscow_day(walk.span.start), "end": moscow_day(walk.span.end - days(1))}


NM_REPORT = Stream(
    marketplace=WILDBERRIES,
    name="nm_report",
    about="the funnel of all cards by day for up to a year, a CSV in a ZIP",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/sellerAnalyticsCsv",
    progress=Windows(
        longest="month",
        grain=days(1),
        zone=MOSCOW,
        since=days(60),
        kept=days(365),
        lag=hours(6),
        restated=((days(7), days(1)), (days(30), days(7))),  # a buyout or return counts on the day of its order
    ),
    paging="report: create, poll, download",
    pages=csv_report(
        "DETAIL_HISTORY_REPORT",
        lambda walk: {
            "startDate": moscow_day(walk.span.start),
            "endDate": moscow_day(walk.span.end - days(1)),  # inclusive
            "timezone": "Europe/Moscow",
            "aggregationLevel": "day",
            "skipDeletedNm": False,
        },
    ),
    buckets=(limit("nm_report", every=seconds(20), burst=3, base=hours(1)),),
    every=hours(12),
    walk_max_age=days(1),
    needs="analytics, with the Jam subscription",
    priority=2,
)

STOCK_HISTORY = Stream(
    marketplace=WILDBERRIES,
    name="stock_history",
    about="stock of all cards by day, a CSV in a ZIP",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/sellerAnalyticsCsv",
    progress=Windows(
        longest="month",
        grain=days(1),
        zone=MOSCOW,
        since=days(60),
        kept=days(89),  # three months
        lag=hours(6),
        restated=((days(3), days(1)),),  # the month under way is read again as a whole
    ),
    paging="report: create, poll, download",
    pages=csv_report(
        "STOCK_HISTORY_DAILY_CSV",
        lambda walk: {"currentPeriod": _period(walk), "stockType": "", "skipDeletedNm": False},
    ),
    buckets=(limit("nm_report", every=seconds(20), burst=3, base=hours(1)),),
    every=days(1),
    walk_max_age=days(1),
    needs="analytics",
    priority=2,
)

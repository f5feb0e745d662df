"""Advertising of an Ozon seller: campaigns, and what each day of them cost and brought."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import cast

import msgspec

from collectors.envelope import Envelope
from collectors.errors import Malformed, NoProgress
from collectors.ozon.api import OZON
from collectors.ozon.performance import EXPORTS, MOST_CAMPAIGNS, PERFORMANCE, PLACES, REPORT, REQUESTS
from collectors.ozon.times import moscow_days
from collectors.paging import at_once, get, post
from collectors.reports import Failed, Ready, State, Working, report, report_by_ids
from collectors.stream import (
    Answer,
    Cursor,
    Fetch,
    IdsOf,
    Json,
    Page,
    Request,
    Snapshot,
    Step,
    Stream,
    Walk,
    Windows,
    records_at,
)
from collectors.windows import MOSCOW, days, hours, seconds

NEEDS = "perf_client_id and perf_client_secret, the keys of the Performance API"

_PAGE = 100  # the documents name no limit
_LIST = Envelope("list")
_STATE = Envelope(state=("state", str), error=("error", str | None))


_ID = cast("type[str]", int | str)  # the schema has a text, the examples a number


class _Campaign(msgspec.Struct):
    id: int | str
    state: str
    kind: str = msgspec.field(name="advObjectType", default="")


class _Campaigns(msgspec.Struct):
    campaigns: list[_Campaign] = msgspec.field(name="list")


def reported(body: bytes) -> Iterable[str]:
    """Read from a page of `perf_campaigns` which of them there can be a report of.

    What is paid by order has reports of its own. Each of the archive would cost an export, to tell nothing new.
    """
    campaigns = msgspec.json.decode(body, type=_Campaigns).campaigns
    return [str(one.id) for one in campaigns if one.kind != "SEARCH_PROMO" and one.state != "CAMPAIGN_STATE_ARCHIVED"]


@records_at("list")
async def _campaigns(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
    """Ask for one page after the other, until an empty one.

    That a server heeds `page` is not said anywhere of this one, and many never ask for a second: so the same page
    again is the end as well, unless it is a full one.
    """
    at = dict(walk.cursor or {"page": 1, "first": None})
    while True:
        request = Request(
            method="GET", host=PERFORMANCE, path="/api/client/campaign", query={"page": at["page"], "pageSize": _PAGE}
        )
        answer = await fetch(request)
        rows = _LIST.read(answer).rows
        first = rows.value(0, "id", _ID) if rows else None
        again = rows and first == at["first"]
        if again and len(rows) == _PAGE:
            raise NoProgress("the page is the one before it", answer)
        at = {"page": at["page"] + 1, "first": first}
        last = again or not rows
        yield Page(answer=answer, records=0 if again else len(rows), cursor=dict(at), last=bool(last))
        if last:
            return


def _days(walk: Walk, _: Cursor) -> Mapping[str, Json]:
    return moscow_days(walk)


def _state(answer: Answer) -> State:
    read = _STATE.read(answer)
    match read["state"]:
        case "NOT_STARTED" | "IN_PROGRESS":
            return Working(seconds(15))
        case "ERROR":
            return Failed(str(read["error"] or "no reason given"))
        case "OK":
            uuid = answer.request.path.rsplit("/", 1)[-1]
            return Ready(
                Request(
                    method="GET", host=PERFORMANCE, path=f"{REPORT}/report", query={"UUID": uuid}, buckets=(REQUESTS,)
                )
            )
    raise Malformed(f"a report's state that we do not know: {read.values}", answer)


# Orders are counted towards a day for as long as the click before them is remembered.
_DAILY = Windows(
    longest=days(31),  # 62 may be asked for
    grain=days(1),
    zone=MOSCOW,
    since=days(62),
    lag=hours(3),
    restated=((days(3), hours(12)), (days(30), days(7))),
)

PERF_CAMPAIGNS = Stream(
    marketplace=OZON,
    name="perf_campaigns",
    about="advertising campaigns",
    docs="https://docs.ozon.ru/api/performance/#operation/ListCampaigns",
    progress=Snapshot(),
    paging="page number until empty",
    pages=_campaigns,
    buckets=(REQUESTS,),
    every=hours(3),
    needs=NEEDS,
)

PERF_DAILY = Stream(
    marketplace=OZON,
    name="perf_daily",
    about="views, clicks, orders and costs of each campaign and day",
    docs="https://docs.ozon.ru/api/performance/#operation/GetCampaignDailyStats",
    progress=_DAILY,
    paging="one answer a window",
    pages=at_once(get(PERFORMANCE, "/api/client/statistics/daily/json", _days), rows="rows"),
    buckets=(REQUESTS,),
    every=hours(6),
    needs=NEEDS,
)

PERF_EXPENSE = Stream(
    marketplace=OZON,
    name="perf_expense",
    about="what each campaign was charged on each day, and from which account",
    docs="https://docs.ozon.ru/api/performance/#operation/GetCampaignExpense",
    progress=_DAILY,
    paging="one answer a window",
    pages=at_once(get(PERFORMANCE, "/api/client/statistics/expense/json", _days), rows="rows"),
    buckets=(REQUESTS,),
    every=hours(6),
    needs=NEEDS,
    priority=2,
)

PERF_SKU = Stream(
    marketplace=OZON,
    name="perf_sku",
    about="views, clicks, orders and costs of each product that is paid by click, on each day",
    docs="https://docs.ozon.ru/api/performance/#operation/SearchPromoProductsSkuStatistics2",
    progress=Windows(
        longest=days(1),
        grain=days(1),
        zone=MOSCOW,
        since=days(1),
        kept=days(2),  # a day can be asked for until the next one is over
        lag=hours(1),
        restated=((hours(16), hours(6)),),
    ),
    paging="one answer a day",
    pages=at_once(post(PERFORMANCE, "/api/client/statistics/products/sku", _days), rows="rows"),
    buckets=(REQUESTS,),
    every=hours(3),
    needs=NEEDS,
)

_REPORT = report(
    post(
        PERFORMANCE,
        REPORT,
        lambda walk, _: {"campaigns": list(walk.ids), "groupBy": "DATE", **moscow_days(walk)},
        repeatable=False,
    ),
    report_id="UUID",
    poll=get(PERFORMANCE, lambda _, at: f"{REPORT}/{at['report']}", lambda _, __: {}, buckets=(REQUESTS,)),
    state=_state,
    places=PLACES,
)

PERF_REPORT = Stream(
    marketplace=OZON,
    name="perf_report",
    about="views, clicks, orders and costs of each product of a campaign on each day: a CSV, or a ZIP of several",
    docs="https://docs.ozon.ru/api/performance/#operation/SubmitRequest",
    ids=IdsOf(streams=("perf_campaigns",), read=reported),
    progress=Windows(
        longest=days(62),
        grain=days(1),
        zone=MOSCOW,
        since=days(62),
        lag=hours(6),
        restated=((days(7), days(1)), (days(30), days(7))),
    ),
    paging="report of 10 campaigns: create, poll, download, one at a time",
    pages=report_by_ids(_REPORT, size=MOST_CAMPAIGNS),
    buckets=(REQUESTS, EXPORTS),
    every=days(1),
    walk_max_age=days(1),
    needs=NEEDS,
)

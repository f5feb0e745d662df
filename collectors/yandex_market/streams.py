"""The streams of Yandex Market. The seller is the business (cabinet); its stores are campaigns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import msgspec

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import Part, by_cursor, get, post
from collectors.reports import Failed, NothingToTell, Ready, State, TooLarge, Working, report
from collectors.stream import Answer, ListedBy, Request, Snapshot, Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes, seconds
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota, quota_of_items


def moscow_day(at: datetime) -> str:
    return at.astimezone(MOSCOW).date().isoformat()


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page_token(limit: int) -> Part:
    """Give `pageToken` and `limit`, which are query parameters even of a POST."""
    return lambda walk, at: {"limit": walk.limit(limit), "pageToken": at["cursor"] or None}


class _Business(msgspec.Struct):
    id: int


class _Campaign(msgspec.Struct):
    id: int
    business: _Business | None = None


class _Campaigns(msgspec.Struct):
    campaigns: list[_Campaign]


def campaign_ids(body: bytes) -> Iterable[str]:
    """Read the names of the slices that a page of `campaigns` lists."""
    return [str(campaign.id) for campaign in msgspec.json.decode(body, type=_Campaigns).campaigns]


def businesses(answer: Answer) -> Iterable[str]:
    """Read whose stores a page of `campaigns` lists. One that does not say so, or cannot be read, names nobody."""
    try:
        campaigns = msgspec.json.decode(answer.body, type=_Campaigns).campaigns
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    return {str(campaign.business.id) for campaign in campaigns if campaign.business is not None}


CAMPAIGNS = Stream(
    marketplace=YANDEX_MARKET,
    name="campaigns",
    about="stores of the key",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/campaigns/getCampaigns",
    progress=Snapshot(),
    paging="pageToken",
    pages=by_cursor(
        get(PARTNER, "/v2/campaigns", page_token(100)),
        rows="campaigns",
        following="paging.nextPageToken",
        empty_ends=False,
    ),
    buckets=(quota("campaigns", amount=1000, per=hours(1)),),
    sellers=businesses,  # no other answer of ours has the id of the business in it
    every=hours(6),
)

ORDERS_STATS = Stream(
    marketplace=YANDEX_MARKET,
    name="orders_stats",
    about="money of each order, by the day it changed",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/stats/getOrdersStats",
    slices=ListedBy(stream="campaigns", read=campaign_ids),
    progress=Windows(
        longest=days(7),
        grain=days(1),  # updateFrom and updateTo are days
        zone=MOSCOW,
        since=days(90),
        lag=hours(2),
        restated=((days(7), hours(6)),),  # the figures come later than the orders
    ),
    paging="pageToken",
    pages=by_cursor(
        post(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/stats/orders",
            lambda walk, _: {
                "updateFrom": moscow_day(walk.span.start),
                "updateTo": moscow_day(walk.span.end - days(1)),  # inclusive
            },
            query=page_token(200),
        ),
        rows="result.orders",
        following="result.paging.nextPageToken",
        empty_ends=False,
    ),
    # The vendor's page counts orders; `x-resource-limit-config`, for the same amount, requests. Orders are the fewer.
    buckets=(quota_of_items("orders_stats", amount=10_000, per=hours(1), page=200, rows="result.orders"),),
    every=hours(6),
    needs="inventory-and-order-processing",
)

ORDERS = Stream(
    marketplace=YANDEX_MARKET,
    name="orders",
    about="orders of all stores as they change",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/orders/getBusinessOrders",
    progress=Windows(longest=days(30), since=days(90), lag=minutes(1)),
    paging="pageToken, windows of 30 days",
    pages=by_cursor(
        post(
            PARTNER,
            lambda walk, _: f"/v1/businesses/{walk.seller}/orders",
            lambda walk, _: {
                "dates": {"updateDateFrom": rfc3339(walk.span.start), "updateDateTo": rfc3339(walk.span.end)}
            },
            query=page_token(50),
        ),
        rows="orders",
        following="paging.nextPageToken",
        empty_ends=False,
    ),
    buckets=(quota("orders", amount=10_000, per=hours(1)),),
    every=minutes(15),
    needs="inventory-and-order-processing",
)

PRICES = Stream(
    marketplace=YANDEX_MARKET,
    name="prices",
    about="prices of the whole catalogue",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/prices/getDefaultPrices",
    progress=Snapshot(),
    paging="pageToken",
    pages=by_cursor(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/offer-prices",
            lambda _, __: {"archived": False},
            query=page_token(500),
        ),
        rows="result.offers",
        following="result.paging.nextPageToken",
        empty_ends=False,
    ),
    buckets=(quota_of_items("prices", amount=5000, per=minutes(1), page=500, rows="result.offers"),),
    every=hours(6),
    needs="pricing",
)


_REPORT = Envelope(
    status=("result.status", str), sub_status=("result.subStatus", str | None), file=("result.file", str | None)
)


def _download(link: str, answer: Answer) -> Request:
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise Malformed(f"the link to the file cannot be read: {error}", answer) from error
    return Request(
        method="GET",
        host=parts.netloc,
        path=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        buckets=(),
        signed=False,
    )


def report_state(answer: Answer) -> State:
    """Read what `reports/info` says of a report."""
    read = _REPORT.read(answer)
    match read["status"], read["sub_status"]:
        case (("PENDING" | "PROCESSING"), _):
            return Working(seconds(5))
        case _, "NO_DATA":
            return NothingToTell()
        case _, "TOO_LARGE":
            return TooLarge()
        case "FAILED", reason:
            return Failed(str(reason or "no reason given"))
        case "DONE", _ if read["file"]:
            return Ready(_download(str(read["file"]), answer))
    raise Malformed(f"a report's state that we do not know: {read.values}", answer)


UNITED_NETTING = Stream(
    marketplace=YANDEX_MARKET,
    name="united_netting",
    about="payments report, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedNettingReport",
    progress=Windows(
        longest="month",
        grain=days(1),
        zone=MOSCOW,
        since=days(90),
        lag=hours(12),
        restated=((days(14), days(1)),),
    ),
    paging="report: create, poll, download",
    pages=report(
        post(
            PARTNER,
            "/v2/reports/united-netting/generate",
            lambda walk, _: {
                "businessId": int(walk.seller),
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive
            },
            query=lambda _, __: {"format": "JSON"},
            repeatable=False,
        ),
        report_id="result.reportId",
        poll=get(
            PARTNER,
            lambda _, at: f"/v2/reports/info/{at['report']}",
            lambda _, __: {},
            buckets=(quota("reports_info", amount=100, per=minutes(1)),),
        ),
        state=report_state,
    ),
    buckets=(quota("united_netting", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting",
)

STREAMS = (CAMPAIGNS, ORDERS_STATS, ORDERS, PRICES, UNITED_NETTING)

"""The streams of Wildberries. Limits are those of a personal or service token, and of a base token beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from collectors.paging import by_keyset, by_last_row, by_offset, by_watermark, get, post
from collectors.stream import Snapshot, Stream, Watermark, Windows
from collectors.wildberries.api import ANALYTICS, CONTENT, FEEDBACKS, FINANCE, PRICES, STATISTICS, WILDBERRIES, limit
from collectors.windows import MOSCOW, days, hours, minutes, seconds


def moscow(at: datetime) -> str:
    """Write a time as the statistics host reads it: Moscow's, without an offset."""
    return at.astimezone(MOSCOW).replace(tzinfo=None).isoformat(timespec="seconds")


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_moment(end: datetime) -> str:
    """Write the last moment before `end`, as finely as times can be written."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moscow_day(at: datetime) -> str:
    return at.astimezone(MOSCOW).date().isoformat()


ORDERS = Stream(
    marketplace=WILDBERRIES,
    name="orders",
    about="orders as they change; preliminary",
    docs="https://dev.wildberries.ru/openapi/reports#tag/Osnovnye-otchyoty",
    progress=Watermark(since=days(90), kept=days(90)),
    paging="lastChangeDate at or after the last row's",
    pages=by_watermark(
        get(STATISTICS, "/api/v1/supplier/orders", lambda _, at: {"dateFrom": at["since"], "flag": 0}),
        rows="",
        field="lastChangeDate",
        full=80_000,  # "about 80,000 rows", the vendor's page
        begin=moscow,
        passed=lambda since, end: datetime.fromisoformat(since).replace(tzinfo=MOSCOW) >= end,
    ),
    buckets=(limit("orders", every=minutes(1), burst=10, base=hours(3)),),
    every=minutes(30),  # the data are renewed every 30 minutes
    needs="statistics",
)

CARDS = Stream(
    marketplace=WILDBERRIES,
    name="cards",
    about="product cards as they change, without those in the bin",
    docs="https://dev.wildberries.ru/openapi/work-with-products#tag/Kartochki-tovarov",
    progress=Watermark(since=days(3650)),
    paging="keyset updatedAt + nmID",
    pages=by_keyset(
        post(
            CONTENT,
            "/content/v2/get/cards/list",
            lambda walk, at: {
                "settings": {
                    "sort": {"ascending": True},
                    "filter": {"withPhoto": -1},
                    "cursor": {"limit": walk.limit(100), **at},
                }
            },
        ),
        rows="cards",
        at={"updatedAt": ("cursor.updatedAt", str), "nmID": ("cursor.nmID", int)},
        begin=lambda since: {"updatedAt": rfc3339(since), "nmID": 0},
    ),
    buckets=(limit("content", every=seconds(0.6), burst=5),),
    every=hours(1),
    needs="content",
)

PRICES_OF_GOODS = Stream(
    marketplace=WILDBERRIES,
    name="prices",
    about="prices and discounts of all goods",
    docs="https://dev.wildberries.ru/openapi/work-with-products#tag/Ceny-i-skidki",
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(
        get(PRICES, "/api/v2/list/goods/filter"),  # offset, limit
        rows="data.listGoods",
        size=1000,
    ),
    buckets=(limit("prices", every=seconds(0.6), burst=5, base=minutes(15)),),
    every=hours(6),
    needs="prices and discounts",
)

FIN_DETAIL = Stream(
    marketplace=WILDBERRIES,
    name="fin_detail",
    about="rows of the weekly realization reports",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/Finansovye-otchyoty",
    progress=Windows(
        longest=days(7),  # a weekly report is of a Moscow week and appears on the Monday after it
        grain=days(7),
        zone=MOSCOW,
        lag=days(1),
        since=days(90),
        kept=days(1000),  # from 2024-01-29
        restated=((days(7), days(1)),),
    ),
    paging="rrdId after the last row's, until 204",
    pages=by_last_row(
        post(
            FINANCE,
            "/api/finance/v1/sales-reports/detailed",
            lambda walk, at: {
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive
                "limit": walk.limit(100_000),
                "rrdId": at["after"],
                "period": "weekly",
            },
        ),
        rows="",
        field="rrdId",
    ),
    buckets=(limit("fin_detail", every=minutes(1), burst=1, base=hours(12)),),
    every=hours(6),
    needs="finance",
)

ORDER_FEED = Stream(
    marketplace=WILDBERRIES,
    name="order_feed",
    about="all orders by the time of their status, as it changes",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/Lenta-zakazov",
    progress=Windows(longest=days(7), since=days(30), kept=days(31), lag=minutes(5)),
    paging="offset in a snapshot pinned by snapshotTime",
    pages=by_offset(
        post(
            ANALYTICS,
            "/api/analytics/v1/order-feed",
            lambda walk, at: {
                "selectedPeriod": {
                    "start": rfc3339(walk.span.start),
                    "end": last_moment(walk.span.end),  # inclusive
                },
                "pagination": dict(at),  # limit, offset, snapshotTime
            },
        ),
        rows="data.orders",
        size=10_000,
        pinned="data.snapshotTime",
        pin_as="snapshotTime",
    ),
    buckets=(limit("order_feed", every=minutes(1), burst=1, base=hours(3)),),
    every=minutes(30),
    needs="analytics",
)

FEEDBACKS_OF_BUYERS = Stream(
    marketplace=WILDBERRIES,
    name="feedbacks",
    about="buyers' reviews, answered and not",
    docs="https://dev.wildberries.ru/openapi/user-communication#tag/Otzyvy",
    slices=("answered=true", "answered=false"),
    progress=Windows(
        longest=days(7),
        since=days(90),
        lag=minutes(1),
        restated=((days(7), hours(6)), (days(60), days(7))),  # an answer moves a review to the other slice
    ),
    paging="skip/take until empty",
    pages=by_offset(
        get(
            FEEDBACKS,
            "/api/v1/feedbacks",
            lambda walk, at: {
                "isAnswered": walk.slice.removeprefix("answered="),
                "take": at["limit"],
                "skip": at["offset"],
                "order": "dateAsc",
                "dateFrom": int(walk.span.start.timestamp()),
                "dateTo": int(walk.span.end.timestamp()) - 1,  # inclusive
            },
        ),
        rows="data.feedbacks",
        size=5000,
        deepest=199_990,
    ),
    buckets=(limit("feedbacks", every=seconds(1 / 3), burst=6, base=minutes(12)),),
    every=hours(1),
    needs="feedbacks and questions",
)

STREAMS = (ORDERS, CARDS, PRICES_OF_GOODS, FIN_DETAIL, ORDER_FEED, FEEDBACKS_OF_BUYERS)

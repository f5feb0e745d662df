"""Streams of Wildberries: what was ordered, sold and returned, and how goods were seen."""

from __future__ import annotations

from datetime import datetime

from collectors.fanout import by_ids
from collectors.paging import at_once, by_cursor, by_offset, by_watermark, get, post
from collectors.stream import Snapshot, Stream, Watermark, Windows
from collectors.wildberries.api import ANALYTICS, MARKET, STATISTICS, WILDBERRIES, limit, market_limit
from collectors.wildberries.listed import CARDS_SEEN, TASK_IDS
from collectors.wildberries.times import last_moment, moscow, moscow_day, moscow_days, rfc3339, unix_seconds
from collectors.windows import MOSCOW, days, hours, minutes, seconds


def passed(since: str, end: datetime) -> bool:
    """Tell whether a time as the statistics host writes it is at or after `end`."""
    return datetime.fromisoformat(since).replace(tzinfo=MOSCOW) >= end


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
        passed=passed,
    ),
    buckets=(limit("orders", every=minutes(1), burst=10, base=hours(3)),),
    every=minutes(30),  # the data are renewed every 30 minutes
    needs="statistics",
)

_SALES_LIMIT = limit("sales", every=minutes(1), burst=1, base=hours(2))

SALES = Stream(
    marketplace=WILDBERRIES,
    name="sales",
    about="sales and returns as they appear; preliminary, the money may still be 0",
    docs="https://dev.wildberries.ru/openapi/reports#tag/mainReports",
    progress=Watermark(since=days(90), kept=days(90)),
    paging="lastChangeDate at or after the last row's",
    pages=by_watermark(
        get(STATISTICS, "/api/v1/supplier/sales", lambda _, at: {"dateFrom": at["since"], "flag": 0}),
        rows="",
        field="lastChangeDate",
        full=80_000,  # "about 80,000 rows", the vendor's page
        begin=moscow,
        passed=passed,
    ),
    buckets=(_SALES_LIMIT,),
    every=minutes(30),  # the data are renewed every 30 minutes
    needs="statistics",
)

# finishedPrice, priceWithDisc and forPay may be 0 for 24 hours; that lastChangeDate then moves is nowhere promised. So
# each day is asked for once more when its money is in: with flag=1 the answer is all of one Moscow day.
SALES_BY_DAY = Stream(
    marketplace=WILDBERRIES,
    name="sales_by_day",
    about="sales and returns of a day, once the money is in",
    docs="https://dev.wildberries.ru/openapi/reports#tag/mainReports",
    progress=Windows(longest=days(1), grain=days(1), zone=MOSCOW, since=days(7), kept=days(90), lag=hours(25)),
    paging="one answer a day",
    pages=at_once(
        get(STATISTICS, "/api/v1/supplier/sales", lambda walk, _: {"dateFrom": moscow_day(walk.span.start), "flag": 1}),
        rows="",
    ),
    buckets=(_SALES_LIMIT,),
    every=hours(6),
    needs="statistics",
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
    walk_max_age=hours(12),  # a base token waits three hours between two pages
    needs="analytics",
)

SALES_FUNNEL = Stream(
    marketplace=WILDBERRIES,
    name="sales_funnel",
    about="views, carts, orders and buyouts of each card by day",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/salesFunnel",
    progress=Windows(
        longest=days(1),
        grain=days(1),
        zone=MOSCOW,
        since=days(14),
        kept=days(365),
        lag=hours(1),
        restated=((days(3), hours(12)), (days(30), days(7))),  # a buyout or return counts on the day of its order
    ),
    paging="offset until empty",
    pages=by_offset(
        post(
            ANALYTICS,
            "/api/analytics/v3/sales-funnel/products",
            lambda walk, at: {
                "selectedPeriod": {
                    "start": moscow_day(walk.span.start),
                    "end": moscow_day(walk.span.end - days(1)),  # inclusive
                },
                "skipDeletedNm": False,
                # Views settle first: by anything else, cards would change places between the pages.
                "orderBy": {"field": "openCard", "mode": "desc"},
                **at,
            },
        ),
        rows="data.products",
        size=1000,
    ),
    buckets=(limit("sales_funnel", every=seconds(20), burst=3, base=minutes(30)),),
    every=hours(6),
    needs="analytics",
)

SALES_FUNNEL_HISTORY = Stream(
    marketplace=WILDBERRIES,
    name="sales_funnel_history",
    about="the funnel of each card of the last week by day, with what was put aside",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/salesFunnel",
    progress=Windows(longest=days(1), grain=days(1), zone=MOSCOW, since=days(5), kept=days(7), lag=hours(25)),
    ids=CARDS_SEEN,
    paging="cards of sales_funnel, 20 at a time",
    pages=by_ids(
        post(
            ANALYTICS,
            "/api/analytics/v3/sales-funnel/products/history",
            lambda walk, at: {
                "selectedPeriod": {
                    "start": moscow_day(walk.span.start),
                    "end": moscow_day(walk.span.end - days(1)),  # inclusive
                },
                "nmIds": at["ids"],
                "skipDeletedNm": False,
                "aggregationLevel": "day",
            },
        ),
        rows="",
        size=20,
    ),
    buckets=(limit("sales_funnel_history", every=seconds(20), burst=3, base=minutes(30)),),
    every=hours(12),
    walk_max_age=days(2),  # the oldest day that it begins with is forgotten after that
    needs="analytics",
    priority=2,
)

SEARCH_TEXTS = Stream(
    marketplace=WILDBERRIES,
    name="search_texts",
    about="the searches that led to each card most often, by day",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/searchQueriesForYourItems",
    progress=Windows(longest=days(1), grain=days(1), zone=MOSCOW, since=days(7), kept=days(365), lag=hours(25)),
    ids=CARDS_SEEN,
    paging="cards of sales_funnel, 50 at a time",
    pages=by_ids(
        post(
            ANALYTICS,
            "/api/v2/search-report/product/search-texts",
            lambda walk, at: {
                "currentPeriod": {
                    "start": moscow_day(walk.span.start),
                    "end": moscow_day(walk.span.end - days(1)),  # inclusive
                },
                "nmIds": at["ids"],
                "topOrderBy": "openCard",
                "orderBy": {"field": "openCard", "mode": "desc"},
                "limit": 30,  # of a card; 100 with a dearer tariff only
            },
        ),
        rows="data.items",
        size=50,
    ),
    buckets=(limit("search_texts", every=seconds(20), burst=3, base=hours(1)),),
    every=hours(12),
    needs="analytics, with the Jam subscription",
    priority=3,
)

FBS_ORDERS = Stream(
    marketplace=WILDBERRIES,
    name="fbs_orders",
    about="assembly tasks of orders from the seller's warehouses, without their status",
    docs="https://dev.wildberries.ru/openapi/orders-fbs#tag/Sborochnye-zadaniya-FBS",
    progress=Windows(
        longest=days(28),  # 30 calendar days may be asked for at once
        since=days(30),
        kept=days(89),  # "not more than 3 months ago", and the shortest three have 89 days
        lag=minutes(1),
        restated=((days(7), hours(12)),),  # a task is put into a supply some days later
    ),
    paging="next, until empty",
    pages=by_cursor(
        get(
            MARKET,
            "/api/v3/orders",
            lambda walk, at: {"limit": walk.limit(1000), "next": at["cursor"], **unix_seconds(walk)},
        ),
        rows="orders",
        following="next",
        first=0,
    ),
    buckets=(market_limit("fbs"),),
    every=minutes(30),
    needs="marketplace",
    priority=2,
)

FBS_ORDER_STATUS = Stream(
    marketplace=WILDBERRIES,
    name="fbs_order_status",
    about="where the assembly tasks of the last 30 days stand",
    docs="https://dev.wildberries.ru/openapi/orders-fbs#tag/Sborochnye-zadaniya-FBS",
    progress=Snapshot(),
    ids=TASK_IDS,
    paging="ids of fbs_orders, 1000 at a time",
    pages=by_ids(post(MARKET, "/api/v3/orders/status", lambda _, at: {"orders": at["ids"]}), rows="orders", size=1000),
    buckets=(market_limit("fbs"),),
    every=hours(1),
    needs="marketplace",
    priority=2,
)

ITEM_RETURNS = Stream(
    marketplace=WILDBERRIES,
    name="item_returns",
    about="goods on their way back to the seller",
    docs="https://dev.wildberries.ru/openapi/reports#tag/returnsAndItemMovementReport",
    progress=Windows(
        longest=days(28),  # 31 days could be asked for before October 2026
        grain=days(1),
        zone=MOSCOW,
        since=days(60),
        lag=hours(1),
        restated=((days(14), days(1)), (days(60), days(7))),  # until it is handed over
    ),
    paging="offset until empty",
    pages=by_offset(get(ANALYTICS, "/api/analytics/v1/item-returns", moscow_days), rows="report", size=1000),
    buckets=(limit("item_returns", every=minutes(1), burst=10, base=minutes(30)),),
    every=hours(12),
    needs="analytics",
    priority=2,
)

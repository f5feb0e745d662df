"""Orders, what came back of them, and what was supplied."""

from __future__ import annotations

from collectors.paging import get, post
from collectors.stream import Snapshot, Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota, quota_of_items
from collectors.yandex_market.paging import moscow_day, page_token, paged, rfc3339
from collectors.yandex_market.stores import EACH_STORE

ORDERS_STATS = Stream(
    marketplace=YANDEX_MARKET,
    name="orders_stats",
    about="money of each order, by the day it changed",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/stats/getOrdersStats",
    slices=EACH_STORE,
    progress=Windows(
        longest=days(7),
        grain=days(1),  # updateFrom and updateTo are days
        zone=MOSCOW,
        since=days(90),
        lag=hours(2),
        restated=((days(7), hours(6)),),  # the figures come later than the orders
    ),
    paging="pageToken",
    pages=paged(
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
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v1/businesses/{walk.seller}/orders",
            lambda walk, _: {
                "dates": {"updateDateFrom": rfc3339(walk.span.start), "updateDateTo": rfc3339(walk.span.end)}
            },
            query=page_token(50),
        ),
        rows="orders",
    ),
    buckets=(quota("orders", amount=10_000, per=hours(1)),),
    every=minutes(15),
    needs="inventory-and-order-processing or finance-and-accounting",
)

RETURNS = Stream(
    marketplace=YANDEX_MARKET,
    name="returns",
    about="returns and unredeemed orders, by the day they changed",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/returns/getReturns",
    slices=EACH_STORE,
    # One that changes again leaves its day for a later one, so a day that was read whole is not read again.
    progress=Windows(longest=days(30), grain=days(1), zone=MOSCOW, since=days(90), lag=hours(2)),
    paging="pageToken",
    pages=paged(
        get(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/returns",
            lambda walk, at: {
                # Not from_date and to_date, which are switched off since 2026-10-12.
                "fromDate": moscow_day(walk.span.start),
                "toDate": moscow_day(walk.span.end - days(1)),  # inclusive, as where this API says so for days
                **page_token(100)(walk, at),
            },
        ),
        rows="result.returns",
    ),
    buckets=(quota("returns", amount=5000, per=hours(1)),),
    every=hours(6),
    needs="inventory-and-order-processing",
)

SUPPLY_REQUESTS = Stream(
    marketplace=YANDEX_MARKET,
    name="supply_requests",
    about="supplies to the Market's warehouses, withdrawals and disposals",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/supply-requests/getSupplyRequests",
    slices=EACH_STORE,
    progress=Snapshot(),  # its only dates are of the planned delivery, which may be in the future, not of the change
    paging="pageToken, in the order of ids",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/supply-requests",
            lambda _, __: {"sorting": {"direction": "ASC", "attribute": "ID"}},
            query=page_token(100),
        ),
        rows="result.requests",
    ),
    buckets=(quota("supply_requests", amount=1000, per=hours(1)),),
    every=hours(6),
    needs="supplies-management:read-only",
    priority=2,
)

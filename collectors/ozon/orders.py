"""What is sent to buyers, what comes back, and what is sent to Ozon."""

from __future__ import annotations

from collectors.ozon.api import OZON, SELLER
from collectors.ozon.times import last_moment, rfc3339
from collectors.paging import by_cursor, by_last_row, post
from collectors.stream import Snapshot, Stream, Windows
from collectors.windows import days, hours, minutes

_SUPPLY_STATES = [
    "DATA_FILLING",
    "READY_TO_SUPPLY",
    "ACCEPTED_AT_SUPPLY_WAREHOUSE",
    "IN_TRANSIT",
    "ACCEPTANCE_AT_STORAGE_WAREHOUSE",
    "REPORTS_CONFIRMATION_AWAITING",
    "REPORT_REJECTED",
    "COMPLETED",
    "REJECTED_AT_SUPPLY_WAREHOUSE",
    "CANCELLED",
    "OVERDUE",
]

FBS_POSTINGS = Stream(
    marketplace=OZON,
    name="fbs_postings",
    about="FBS and rFBS postings",
    docs="https://docs.ozon.ru/api/seller/#operation/PostingFbsList",
    progress=Windows(
        longest=days(1),  # the API takes a year; a day is what is worth reading again
        since=days(60),
        lag=minutes(1),
        restated=((days(2), hours(1)), (days(60), days(1))),  # statuses change until delivery or return
    ),
    paging="cursor while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v4/posting/fbs/list",
            lambda walk, at: {
                "filter": {"since": rfc3339(walk.span.start), "to": last_moment(walk.span.end)},  # inclusive
                "limit": walk.limit(100),
                "sort_dir": "ASC",
                "cursor": at["cursor"] or None,
                "with": {"analytics_data": True, "barcodes": True, "financial_data": True},
            },
        ),
        rows="postings",
        following="cursor",
        more="has_next",
    ),
    buckets=(),
    every=minutes(15),
)

FBO_POSTINGS = Stream(
    marketplace=OZON,
    name="fbo_postings",
    about="FBO postings",
    docs="https://docs.ozon.ru/api/seller/#operation/PostingFboList",
    progress=Windows(
        longest=days(1),
        since=days(60),
        lag=minutes(1),
        restated=((days(2), hours(1)), (days(60), days(1))),  # nothing asks for what changed since
    ),
    paging="cursor while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v3/posting/fbo/list",
            lambda walk, at: {
                "filter": {"since": rfc3339(walk.span.start), "to": last_moment(walk.span.end)},  # inclusive
                "limit": walk.limit(100),
                "sort_dir": "ASC",
                "cursor": at["cursor"] or None,
                "with": {"analytics_data": True, "financial_data": True, "legal_info": True},
            },
        ),
        rows="postings",
        following="cursor",
        more="has_next",
    ),
    buckets=(),
    every=minutes(15),
)

RETURNS = Stream(
    marketplace=OZON,
    name="returns",
    about="returns of FBO and FBS as their status changes",
    docs="https://docs.ozon.ru/api/seller/#operation/returnsList",
    progress=Windows(longest=days(30), since=days(60), lag=minutes(5)),
    paging="last row's id while has_next",
    pages=by_last_row(
        post(
            SELLER,
            "/v1/returns/list",
            lambda walk, at: {
                # One filter by date and no more: two are an error.
                "filter": {
                    "visual_status_change_moment": {
                        "time_from": rfc3339(walk.span.start),
                        "time_to": last_moment(walk.span.end),
                    }
                },
                "limit": walk.limit(500),
                "last_id": at["after"],
            },
        ),
        rows="returns",
        field="id",
        more="has_next",
        quoted=True,  # the schema says int64, the vendor's example has a text
    ),
    buckets=(),
    every=hours(1),
)

RETURNS_RFBS = Stream(
    marketplace=OZON,
    name="returns_rfbs",
    about="requests of buyers to return what rFBS delivered",
    docs="https://docs.ozon.ru/api/seller/#operation/RFBSReturnsAPI_ReturnsRfbsListV2",
    progress=Windows(
        longest=days(30),
        since=days(60),
        lag=minutes(5),
        restated=((days(60), days(1)),),  # their state changes until the money is back
    ),
    paging="last row's return_id until empty",
    pages=by_last_row(
        post(
            SELLER,
            "/v2/returns/rfbs/list",
            lambda walk, at: {
                "filter": {"created_at": {"from": rfc3339(walk.span.start), "to": last_moment(walk.span.end)}},
                "limit": walk.limit(100),  # the largest is not documented
                "last_id": at["after"],
            },
        ),
        rows="returns",  # an object in the schema, an array in the vendor's example
        field="return_id",
        quoted=True,
    ),
    buckets=(),
    every=hours(6),
    priority=3,
)

SUPPLY_ORDERS = Stream(
    marketplace=OZON,
    name="supply_orders",
    about="ids of all supplies to Ozon's warehouses",
    docs="https://docs.ozon.ru/api/seller/#operation/SupplyOrderList",
    progress=Snapshot(),
    paging="last_id until empty",
    pages=by_cursor(
        post(
            SELLER,
            "/v3/supply-order/list",
            lambda walk, at: {
                "filter": {"states": _SUPPLY_STATES},
                "last_id": at["cursor"],
                "limit": walk.limit(100),
                "sort_by": "ORDER_CREATION",  # by the time of a change, rows would move between the pages
                "sort_dir": "ASC",
            },
        ),
        rows="order_ids",
        following="last_id",
    ),
    buckets=(),
    every=hours(6),
    priority=2,
)

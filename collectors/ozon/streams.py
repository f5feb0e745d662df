"""The streams of Ozon's Seller API. All reads are POST; its limit is the one of all methods together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from collectors.ozon.api import OZON, SELLER
from collectors.paging import by_cursor, post
from collectors.stream import Snapshot, Stream, Windows
from collectors.windows import days, hours, minutes


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_moment(end: datetime) -> str:
    """Write the last moment before `end`; times of postings have microseconds."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


PRODUCTS = Stream(
    marketplace=OZON,
    name="products",
    about="ids of all products, in the archive or not",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductAPI_GetProductList",
    slices=("ALL", "ARCHIVED"),  # ALL leaves out the archive
    progress=Snapshot(),
    paging="last_id until empty",
    pages=by_cursor(
        post(
            SELLER,
            "/v3/product/list",
            lambda walk, at: {
                "filter": {"visibility": walk.slice},
                "last_id": at["cursor"],
                "limit": walk.limit(1000),
            },
        ),
        rows="result.items",
        following="result.last_id",
        total="result.total",
    ),
    buckets=(),
    every=hours(6),
)

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

ACCRUALS_BY_DAY = Stream(
    marketplace=OZON,
    name="accruals_by_day",
    about="accruals and fees of each day",
    docs="https://docs.ozon.ru/api/seller/#operation/GetFinanceAccrualByDay",
    progress=Windows(
        longest=days(1),  # one day a request
        grain=days(1),
        since=days(60),
        lag=hours(3),
        restated=((days(7), hours(6)), (days(40), days(7))),
    ),
    walk_max_age=minutes(12),  # last_id lives for 15 minutes
    paging="last_id until empty, one day a request",
    pages=by_cursor(
        post(
            SELLER,
            "/v1/finance/accrual/by-day",
            lambda walk, at: {"date": walk.span.start.date().isoformat(), "last_id": at["cursor"]},
        ),
        rows="accruals",
        following="last_id",
    ),
    buckets=(),
    every=hours(6),
)

STREAMS = (PRODUCTS, FBS_POSTINGS, ACCRUALS_BY_DAY)

"""The seller's own cabinet and what buyers write to it."""

from __future__ import annotations

from collectors.ozon.api import OZON, SELLER
from collectors.ozon.times import last_moment, rfc3339
from collectors.paging import by_cursor, in_one, post
from collectors.stream import Snapshot, Stream, Windows
from collectors.windows import days, hours, minutes

SELLER_INFO = Stream(
    marketplace=OZON,
    name="seller_info",
    about="company, subscription and ratings",
    docs="https://docs.ozon.ru/api/seller/#operation/SellerAPI_SellerInfo",
    progress=Snapshot(),
    paging="one answer",
    pages=in_one(post(SELLER, "/v1/seller/info"), holds="subscription"),
    buckets=(),
    every=days(1),
    priority=2,
)

ROLES = Stream(
    marketplace=OZON,
    name="roles",
    about="when the key expires, and the methods that it may call",
    docs="https://docs.ozon.ru/api/seller/#operation/AccessAPI_RolesByToken",
    progress=Snapshot(),
    paging="one answer",
    pages=in_one(post(SELLER, "/v1/roles"), rows="roles"),
    buckets=(),
    every=days(1),
    priority=2,
)

REVIEWS = Stream(
    marketplace=OZON,
    name="reviews",
    about="reviews of products",
    docs="https://docs.ozon.ru/api/seller/#operation/ReviewListV2",
    progress=Windows(
        longest=days(30),
        since=days(60),
        lag=minutes(5),
        restated=((days(30), hours(6)), (days(60), days(7))),  # they are answered, or taken back
    ),
    paging="last_id while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v2/review/list",
            lambda walk, at: {
                "filters": {"published_from": rfc3339(walk.span.start), "published_to": last_moment(walk.span.end)},
                "limit": max(20, walk.limit(100)),  # fewer than 20 are refused
                "last_id": at["cursor"],
                "sort_dir": "ASC",
            },
        ),
        rows="reviews",
        following="last_id",
        more="has_next",
    ),
    buckets=(),
    every=hours(1),
    needs="Premium Pro, or the subscription for reviews",
    priority=2,
)

QUESTIONS = Stream(
    marketplace=OZON,
    name="questions",
    about="questions about products",
    docs="https://docs.ozon.ru/api/seller/#operation/Question_List",
    progress=Windows(
        longest=days(30),
        since=days(60),
        lag=minutes(5),
        restated=((days(30), hours(6)), (days(60), days(7))),
    ),
    paging="last_id while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v1/question/list",
            lambda walk, at: {
                "filter": {
                    "date_from": rfc3339(walk.span.start),
                    "date_to": last_moment(walk.span.end),
                    "status": "ALL",
                },
                "limit": walk.limit(100),
                "last_id": at["cursor"],
                "sort_dir": "ASC",
            },
        ),
        rows="questions",
        following="last_id",
        more="has_next",
    ),
    buckets=(),
    every=hours(1),
    needs="Premium Plus",
    priority=3,
)

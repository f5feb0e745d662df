"""Streams of Wildberries: who the seller is, what was thrown away, what was handed over."""

from __future__ import annotations

from collectors.paging import by_cursor, by_keyset, get, one_record, post
from collectors.stream import Snapshot, Stream, Watermark
from collectors.wildberries.api import COMMON, CONTENT, MARKET, SELLER_INFO_LIMIT, WILDBERRIES, limit, market_limit
from collectors.wildberries.times import rfc3339
from collectors.windows import days, hours, seconds

SELLER_INFO = Stream(
    marketplace=WILDBERRIES,
    name="seller_info",
    about="who the seller is",
    docs="https://dev.wildberries.ru/openapi/api-information#tag/sellerInformation",
    progress=Snapshot(),
    paging="one record",
    pages=one_record(get(COMMON, "/api/v1/seller-info"), field="sid", kind=str),
    buckets=(SELLER_INFO_LIMIT,),
    every=days(1),
    needs="any category",
    priority=2,
)

CARDS_TRASH = Stream(
    marketplace=WILDBERRIES,
    name="cards_trash",
    about="product cards as they are put into the bin",
    docs="https://dev.wildberries.ru/openapi/work-with-products#tag/Kartochki-tovarov",
    progress=Watermark(since=days(3650)),
    paging="keyset trashedAt + nmID",
    pages=by_keyset(
        post(
            CONTENT,
            "/content/v2/get/cards/trash",
            lambda walk, at: {"settings": {"sort": {"ascending": True}, "cursor": {"limit": walk.limit(100), **at}}},
        ),
        rows="cards",
        at={"trashedAt": ("cursor.trashedAt", str), "nmID": ("cursor.nmID", int)},
        begin=lambda since: {"trashedAt": rfc3339(since), "nmID": 0},
    ),
    buckets=(limit("content", every=seconds(0.6), burst=5),),
    every=hours(6),
    needs="content",
    priority=3,
)

FBS_SUPPLIES = Stream(
    marketplace=WILDBERRIES,
    name="fbs_supplies",
    about="supplies of assembly tasks",
    docs="https://dev.wildberries.ru/openapi/orders-fbs#tag/Postavki-FBS",
    progress=Snapshot(),
    paging="next, until empty",
    pages=by_cursor(
        get(MARKET, "/api/v3/supplies", lambda walk, at: {"limit": walk.limit(1000), "next": at["cursor"]}),
        rows="supplies",
        following="next",
        first=0,
    ),
    buckets=(market_limit("fbs"),),
    every=hours(12),
    needs="marketplace",
    priority=3,
)

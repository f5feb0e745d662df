"""Goods of an Ozon seller: products, prices, stocks and warehouses."""

from __future__ import annotations

from collectors.fanout import by_ids
from collectors.ozon.api import OZON, SELLER
from collectors.ozon.listed import PRODUCT_IDS, SKUS, warehouse_ids
from collectors.ozon.times import last_moment, rfc3339
from collectors.paging import by_cursor, in_one, post
from collectors.stream import ListedBy, Snapshot, Stream, Windows
from collectors.windows import days, hours

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

PRODUCT_INFO = Stream(
    marketplace=OZON,
    name="product_info",
    about="cards of all products: prices, statuses, errors, and their SKUs",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductAPI_GetProductInfoList",
    progress=Snapshot(),
    ids=PRODUCT_IDS,
    paging="ids of products, 1000 at a time",
    pages=by_ids(
        post(SELLER, "/v3/product/info/list", lambda _, at: {"product_id": [str(one) for one in at["ids"]]}),
        rows="items",
        size=1000,
    ),
    buckets=(),
    every=hours(6),
)

PRODUCT_ATTRIBUTES = Stream(
    marketplace=OZON,
    name="product_attributes",
    about="descriptions, sizes and attributes of all products",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductAPI_GetProductAttributesV4",
    slices=("ALL", "ARCHIVED"),
    progress=Snapshot(),
    paging="last_id until empty",
    pages=by_cursor(
        post(
            SELLER,
            "/v4/product/info/attributes",
            lambda walk, at: {
                "filter": {"visibility": walk.slice},
                "last_id": at["cursor"],
                "limit": walk.limit(1000),
                "sort_by": "id",
                "sort_dir": "asc",
            },
        ),
        rows="result",
        following="last_id",
    ),
    buckets=(),
    every=days(1),
    priority=2,
)

PRICES = Stream(
    marketplace=OZON,
    name="prices",
    about="prices, commissions and price indexes of all products",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductAPI_GetProductInfoPrices",
    progress=Snapshot(),
    paging="cursor until empty",
    pages=by_cursor(
        post(
            SELLER,
            "/v5/product/info/prices",
            lambda walk, at: {"filter": {"visibility": "ALL"}, "cursor": at["cursor"], "limit": walk.limit(1000)},
        ),
        rows="items",
        following="cursor",  # no total: in October 2026 it stands under two names
    ),
    buckets=(),
    every=hours(6),
)

STOCKS_FBS = Stream(
    marketplace=OZON,
    name="stocks_fbs",
    about="stocks of FBS, rFBS and FBP, all warehouses together",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductAPI_GetProductInfoStocks",
    progress=Snapshot(),
    paging="cursor until empty",
    pages=by_cursor(
        post(
            SELLER,
            "/v4/product/info/stocks",
            lambda walk, at: {"filter": {"visibility": "ALL"}, "cursor": at["cursor"], "limit": walk.limit(1000)},
        ),
        rows="items",
        following="cursor",
    ),
    buckets=(),
    every=hours(1),
)

STOCKS_FBS_WH = Stream(
    marketplace=OZON,
    name="stocks_fbs_wh",
    about="stocks in each of the seller's own warehouses",
    docs="https://docs.ozon.ru/api/seller/#operation/ProductInfoWarehouseStocks",
    slices=ListedBy(stream="warehouses", read=warehouse_ids),
    progress=Snapshot(),
    paging="cursor while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v1/product/info/warehouse/stocks",
            lambda walk, at: {
                "warehouse_id": int(walk.slice),
                "cursor": at["cursor"] or None,
                "limit": walk.limit(1000),
            },
        ),
        rows="stocks",
        following="cursor",
        more="has_next",
    ),
    buckets=(),
    every=hours(1),
    priority=2,
)

STOCKS_FBO = Stream(
    marketplace=OZON,
    name="stocks_fbo",
    about="stocks at Ozon by cluster and warehouse, with how long they last",
    docs="https://docs.ozon.ru/api/seller/#operation/AnalyticsAPI_AnalyticsStocks",
    progress=Snapshot(),
    ids=SKUS,
    paging="SKUs of product_info, 100 at a time",
    pages=by_ids(
        post(SELLER, "/v1/analytics/stocks", lambda _, at: {"skus": [str(one) for one in at["ids"]]}),
        rows="items",
        size=100,
    ),
    buckets=(),
    every=hours(6),
)

STOCKS_FBO_WH = Stream(
    marketplace=OZON,
    name="stocks_fbo_wh",
    about="stocks in Ozon's warehouses, by warehouse",
    docs="https://docs.ozon.ru/api/seller/#operation/GetProductInfoStocksByWarehouseFbo",
    progress=Snapshot(),
    paging="cursor while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v1/product/info/stocks-by-warehouse/fbo",
            # The largest page is not documented; the methods beside it have this one.
            lambda walk, at: {"cursor": at["cursor"] or None, "limit": walk.limit(1000)},
        ),
        rows="products",
        following="cursor",
        more="has_next",
    ),
    buckets=(),
    every=hours(1),
)

WAREHOUSES = Stream(
    marketplace=OZON,
    name="warehouses",
    about="the seller's own warehouses (FBS and rFBS)",
    docs="https://docs.ozon.ru/api/seller/#operation/WarehouseListV2",
    progress=Snapshot(),
    paging="cursor while has_next",
    pages=by_cursor(
        post(
            SELLER,
            "/v2/warehouse/list",
            lambda walk, at: {"cursor": at["cursor"] or None, "limit": walk.limit(200)},
        ),
        rows="warehouses",
        following="cursor",
        more="has_next",
    ),
    buckets=(),
    every=days(1),
    priority=2,
)

FBO_WAREHOUSES = Stream(
    marketplace=OZON,
    name="fbo_warehouses",
    about="Ozon's warehouses",
    docs="https://docs.ozon.ru/api/seller/#operation/WarehouseOZONList",
    progress=Snapshot(),
    paging="one answer",
    pages=in_one(post(SELLER, "/v1/warehouse/ozon/list"), rows="warehouses"),
    buckets=(),
    every=days(1),
    priority=3,
)

PRODUCT_QUERIES = Stream(
    marketplace=OZON,
    name="product_queries",
    about="how often each product was searched for and seen, by day",
    docs="https://docs.ozon.ru/api/seller/#operation/AnalyticsAPI_AnalyticsProductQueries",
    progress=Windows(
        longest=days(1),
        grain=days(1),
        since=days(7),
        kept=days(30),  # older days only by the week, and with Premium
        lag=days(2),  # "is computed within 1-2 days"
    ),
    ids=SKUS,
    paging="SKUs of product_info, 1000 at a time",
    pages=by_ids(
        post(
            SELLER,
            "/v1/analytics/product-queries",
            lambda walk, at: {
                "date_from": rfc3339(walk.span.start),
                "date_to": last_moment(walk.span.end),
                "page": 0,
                "page_size": 1000,  # the largest, and as many as the products that are asked for
                "skus": [str(one) for one in at["ids"]],
            },
        ),
        rows="items",
        size=1000,
    ),
    buckets=(),
    every=days(1),
    needs="Premium, for all of its figures",
    priority=3,
)

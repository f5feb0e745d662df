"""Streams of Wildberries: cards, prices, stock and where it lies."""

from __future__ import annotations

from collectors.paging import at_once, by_keyset, by_offset, get, post
from collectors.stream import Snapshot, Stream, Watermark
from collectors.wildberries.api import (
    ANALYTICS,
    COMMON,
    CONTENT,
    MARKET,
    NOT_BY_BASE,
    PRICES,
    SUPPLIES,
    WILDBERRIES,
    limit,
    market_limit,
)
from collectors.wildberries.times import moscow_day, rfc3339
from collectors.windows import days, hours, minutes, seconds

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

STOCKS_WB = Stream(
    marketplace=WILDBERRIES,
    name="stocks_wb",
    about="stock in the marketplace's warehouses, by size",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/stocksReport",
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(
        post(ANALYTICS, "/api/analytics/v1/stocks-report/wb-warehouses"),  # offset, limit
        rows="data.items",
        size=250_000,
    ),
    buckets=(limit("stocks_wb", every=seconds(20), burst=1),),
    every=hours(1),  # the data are renewed every 30 minutes
    needs=f"analytics, {NOT_BY_BASE}",
)

STOCKS_SELLER = Stream(
    marketplace=WILDBERRIES,
    name="stocks_seller",
    about="stock in the seller's own warehouses, by size",
    docs="https://dev.wildberries.ru/openapi/analytics#tag/stocksReport",
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(
        post(ANALYTICS, "/api/analytics/v1/stocks-report/seller-warehouses"),  # offset, limit
        rows="data.items",
        size=250_000,
    ),
    buckets=(limit("stocks_seller", every=seconds(20), burst=1),),
    every=hours(1),
    needs=f"analytics, {NOT_BY_BASE}",
)

SELLER_WAREHOUSES = Stream(
    marketplace=WILDBERRIES,
    name="seller_warehouses",
    about="the seller's own warehouses",
    docs="https://dev.wildberries.ru/openapi/work-with-products#tag/Sklady-prodavca",
    progress=Snapshot(),
    paging="one answer",
    pages=at_once(get(MARKET, "/api/v3/warehouses"), rows=""),
    buckets=(market_limit("seller_warehouses"),),
    every=days(1),
    needs="marketplace",
    priority=2,
)

FBW_SUPPLIES = Stream(
    marketplace=WILDBERRIES,
    name="fbw_supplies",
    about="supplies to the marketplace's warehouses",
    docs="https://dev.wildberries.ru/openapi/orders-fbw#tag/suppliesInformation",
    progress=Snapshot(),  # updatedDate is null until a supply is planned, so it cannot be asked by
    paging="offset until empty",
    pages=by_offset(post(SUPPLIES, "/api/v1/supplies", lambda _, __: {}, query=lambda _, at: at), rows="", size=1000),
    buckets=(limit("fbw_supplies", every=seconds(2), burst=10, base=minutes(30)),),
    every=hours(6),
    needs="supplies",
    priority=2,
)

TARIFFS_COMMISSION = Stream(
    marketplace=WILDBERRIES,
    name="tariffs_commission",
    about="commission by subject of goods",
    docs="https://dev.wildberries.ru/openapi/wb-tariffs#tag/fees",
    progress=Snapshot(),
    paging="one answer",
    pages=at_once(get(COMMON, "/api/v1/tariffs/commission"), rows="report"),
    buckets=(limit("tariffs_commission", every=minutes(1), burst=2, base=minutes(12)),),
    every=days(1),
    needs="any category",
    priority=2,
)


def _tariffs_of_stock(name: str, about: str) -> Stream:
    return Stream(
        marketplace=WILDBERRIES,
        name=f"tariffs_{name}",
        about=about,
        docs="https://dev.wildberries.ru/openapi/wb-tariffs#tag/stockRates",
        progress=Snapshot(),
        paging="one answer",
        pages=at_once(
            get(COMMON, f"/api/v1/tariffs/{name}", lambda walk, _: {"date": moscow_day(walk.now)}),
            rows="response.data.warehouseList",
        ),
        buckets=(limit(f"tariffs_{name}", every=seconds(1), burst=5, base=hours(1)),),
        every=days(1),
        needs="any category",
        priority=2,
    )


TARIFFS_BOX = _tariffs_of_stock("box", "tariffs of goods delivered in boxes, by warehouse")
TARIFFS_PALLET = _tariffs_of_stock("pallet", "tariffs of goods delivered on pallets, by warehouse")
TARIFFS_RETURN = _tariffs_of_stock("return", "tariffs of returns to the seller, by warehouse")

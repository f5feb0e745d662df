"""What Ozon's methods answer about goods."""

from collections.abc import Mapping
from functools import partial

from sandbox.data_ozon import OzonData
from sandbox.data_ozon_goods import ARCHIVED, NOT_ARCHIVED
from sandbox.marketplace import Stream
from sandbox.ozon_pages import cut, offset_page, page_of, whole
from sandbox.records import Book, Record, array, encode
from sandbox.wire import Call, Fields, Invalid, Reply

PATHS = {
    "products": "/v3/product/list",
    "product_attributes": "/v4/product/info/attributes",
    "prices": "/v5/product/info/prices",
    "stocks_fbs": "/v4/product/info/stocks",
    "stocks_fbo_wh": "/v1/product/info/stocks-by-warehouse/fbo",
    "turnover": "/v1/analytics/turnover/stocks",
    "warehouses": "/v2/warehouse/list",
    "fbo_warehouses": "/v1/warehouse/ozon/list",
}


def methods(data: OzonData) -> dict[str, partial[Reply]]:
    return {
        "products": partial(products, data),
        "product_attributes": partial(attributes, data),
        "prices": partial(by_cursor, data.prices, ("offer_id", "product_id", "visibility")),
        "stocks_fbs": partial(by_cursor, data.stocks_fbs, ("offer_id", "product_id", "visibility", "with_quant")),
        "stocks_fbo_wh": partial(fbo_stocks, data),
        "turnover": partial(turnover, data),
        "warehouses": partial(warehouses, data),
        "fbo_warehouses": partial(whole, data.fbo_warehouses, "warehouses"),
    }


def streams(data: OzonData) -> Mapping[str, Stream]:
    def all_of(book: Book) -> Stream:
        return Stream(lambda seller, now: list(book.seen(seller, now)), None)

    def sold(book: Book) -> Stream:
        return Stream(lambda seller, now: [row for row in book.seen(seller, now) if row.slice == NOT_ARCHIVED], None)

    return {
        "products": all_of(data.products),
        "product_attributes": all_of(data.product_attributes),
        "prices": sold(data.prices),
        "stocks_fbs": sold(data.stocks_fbs),
        "stocks_fbo_wh": sold(data.stocks_fbo_wh),
        "turnover": sold(data.turnover),
        "warehouses": all_of(data.warehouses),
        "fbo_warehouses": all_of(data.fbo_warehouses),
    }


def _chosen(call: Call, book: Book, fields: Fields) -> tuple[str, list[Record]]:
    """The visibility asked for, and its products."""
    for name in ("offer_id", "product_id", "sku"):
        if fields.items(name, str):
            raise Invalid("filter: the sandbox plays visibility only")
    visibility = fields.choice("visibility", ("ALL", "VISIBLE", "ARCHIVED"), "ALL")
    wanted = ARCHIVED if visibility == "ARCHIVED" else NOT_ARCHIVED
    return visibility, [row for row in book.seen(call.seller, call.now) if row.slice == wanted]


def products(data: OzonData, call: Call) -> Reply:
    call.body.only("filter", "last_id", "limit")
    chosen = call.body.inner("filter")
    chosen.only("visibility", "offer_id", "product_id")
    visibility, rows = _chosen(call, data.products, chosen)
    limit = call.page_size(call.body.integer("limit", low=1, high=1000, default=1000))
    page = cut(rows, call.body.text("last_id", ""), limit, pin=visibility)
    body = b'{"result":{"items":%b,"total":%d,"last_id":%b}}' % (array(page.rows), len(rows), encode(page.following))
    return Reply(200, body, records=len(page.rows))


def attributes(data: OzonData, call: Call) -> Reply:
    call.body.only("filter", "last_id", "limit", "sort_by", "sort_dir")
    chosen = call.body.inner("filter")
    chosen.only("visibility", "offer_id", "product_id", "sku")
    visibility, rows = _chosen(call, data.product_attributes, chosen)
    call.body.choice("sort_by", ("id",), "id")
    descending = call.body.choice("sort_dir", ("asc", "desc", "ASC", "DESC"), "asc").lower() == "desc"
    limit = call.page_size(call.body.integer("limit", low=1, high=1000, default=100))
    page = cut(rows, call.body.text("last_id", ""), limit, pin=visibility, descending=descending)
    total = encode(str(len(rows)))  # a text, unlike the total of products
    body = b'{"result":%b,"total":%b,"last_id":%b}' % (array(page.rows), total, encode(page.following))
    return Reply(200, body, records=len(page.rows))


def by_cursor(book: Book, fields: tuple[str, ...], call: Call) -> Reply:
    call.body.only("cursor", "filter", "limit")
    chosen = call.body.inner("filter", required=True)
    chosen.only(*fields)
    visibility, rows = _chosen(call, book, chosen)
    limit = call.page_size(call.body.integer("limit", low=1, high=1000))
    page = cut(rows, call.body.text("cursor", ""), limit, pin=visibility)
    body = b'{"cursor":%b,"items":%b,"total":%d}' % (encode(page.following), array(page.rows), len(rows))
    return Reply(200, body, records=len(page.rows))


def fbo_stocks(data: OzonData, call: Call) -> Reply:
    call.body.only("cursor", "limit")
    _, rows = _chosen(call, data.stocks_fbo_wh, Fields({}))
    limit = call.page_size(call.body.integer("limit", low=1, high=1000))
    return page_of("products", cut(rows, call.body.text("cursor", ""), limit), "cursor")


def turnover(data: OzonData, call: Call) -> Reply:
    call.body.only("limit", "offset")
    _, rows = _chosen(call, data.turnover, Fields({}))
    page = offset_page(call, rows)
    return Reply(200, b'{"items":%b}' % array(page), records=len(page))


def warehouses(data: OzonData, call: Call) -> Reply:
    call.body.only("cursor", "limit")
    limit = call.page_size(call.body.integer("limit", low=1, high=200))
    rows = data.warehouses.seen(call.seller, call.now)
    return page_of("warehouses", cut(rows, call.body.text("cursor", ""), limit), "cursor")

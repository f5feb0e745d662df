"""What Ozon's methods answer of products and postings that they are asked for by name, and of one warehouse."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from sandbox.data_ozon import OzonData
from sandbox.data_ozon_goods import CITIES, GOODS, NOT_ARCHIVED, sku_of
from sandbox.marketplace import Stream, created
from sandbox.ozon_pages import cut, page_of, period
from sandbox.records import DAY, Dice, Record, array, encode, moment, verbatim, zulu
from sandbox.wire import Call, Invalid, Reply

PATHS = {
    "product_info": "/v3/product/info/list",
    "stocks_fbo": "/v1/analytics/stocks",
    "stocks_fbs_wh": "/v1/product/info/warehouse/stocks",
    "product_queries": "/v1/analytics/product-queries",
    "accruals_postings": "/v1/finance/accrual/postings",
}
QUERIES_KEPT = timedelta(days=31)


def methods(data: OzonData) -> dict[str, partial[Reply]]:
    return {
        "product_info": partial(product_info, data),
        "stocks_fbo": partial(stocks_fbo, data),
        "stocks_fbs_wh": partial(stocks_in_warehouse, data),
        "product_queries": partial(queries, data),
        "accruals_postings": partial(accruals, data),
    }


def streams(data: OzonData) -> Mapping[str, Stream]:
    def of(told: Callable[[OzonData, str, datetime], Iterator[Record]]) -> Stream:
        return Stream(lambda seller, now: list(told(data, seller, now)), None)

    searched = Stream(lambda seller, now: list(_searched(data, seller, now)), created)
    return {
        "product_info": of(_cards),
        "stocks_fbo": of(_in_clusters),
        "stocks_fbs_wh": of(_in_warehouses),
        "product_queries": searched,
        "accruals_postings": of(_postings),
    }


def _named(call: Call, field: str, most: int) -> set[str]:
    names = call.body.items(field, str)
    if not 0 < len(names) <= most:
        raise Invalid(f"{field}: value must contain between 1 and {most} items, inclusive")
    return set(names)


def _answer(name: bytes, rows: list[Record]) -> Reply:
    return Reply(200, b'{"%b":%b}' % (name, array(rows)), records=len(rows))


def product_info(data: OzonData, call: Call) -> Reply:
    call.body.only("product_id")
    wanted = _named(call, "product_id", 1000)
    return _answer(b"items", [row for row in _cards(data, call.seller, call.now) if row.key in wanted])


def stocks_fbo(data: OzonData, call: Call) -> Reply:
    call.body.only("skus")
    wanted = _named(call, "skus", 100)
    return _answer(b"items", [row for row in _in_clusters(data, call.seller, call.now) if row.key in wanted])


def stocks_in_warehouse(data: OzonData, call: Call) -> Reply:
    call.body.only("cursor", "limit", "warehouse_id")
    wanted = str(call.body.integer("warehouse_id", low=1, high=2**63 - 1))
    limit = call.page_size(call.body.integer("limit", low=1, high=1000))
    rows = [row for row in _in_warehouses(data, call.seller, call.now) if row.slice == wanted]
    return page_of("stocks", cut(rows, call.body.text("cursor", ""), limit, pin=wanted), "cursor")


def queries(data: OzonData, call: Call) -> Reply:
    call.body.only("date_from", "date_to", "page", "page_size", "skus")
    start, end = period(call.body, "date_from", "date_to")
    if start < call.now - QUERIES_KEPT or end.date() - start.date() >= DAY:
        raise Invalid("date_from: the sandbox plays single days of the last month")
    size = call.body.integer("page_size", low=1, high=1000)
    wanted = _named(call, "skus", 1000)
    cards = [row for row in data.products.seen(call.seller, call.now) if str(sku_of(row.life.order)) in wanted]
    rows = [_on_day(row, start.date()) for row in cards if row.at.date() <= start.date()]
    page = call.body.integer("page", low=0, high=10**6, default=0)
    found = rows[page * size : (page + 1) * size]
    of_period = encode({"date_from": zulu(start), "date_to": zulu(end)})
    body = b'{"analytics_period":%b,"items":%b,"page_count":%d,"total":%d}'
    return Reply(200, body % (of_period, array(found), -(-len(rows) // size), len(rows)), records=len(found))


def accruals(data: OzonData, call: Call) -> Reply:
    call.body.only("posting_numbers")
    wanted = _named(call, "posting_numbers", 200)
    rows = [row for row in _postings(data, call.seller, call.now) if row.key in wanted]
    return _answer(b"posting_accruals", rows)


def _cards(data: OzonData, seller: str, now: datetime) -> Iterator[Record]:
    for row in data.products.seen(seller, now):
        yield replace(row, life=replace(row.life, render=_card_text))


def _in_clusters(data: OzonData, seller: str, now: datetime) -> Iterator[Record]:
    """Of three products in five: the others are not at Ozon."""
    for row in data.products.seen(seller, now):
        if row.life.order % 5 < 3:
            yield replace(row, life=replace(row.life, key=str(sku_of(row.life.order)), render=_cluster_text))


def _in_warehouses(data: OzonData, seller: str, now: datetime) -> Iterator[Record]:
    """Each product is in one of the seller's own warehouses."""
    own = [warehouse.key for warehouse in data.warehouses.seen(seller, now)]
    for row in data.products.seen(seller, now):
        if row.slice == NOT_ARCHIVED:
            held_in = (own[row.life.order % len(own)],)
            yield replace(row, life=replace(row.life, slices=held_in, render=_warehouse_text))


def _searched(data: OzonData, seller: str, now: datetime) -> Iterator[Record]:
    """Each product on each day since there is one, of the last weeks."""
    for row in data.products.seen(seller, now):
        day = max(row.at.date(), (now - QUERIES_KEPT).date())
        while day <= now.date():
            yield _on_day(row, day)
            day += DAY


def _on_day(row: Record, day: date) -> Record:
    return replace(row, life=replace(row.life, key=str(sku_of(row.life.order)), at=moment(day, 0), render=_query_text))


def _postings(data: OzonData, seller: str, now: datetime) -> Iterator[Record]:
    for book in (data.fbs_postings, data.fbo_postings):
        for row in book.seen(seller, now):
            yield replace(row, life=replace(row.life, render=_accruals_text))


def _dice(record: Record) -> Dice:
    return Dice(f"named/{record.life.order}")


def _card_text(record: Record) -> bytes:
    dice, identity, price = _dice(record), record.life.order, _dice(record).number("price", 200, 20_000)
    sku = sku_of(identity)
    return encode(
        {
            "id": identity,
            "offer_id": f"{dice.pick('name', GOODS)} №{dice.number('offer', 1, 9999)}",
            "name": dice.pick("name", GOODS),
            "sku": sku,
            "sources": [{"sku": sku, "source": "sds", "created_at": zulu(record.at), "shipment_type": "GENERAL"}],
            "barcodes": [f"OZN{identity}"],
            "currency_code": "RUB",
            "price": f"{price}.00",
            "old_price": f"{price * 2}.00",
            "vat": "0.20",
            "is_archived": record.slice != NOT_ARCHIVED,
            "statuses": {"status": "price_sent", "moderate_status": "approved", "is_created": True},
            "stocks": {"has_stock": dice.chance("stock", 70), "stocks": []},
            "errors": [],
            "created_at": zulu(record.at),
            "updated_at": zulu(record.changed),
            "volume_weight": verbatim("0.10"),
        }
    )


def _cluster_text(record: Record) -> bytes:
    dice = _dice(record)
    return encode(
        {
            "sku": int(record.key),
            "name": dice.pick("name", GOODS),
            "warehouse_id": 1020001835658000 + dice.number("warehouse", 0, 9),
            "cluster_id": 4,
            "cluster_name": dice.pick("city", CITIES),
            "available_stock_count": dice.number(f"stock {record.state}", 0, 900),
            "transit_stock_count": 0,
            "ads": verbatim("1.50"),
            "idc": verbatim("12.0"),
            "turnover_grade": "DEFICIT",
            "item_tags": [],
        }
    )


def _warehouse_text(record: Record) -> bytes:
    dice = _dice(record)
    present = dice.number(f"present {record.state}", 1, 90)
    return encode(
        {
            "product_id": record.life.order,
            "sku": sku_of(record.life.order),
            "offer_id": f"№{dice.number('offer', 1, 9999)}",
            "warehouse_id": int(record.slice),
            "present": present,
            "reserved": 0,
            "free_stock": present,
            "updated_at": zulu(record.changed),
        }
    )


def _query_text(record: Record) -> bytes:
    dice = Dice(f"query/{record.key}/{record.at}")
    searched = dice.number("searched", 0, 900)
    return encode(
        {
            "sku": int(record.key),
            "name": dice.pick("name", GOODS),
            "category": "Дом и сад",
            "currency": "RUB",
            "unique_search_users": searched,
            "unique_view_users": searched // 3,
            "position": verbatim("14.50"),
            "view_conversion": verbatim("0.12"),
            "gmv": searched * 10,
        }
    )


def _accruals_text(record: Record) -> bytes:
    """Nothing until it is on its way, and a fee with each step behind that."""
    dice = _dice(record)
    accrued = [
        {
            "type_id": 12 + step,
            "accrued": {"amount": f"-{dice.number(f'fee {step}', 1, 900)}.50", "currency": "RUB"},
            "accrual_date": record.life.steps[step].date().isoformat(),
            "seller_price": None,
            "sku": dice.number("sku", 10**9, 2 * 10**9),
            "quantity": 1,
        }
        for step in range(record.state)
    ]
    return encode({"posting_number": record.key, "accruals": accrued})

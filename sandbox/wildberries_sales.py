"""Wildberries: sales and returns, the funnel, assembly tasks and goods on their way back."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from sandbox.data_wildberries import CITIES, REGIONS, book
from sandbox.data_wildberries_goods import BRANDS, SUBJECTS, nm_id
from sandbox.marketplace import Stream, created
from sandbox.records import (
    DAY,
    MOSCOW,
    Dice,
    Life,
    Record,
    World,
    encode,
    every_day,
    moment,
    moscow,
    serial,
    verbatim,
    zulu,
)
from sandbox.wildberries_lists import Streams, endpoint, of_book, of_days, of_seconds, page, whole
from sandbox.wildberries_methods import HOSTS, kept, statistics
from sandbox.wire import Call, Endpoint, Invalid, Reply

MARKET: Final = "marketplace-api.wildberries.ru"
TASKS_LONGEST: Final = 30 * DAY
TASKS_KEPT: Final = 92 * DAY
FUNNEL_KEPT: Final = 365 * DAY
ORDERINGS: Final = ("openCard", "addToCart", "orderCount", "orderSum")


class Sales:
    """`repeat_boundary` is what a walk over sales ends with, see Wildberries."""

    def __init__(self, world: World, *, repeat_boundary: bool) -> None:
        self._repeat = repeat_boundary
        self.sales = book(world, "sales", every_day(world, "wildberries/sales", 15), _sale)
        self.funnel = book(world, "funnel", every_day(world, "wildberries/sales_funnel", 8), partial(_seen, world))
        self.tasks = book(world, "fbs_orders", every_day(world, "wildberries/fbs_orders", 6), _task)
        self.returns = book(world, "item_returns", every_day(world, "wildberries/item_returns", 3), _return)

    def endpoints(self) -> tuple[Endpoint, ...]:
        analytics = HOSTS["order_feed"]
        sales = partial(statistics, self.sales, changed=created, repeat_boundary=self._repeat)
        return (
            endpoint("sales", "GET", HOSTS["orders"], "/api/v1/supplier/sales", sales),
            endpoint("sales_funnel", "POST", analytics, "/api/analytics/v3/sales-funnel/products", self.funnel_page),
            endpoint("fbs_orders", "GET", MARKET, "/api/v3/orders", self.task_page),
            endpoint("item_returns", "GET", analytics, "/api/analytics/v1/item-returns", self.return_page),
        )

    def streams(self) -> Streams:
        return {
            "sales": Stream(partial(kept, self.sales), created),
            "sales_by_day": Stream(partial(kept, self.sales), created),
            "sales_funnel": of_book(self.funnel, created),
            "fbs_orders": of_book(self.tasks, created),
            "item_returns": of_book(self.returns, created),
        }

    def funnel_page(self, call: Call) -> Reply:
        call.body.only("selectedPeriod", "skipDeletedNm", "orderBy", "limit", "offset")
        call.body.flag("skipDeletedNm", default=False)
        ordering = call.body.inner("orderBy")
        ordering.only("field", "mode")
        ordering.choice("field", ORDERINGS, "openCard")
        ordering.choice("mode", ("asc", "desc"), "desc")
        period = call.body.inner("selectedPeriod", required=True)
        period.only("start", "end")
        if period.day("start") != period.day("end"):
            raise Invalid("selectedPeriod: the sandbox plays single days only")
        if period.day("start") < (call.now - FUNNEL_KEPT).date():
            raise Invalid("selectedPeriod.start: must not be earlier than 365 days ago")
        rows = of_days(self.funnel, call, period, names=("start", "end"))
        return page(rows, call, call.body, most=1000, default=50, envelope=b'{"data":{"products":%b,"currency":"RUB"}}')

    def task_page(self, call: Call) -> Reply:
        """Pages by `next`, the last task's id; after the last there is an empty one, whose `next` is 0."""
        call.query.only("limit", "next", "dateFrom", "dateTo")
        limit = call.page_size(call.query.integer("limit", low=1, high=1000))
        after = call.query.integer("next", low=0, high=2**63 - 1)
        start = call.query.integer("dateFrom", low=0, high=2**40)
        if call.query.integer("dateTo", low=0, high=2**40) - start > TASKS_LONGEST.total_seconds():
            raise Invalid("max date range is 30 days")
        if start < (call.now - TASKS_KEPT).timestamp():
            raise Invalid("dateFrom: must not be earlier than 3 months ago")
        rows = sorted(of_seconds(self.tasks, call), key=lambda row: row.life.order)
        found = [row for row in rows if row.life.order > after][:limit]
        following = found[-1].life.order if found else 0
        return whole(found, b'{"next":%d,"orders":%%b}' % following)

    def return_page(self, call: Call) -> Reply:
        call.query.only("dateFrom", "dateTo", "limit", "offset")
        rows = of_days(self.returns, call, call.query, longest=31)
        return page(rows, call, call.query, most=1000, default=1000, envelope=b'{"count":%d,"report":%%b}' % len(rows))


def _sale(dice: Dice, seller: str, day: date, number: int) -> Life:
    sold = moment(day, dice.number("second", 0, 86_399))
    kind = "R" if dice.chance("returned", 12) else "S"
    return Life(
        key=f"{kind}{dice.number('sale', 10**9, 10**10)}",
        order=serial(day, number),
        at=sold,
        born=sold,
        steps=(sold + timedelta(hours=1, seconds=dice.number("money", 0, 22 * 3600)),),  # lastChangeDate stays
        render=partial(_sale_text, dice, nm_id(seller, day, number % 40)),
    )


def _sale_text(dice: Dice, nm: int, record: Record) -> bytes:
    price = dice.number("price", 300, 9000)
    return encode(
        {
            "date": moscow(record.at, offset=False),
            "lastChangeDate": moscow(record.at, offset=False),
            "warehouseName": "Склад WB",
            "warehouseType": dice.pick("warehouse", ("Склад WB", "Склад продавца")),
            "countryName": "Россия",
            "oblastOkrugName": dice.pick("okrug", REGIONS),
            "regionName": dice.pick("city", CITIES),
            "supplierArticle": f"ART-{dice.number('article', 1, 120)}",
            "nmId": nm,
            "barcode": str(nm + 2_000_000_000_000),
            "category": "Дом",
            "subject": dice.pick("subject", SUBJECTS),
            "brand": dice.pick("brand", BRANDS),
            "techSize": "0",
            "incomeID": dice.number("income", 10_000_000, 99_999_999),
            "isSupply": False,
            "isRealization": True,
            "totalPrice": price,
            "discountPercent": 10,
            "spp": dice.number("spp", 0, 30),
            "paymentSaleAmount": 0,
            # The money comes later, within a day.
            "forPay": verbatim(f"{price * 6 // 10}.10") if record.state else 0,
            "finishedPrice": price * 8 // 10 if record.state else 0,
            "priceWithDisc": price * 9 // 10 if record.state else 0,
            "saleID": record.key,
            "sticker": str(dice.number("sticker", 100_000_000, 999_999_999)),
            "gNumber": str(dice.number("g", 10**18, 10**19)),
            "srid": f"{dice.number('basket', 10, 99)}.r{dice.hex('srid', 32)}.0.0",
        }
    )


def _seen(world: World, dice: Dice, seller: str, day: date, number: int) -> Life:
    """A card on one day: its buyouts and cancels are counted for two weeks."""
    nm = nm_id(seller, world.first_day, number)
    midnight = datetime(day.year, day.month, day.day, tzinfo=MOSCOW)
    return Life(
        key=f"{nm}/{day}",
        order=nm,
        at=midnight,
        born=midnight + timedelta(hours=1),
        steps=(midnight + 3 * DAY, midnight + 12 * DAY),
        render=partial(_seen_text, dice, nm, day.isoformat()),
    )


def _seen_text(dice: Dice, nm: int, day: str, record: Record) -> bytes:
    orders = dice.number("orders", 2, 20)
    bought, price = orders * record.state // 3, dice.number("price", 300, 9000)
    selected = {
        "period": {"start": day, "end": day},
        "openCount": orders * 30,
        "cartCount": orders * 3,
        "orderCount": orders,
        "orderSum": orders * price,
        "buyoutCount": bought,
        "buyoutSum": bought * price,
        "cancelCount": record.state // 2,
        "cancelSum": record.state // 2 * price,
        "avgPrice": price,
        "avgOrdersCountPerDay": orders,
        "shareOrderPercent": 3,
        "addToWishlist": dice.number("wishes", 0, 50),
        "timeToReady": {"days": 1, "hours": 8, "mins": 34},
        "localizationPercent": 100,
        "conversions": {"addToCartPercent": 10, "cartToOrderPercent": 33, "buyoutPercent": bought * 100 // orders},
    }
    product = {
        "nmId": nm,
        "title": dice.pick("subject", SUBJECTS),
        "vendorCode": f"ART-{nm % 9999}",
        "brandName": dice.pick("brand", BRANDS),
        "subjectId": 105,
        "subjectName": dice.pick("subject", SUBJECTS),
        "tags": [],
        "productRating": verbatim("4.5"),
        "feedbackRating": 4,
        "stocks": {"wb": 0, "mp": 0, "balanceSum": 0},
    }
    return encode({"product": product, "statistic": {"selected": selected}})


def _task(dice: Dice, seller: str, day: date, number: int) -> Life:
    placed = moment(day, number * 9_000 + dice.number("second", 0, 8_999))
    task = 10**12 + serial(day, number)
    return Life(
        key=str(task),
        order=task,
        at=placed,
        born=placed,
        steps=(placed + timedelta(hours=dice.number("packed", 2, 40)),),
        render=partial(_task_text, dice, nm_id(seller, day, number % 40), task),
    )


def _task_text(dice: Dice, nm: int, task: int, record: Record) -> bytes:
    supply = {"supplyId": f"WB-GI-{dice.number('supply', 10**7, 10**8)}"} if record.state else {}
    return encode(
        {
            "address": None,
            "scanPrice": None,
            "deliveryType": "fbs",
            **supply,
            "orderUid": f"165918930_{dice.hex('uid', 32)}",
            "article": f"ART-{dice.number('article', 1, 120)}",
            "colorCode": "RAL 3017",
            "rid": dice.hex("rid", 32),
            "createdAt": zulu(record.at.replace(microsecond=0)),
            "offices": ["Казань"],
            "skus": [str(nm + 2_000_000_000_000)],
            "id": task,
            "warehouseId": dice.number("warehouse", 1, 3),
            "officeId": 123,
            "nmId": nm,
            "chrtId": nm + 7,
            "price": dice.number("price", 30_000, 900_000),
            "convertedPrice": dice.number("price", 30_000, 900_000),
            "currencyCode": 643,
            "convertedCurrencyCode": 643,
            "cargoType": 1,
            "crossBorderType": 0,
            "comment": "",
            "isZeroOrder": False,
            "options": {"isB2B": False},
        }
    )


def _return(dice: Dice, seller: str, day: date, number: int) -> Life:
    ordered = moment(day, dice.number("second", 0, 86_399))
    return Life(
        key=str(dice.number("shk", 10**9, 10**11)),
        order=serial(day, number),
        at=ordered,
        born=ordered,
        steps=(ordered + 5 * DAY, ordered + timedelta(days=dice.number("taken", 8, 20))),
        render=partial(_return_text, dice, nm_id(seller, day, number)),
    )


def _return_text(dice: Dice, nm: int, record: Record) -> bytes:
    ready = moscow(record.life.steps[0], offset=False) if record.state else None
    return encode(
        {
            "sku": str(nm + 2_000_000_000_000),
            "brand": dice.pick("brand", BRANDS),
            "completedDt": moscow(record.changed, offset=False) if record.state == 2 else None,
            "dstOfficeAddress": f"{dice.pick('city', CITIES)}, улица Маяковского 19",
            "kiz": None,
            "dstOfficeId": 310105,
            "expiredDt": None,
            "nmId": nm,
            "orderDt": moscow(record.at)[:10],
            "orderId": dice.number("order", 10**9, 10**10),
            "readyToReturnDt": ready,
            "returnReason": None,
            "returnType": "Возврат заблокированного товара",
            "shkId": int(record.key),
            "srid": f"mp.{dice.hex('srid', 32)}.r",
            "returnStatus": ("В пути в пвз", "Готов к выдаче", "Выдано")[record.state],
            "stickerId": str(dice.number("sticker", 10**9, 10**10)),
            "subjectName": dice.pick("subject", SUBJECTS),
            "techSize": "0",
        }
    )

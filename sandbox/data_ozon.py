"""What the Ozon of the sandbox knows of a seller."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

from sandbox.records import (
    DAY,
    Book,
    Dice,
    Life,
    Record,
    World,
    catalogue,
    encode,
    every_day,
    moment,
    serial,
    verbatim,
    zulu,
)

ARCHIVED = "visibility=ARCHIVED"
NOT_ARCHIVED = "visibility=ALL"

CITIES = ("Москва", "Самара", "Владивосток", "Пермь", "Орёл")
GOODS = ("Фонарь налобный", "Подушка «Тишина»", "Кабель 1,5 м", "Ёмкость для круп", "Набор свёрл")
STATUSES = ("awaiting_packaging", "delivering", "delivered")
MOST_LATE = 36 * 3600
"""Seconds after its day that an accrual may still come in."""


class OzonData:
    """The books of every Ozon stream."""

    def __init__(self, world: World) -> None:
        def book(count: Callable[[date], int], make: Callable[[Dice, str, date, int], Life], name: str) -> Book:
            def draw(seller: str, day: date, number: int) -> Life:
                return make(Dice(f"{world.seed}/ozon/{name}/{seller}/{day}/{number}"), seller, day, number)

            return Book(world, count, draw)

        self.products = book(catalogue(world, "ozon/products", 150), _product, "products")
        self.fbs_postings = book(every_day(world, "ozon/fbs_postings", 20), _posting, "fbs_postings")
        self.accruals_by_day = book(every_day(world, "ozon/accruals_by_day", 40), _accrual, "accruals_by_day")


def _base(seller: str) -> int:
    return Dice(seller).number("base", 100, 899)


def _product(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    product = _base(seller) * 100_000_000 + serial(day, number, 1000)
    # One in fifteen, by the day: ten of a hundred and fifty.
    archived = serial(day, number, 1) % 15 == 0
    return Life(
        key=str(product),
        order=product,
        at=created,
        born=created,
        slices=(ARCHIVED if archived else NOT_ARCHIVED,),
        every=7 * DAY,
        render=partial(_product_text, dice, product, archived),
    )


def _product_text(dice: Dice, product: int, archived: bool, record: Record) -> bytes:
    return encode(
        {
            "product_id": product,
            "offer_id": f"{dice.pick('name', GOODS)} №{dice.number('offer', 1, 9999)}",
            "has_fbo_stocks": dice.chance(f"fbo {record.state}", 50),
            "has_fbs_stocks": dice.chance(f"fbs {record.state}", 50),
            "archived": archived,
            "is_discounted": False,
            "quants": [],
        }
    )


def _posting(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    shipped = created + timedelta(hours=12, seconds=dice.number("shipped", 0, 86_400))
    delivered = shipped + timedelta(days=1, seconds=dice.number("delivered", 0, 8 * 86_400))
    order = _base(seller) * 1_000_000_000 + serial(day, number)
    return Life(
        key=f"{order:012d}-{dice.number('basket', 1, 9999):04d}-1",
        order=order,
        at=created,
        born=created,
        steps=(shipped, delivered),
        render=partial(_posting_text, dice, order),
    )


def status(dice: Dice, state: int) -> str:
    return "cancelled" if state == 2 and dice.chance("cancelled", 12) else STATUSES[state]


def status_of(record: Record) -> str:
    render = record.life.render
    assert isinstance(render, partial)
    return status(render.args[0], record.state)


def _posting_text(dice: Dice, order: int, record: Record) -> bytes:
    price = dice.number("price", 200, 20_000)
    sku = dice.number("sku", 10**9, 2 * 10**9)
    cancelled = status(dice, record.state) == "cancelled"
    return encode(
        {
            "posting_number": record.key,
            "order_id": order,
            "order_number": record.key.removesuffix("-1"),
            "parent_posting_number": "",
            "status": status(dice, record.state),
            "substatus": "posting_canceled" if cancelled else "posting_created",
            "in_process_at": zulu(record.at),
            "shipment_date": zulu(record.at + DAY),
            "shipment_date_without_delay": zulu(record.at + DAY),
            "delivering_date": zulu(record.changed) if record.state else None,
            "delivery_method": {
                "id": 20605650762000,
                "name": "Доставка Ozon самостоятельно",
                "warehouse": "Склад на Полевой",
                "warehouse_id": 20605650762000,
                "tpl_provider": "Доставка Ozon",
                "tpl_provider_id": 24,
            },
            "delivery_schema": "fbs",
            "tpl_integration_type": "ozon",
            "tracking_number": dice.hex("track", 12).upper(),
            "is_express": False,
            "is_multibox": False,
            "multi_box_qty": 1,
            "available_actions": [],
            "cancellation": {
                "affect_cancellation_rating": False,
                "cancel_reason": "Покупатель передумал" if cancelled else "",
                "cancel_reason_id": 352 if cancelled else 0,
                "cancellation_initiator": "Клиент" if cancelled else "",
                "cancellation_type": "client" if cancelled else "",
                "cancelled_after_ship": False,
            },
            "customer": None,
            "addressee": None,
            "barcodes": None,
            "analytics_data": {"city": dice.pick("city", CITIES), "is_premium": dice.chance("premium", 30)},
            "financial_data": {
                "cluster_from": "Москва",
                "cluster_to": dice.pick("city", CITIES),
                "products": [
                    {
                        "product_id": sku,
                        "price": verbatim(f"{price}.10"),
                        "quantity": 1,
                        "commission": {"amount": verbatim(f"{price // 10}.00"), "currency": "RUB", "percent": 10},
                    }
                ],
            },
            "products": [
                {
                    "name": dice.pick("name", GOODS),
                    "offer_id": f"{dice.pick('name', GOODS)} №{dice.number('offer', 1, 9999)}",
                    "price": {"amount": f"{price}.00", "currency": "RUB"},
                    "quantity": 1,
                    "sku": sku,
                    "weight": verbatim("0.420"),
                }
            ],
            "volume_weight": verbatim("1.20000000000000000000000000000000000001"),
        }
    )


def _accrual(dice: Dice, seller: str, day: date, number: int) -> Life:
    accrual = _base(seller) * 1_000_000_000 + serial(day, number)
    seconds = dice.number("second", 0, 86_399)
    # Some come in when their day is long over: the day is restated.
    late = dice.number("late", 3600, MOST_LATE) if dice.chance("is late", 5) else 0
    return Life(
        key=str(accrual),
        order=accrual,
        at=moment(day, 0),
        born=moment(day, (86_400 if late else seconds) + late),
        render=partial(_accrual_text, dice, accrual),
    )


def _money(rubles: int, kopecks: int = 0) -> dict[str, str]:
    return {"amount": f"{rubles}.{kopecks:02d}", "currency": "RUB"}


def _accrual_text(dice: Dice, accrual: int, record: Record) -> bytes:
    category = dice.pick("category", ("POSTING", "POSTING", "ITEM", "NON_ITEM"))
    sku = dice.number("sku", 10**9, 2 * 10**9)
    amount = _money(-dice.number("fee", 1, 900), dice.number("kopecks", 0, 99))
    price = dice.number("price", 200, 20_000)
    posting = {
        "delivery_schema": "FBS",
        "delivery_speed": 0,
        "products": [
            {
                "sku": sku,
                "commission": {
                    "sale_amount": _money(price),
                    "seller_price": _money(price),
                    "commission": amount,
                    "commission_ratio": "0.10",
                },
                "delivery": {"services": [{"type_id": 12, "accrued": _money(-60)}], "total_accrued": _money(-60)},
            }
        ],
    }
    return encode(
        {
            "accrual_id": accrual,
            "accrued_category": category,
            "date": record.at.date().isoformat(),
            "unit_number": f"{dice.number('unit', 10**9, 10**10)}-0001-1",
            "total_amount": amount,
            "posting": posting if category == "POSTING" else None,
            "item_fees": {"fees": [{"sku": sku, "fees": [{"type_id": 7, "accrued": amount}]}]}
            if category == "ITEM"
            else None,
            "non_item_fee": {"type_id": 33, "accrued": amount} if category == "NON_ITEM" else None,
        }
    )

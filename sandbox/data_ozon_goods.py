"""Goods of an Ozon seller. What is told of a product in several places is drawn from the same dice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from sandbox.records import DAY, Dice, Life, Record, encode, moment, serial, verbatim, zulu

ARCHIVED = "visibility=ARCHIVED"
NOT_ARCHIVED = "visibility=ALL"

CITIES = ("Москва", "Самара", "Владивосток", "Пермь", "Орёл")
GOODS = ("Фонарь налобный", "Подушка «Тишина»", "Кабель 1,5 м", "Ёмкость для круп", "Набор свёрл")

Text = Callable[[Dice, int, Record], bytes]


def base(seller: str) -> int:
    return Dice(seller).number("base", 100, 899)


def sku_of(product: int) -> int:
    return product + 1_000_000_000_000


def product(
    dice: Dice, seller: str, day: date, number: int, *, text: Text | None = None, every: timedelta = 7 * DAY
) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    identity = base(seller) * 100_000_000 + serial(day, number, 1000)
    # One in fifteen, by the day: ten of a hundred and fifty.
    archived = serial(day, number, 1) % 15 == 0
    return Life(
        key=str(identity),
        order=identity,
        at=created,
        born=created,
        slices=(ARCHIVED if archived else NOT_ARCHIVED,),
        every=every,
        render=partial(_product_text, dice, identity, archived) if text is None else partial(text, dice, identity),
    )


def turnover_of_product(dice: Dice, seller: str, day: date, number: int) -> Life:
    life = product(dice, seller, day, number, text=_turnover_text, every=DAY)
    return replace(life, key=str(sku_of(life.order)))


def _offer(dice: Dice) -> str:
    return f"{dice.pick('name', GOODS)} №{dice.number('offer', 1, 9999)}"


def _product_text(dice: Dice, identity: int, archived: bool, record: Record) -> bytes:
    return encode(
        {
            "product_id": identity,
            "offer_id": _offer(dice),
            "has_fbo_stocks": dice.chance(f"fbo {record.state}", 50),
            "has_fbs_stocks": dice.chance(f"fbs {record.state}", 50),
            "archived": archived,
            "is_discounted": False,
            "quants": [],
        }
    )


def attributes_text(dice: Dice, identity: int, record: Record) -> bytes:
    del record
    return encode(
        {
            "id": identity,
            "offer_id": _offer(dice),
            "sku": sku_of(identity),
            "name": dice.pick("name", GOODS),
            "barcode": f"OZN{identity}",
            "barcodes": [f"OZN{identity}"],
            "type_id": 124572394,
            "description_category_id": 17028922,
            "height": dice.number("height", 1, 900),
            "depth": dice.number("depth", 1, 900),
            "width": dice.number("width", 1, 900),
            "dimension_unit": "mm",
            "weight": dice.number("weight", 1, 9000),
            "weight_unit": "g",
            "images": [f"https://cdn1.ozone.ru/s3/multimedia-4/{identity}.jpg"],
            "attributes": [
                {"id": 85, "complex_id": 0, "values": [{"dictionary_value_id": 971034861, "value": "Ольха"}]}
            ],
            "complex_attributes": [],
        }
    )


def price_text(dice: Dice, identity: int, record: Record) -> bytes:
    price = dice.number(f"price {record.state}", 200, 20_000)
    return encode(
        {
            "product_id": identity,
            "offer_id": _offer(dice),
            "price": {
                "price": verbatim(f"{price}.90"),
                "old_price": verbatim(f"{price * 2}.00"),
                "min_price": 0,
                "currency_code": "RUB",
                "vat": verbatim("0.20"),
                "auto_action_enabled": dice.chance("auto", 50),
            },
            "commissions": {"sales_percent_fbo": 15, "sales_percent_fbs": 12, "fbo_return_flow_amount": 50},
            "price_indexes": {"color_index": dice.pick(f"index {record.state}", ("GREEN", "YELLOW", "RED"))},
            "marketing_actions": None,
            "acquiring": verbatim("1.50"),
            "volume_weight": verbatim("0.50"),
        }
    )


def stocks_text(dice: Dice, identity: int, record: Record) -> bytes:
    return encode(
        {
            "product_id": identity,
            "offer_id": _offer(dice),
            "stocks": [
                {
                    "sku": sku_of(identity),
                    "type": "fbs",
                    "present": dice.number(f"present {record.state}", 0, 90),
                    "reserved": dice.number(f"reserved {record.state}", 0, 9),
                    "shipment_type": "SHIPMENT_TYPE_GENERAL",
                    "warehouse_ids": [20605650762000],
                }
            ],
        }
    )


def stock_in_warehouse_text(dice: Dice, identity: int, record: Record) -> bytes:
    return encode(
        {
            "product_id": identity,
            "offer_id": _offer(dice),
            "sku": sku_of(identity),
            "present": dice.number(f"fbo {record.state}", 0, 900),
            "reserved": dice.number(f"fbo reserved {record.state}", 0, 9),
            "warehouse_id": 1020001835658000 + dice.number("warehouse", 0, 9),
        }
    )


def _turnover_text(dice: Dice, identity: int, record: Record) -> bytes:
    return encode(
        {
            "sku": sku_of(identity),
            "offer_id": _offer(dice),
            "name": dice.pick("name", GOODS),
            "ads": verbatim(f"{dice.number(f'ads {record.state}', 0, 9)}.50"),
            "current_stock": dice.number(f"stock {record.state}", 0, 900),
            "idc": verbatim("12.0"),
            "idc_grade": "GRADES_GREEN",
            "turnover": verbatim("34.50"),
            "turnover_grade": dice.pick("grade", ("GRADES_GREEN", "GRADES_YELLOW", "GRADES_NOSALES")),
        }
    )


def warehouse(dice: Dice, seller: str, day: date, number: int) -> Life:
    identity = base(seller) * 100_000_000_000 + serial(day, number, 1000)
    created = moment(day, 0)
    text = {
        "warehouse_id": identity,
        "name": f"Склад на {dice.pick('street', ('Полевой', 'Луговой', 'Ёлочной'))}",
        "status": "created",
        "is_rfbs": dice.chance("rfbs", 30),
        "is_kgt": False,
        "has_postings_limit": False,
        "postings_limit": -1,
        "address_info": {"address": dice.pick("city", CITIES), "latitude": verbatim("55.4950930"), "utc": "UTC+03:00"},
        "first_mile": {"type": "PICK_UP", "dropoff_point_id": "1020002075314000"},
        "working_days": ["MONDAY", "FRIDAY"],
        "created_at": zulu(created),
        "updated_at": zulu(created),
    }
    return Life(key=str(identity), order=identity, at=created, born=created, render=lambda _: encode(text))


def fbo_warehouse(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    identity = 1020001835658000 + number
    city = dice.pick("city", CITIES)
    text = {
        "warehouse_id": identity,
        "name": f"{city.upper()}_РФЦ",
        "short_name": city,
        "address": city,
        "timezone": "Europe/Moscow",
        "is_active": True,
        "warehouse_type": "FULL_FILLMENT",
        "is_for_supply": dice.chance("supply", 80),
    }
    return Life(
        key=str(identity), order=identity, at=moment(day, 0), born=moment(day, 0), render=lambda _: encode(text)
    )

"""What an Ozon seller sends, what comes back to it, and what it supplies."""

from datetime import date, timedelta
from functools import partial

from sandbox.data_ozon_goods import CITIES, GOODS, base
from sandbox.records import DAY, Dice, Life, Record, encode, moment, serial, verbatim, zulu

STATUSES = ("awaiting_packaging", "delivering", "delivered")
SUPPLY_STATES = (
    "DATA_FILLING",
    "READY_TO_SUPPLY",
    "ACCEPTED_AT_SUPPLY_WAREHOUSE",
    "IN_TRANSIT",
    "ACCEPTANCE_AT_STORAGE_WAREHOUSE",
    "REPORTS_CONFIRMATION_AWAITING",
    "REPORT_REJECTED",
    "COMPLETED",
    "REJECTED_AT_SUPPLY_WAREHOUSE",
    "CANCELLED",
    "OVERDUE",
)


def fbs_posting(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    shipped = created + timedelta(hours=12, seconds=dice.number("shipped", 0, 86_400))
    delivered = shipped + timedelta(days=1, seconds=dice.number("delivered", 0, 8 * 86_400))
    order = base(seller) * 1_000_000_000 + serial(day, number)
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


def fbo_posting(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399) + dice.number("micro", 0, 999_999) / 1e6)
    delivered = created + timedelta(days=1, seconds=dice.number("delivered", 0, 8 * 86_400))
    order = base(seller) * 1_000_000_000 + serial(day, number)
    return Life(
        key=f"{order:012d}-{dice.number('basket', 1, 9999):04d}-2",
        order=order,
        at=created,
        born=created,
        steps=(created + timedelta(hours=6), delivered),
        render=partial(_fbo_posting_text, dice, order),
    )


def _fbo_posting_text(dice: Dice, order: int, record: Record) -> bytes:
    price = dice.number("price", 200, 20_000)
    sku = dice.number("sku", 10**9, 2 * 10**9)
    cancelled = status(dice, record.state) == "cancelled"
    return encode(
        {
            "posting_number": record.key,
            "order_id": order,
            "order_number": record.key.removesuffix("-2"),
            "status": status(dice, record.state),
            "substatus": "posting_canceled" if cancelled else "posting_created",
            "cancel_reason_id": 352 if cancelled else 0,
            "cancellation": {"cancel_reason": "Покупатель передумал", "cancellation_type": "client"}
            if cancelled
            else None,
            "created_at": zulu(record.at),
            "in_process_at": zulu(record.at + timedelta(seconds=16)),
            "products": [
                {
                    "name": dice.pick("name", GOODS),
                    "offer_id": f"{dice.pick('name', GOODS)} №{dice.number('offer', 1, 9999)}",
                    "price": {"amount": str(price), "currency": "RUB"},
                    "quantity": 1,
                    "sku": sku,
                    "is_marketplace_buyout": False,
                    "digital_codes": [],
                }
            ],
            "analytics_data": {"city": dice.pick("city", CITIES), "warehouse_name": "ОМСК_РФЦ", "delivery_type": "PVZ"},
            "financial_data": {
                "cluster_from": "Омск",
                "cluster_to": dice.pick("city", CITIES),
                "products": [{"product_id": sku, "price": verbatim(f"{price}.10"), "payout": 0}],
            },
            "legal_info": None,
            "additional_data": [],
        }
    )


def giveback(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    identity = base(seller) * 1_000_000_000 + serial(day, number)
    arrived = created + timedelta(days=1, seconds=dice.number("arrived", 0, 5 * 86_400))
    return Life(
        key=str(identity),
        order=identity,
        at=created,
        born=created,
        steps=(arrived, arrived + timedelta(days=2)),
        render=partial(_giveback_text, dice, identity),
    )


def _giveback_text(dice: Dice, identity: int, record: Record) -> bytes:
    state = ("MovingToPlace", "ArrivedAtReturnPlace", "ReturnedBySeller")[record.state]
    return encode(
        {
            "id": identity,
            "exemplars": [{"id": identity + 7}],
            "company_id": 3058,
            "return_reason_name": "Покупатель отказался при вручении: недоволен качеством товара",
            "type": dice.pick("type", ("FullReturn", "PartialReturn", "Cancellation")),
            "schema": dice.pick("schema", ("Fbs", "Fbo")),
            "order_number": f"{dice.number('order', 10**7, 10**8)}-0057",
            "posting_number": f"{dice.number('order', 10**7, 10**8)}-0057-1",
            "product": {
                "sku": dice.number("sku", 10**9, 2 * 10**9),
                "name": dice.pick("name", GOODS),
                "price": {"currency_code": "RUB", "price": verbatim(f"{dice.number('price', 200, 9000)}.50")},
                "quantity": 1,
            },
            "logistic": {"return_date": zulu(record.at), "barcode": f"ii{identity}"},
            "visual": {
                "status": {"id": 10 + record.state, "display_name": state, "sys_name": state},
                "change_moment": zulu(record.changed),
            },
            "additional_info": {"is_opened": dice.chance("opened", 40), "is_super_econom": False},
        }
    )


def rfbs_return(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    identity = base(seller) * 1_000_000 + serial(day, number, 100)
    return Life(
        key=str(identity),
        order=identity,
        at=created,
        born=created,
        steps=(created + DAY, created + 4 * DAY),
        render=partial(_rfbs_return_text, dice, identity),
    )


def _rfbs_return_text(dice: Dice, identity: int, record: Record) -> bytes:
    group = ("New", "Delivering", "Completed")[record.state]
    return encode(
        {
            "return_id": identity,
            "return_number": f"RET-{identity}",
            "posting_number": f"{dice.number('order', 10**7, 10**8)}-0002-3",
            "order_number": f"{dice.number('order', 10**7, 10**8)}-0002",
            "client_name": "Ё. П.",
            "created_at": zulu(record.at),
            "product": {
                "sku": dice.number("sku", 10**9, 2 * 10**9),
                "offer_id": f"№{dice.number('offer', 1, 9999)}",
                "name": dice.pick("name", GOODS),
                "price": dice.number("price", 200, 9000),
                "currency_code": "RUB",
            },
            "state": {"group_state": group, "state": group.upper(), "state_name": group, "money_return_state_name": ""},
        }
    )


def supply_order(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    identity = base(seller) * 1_000_000 + serial(day, number, 100)
    return Life(
        key=str(identity),
        order=identity,
        at=created,
        born=created,
        steps=tuple(created + step * DAY for step in range(1, 5)),
        slices=SUPPLY_STATES[:4] + SUPPLY_STATES[7:8],
        render=lambda _: str(identity).encode(),
    )

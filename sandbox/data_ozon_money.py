"""What an Ozon seller earns and pays."""

from datetime import date, timedelta
from functools import partial

from sandbox.data_ozon_goods import GOODS, base, sku_of
from sandbox.records import DAY, Dice, Life, Record, encode, moment, serial, verbatim, zulu
from sandbox.wire import moscow_midnight

MOST_LATE = 36 * 3600
"""Seconds after its day that an accrual may still come in."""
REPORT_DAY = 5
"""Of the month after: when the report of a month is there."""


def accrual(dice: Dice, seller: str, day: date, number: int) -> Life:
    identity = base(seller) * 1_000_000_000 + serial(day, number)
    seconds = dice.number("second", 0, 86_399)
    # Some come in when their day is long over: the day is restated.
    late = dice.number("late", 3600, MOST_LATE) if dice.chance("is late", 5) else 0
    return Life(
        key=str(identity),
        order=identity,
        at=moment(day, 0),
        born=moment(day, (86_400 if late else seconds) + late),
        render=partial(_accrual_text, dice, identity),
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


def accrual_type(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    text = encode({"id": number + 1, "name": f"Type{number + 1}", "description": f"Услуга № {dice.number('n', 1, 99)}"})
    return Life(key=str(number + 1), order=number, at=moment(day, 0), born=moment(day, 0), render=lambda _: text)


def month_before(day: date) -> date:
    return (day.replace(day=1) - DAY).replace(day=1)


def realized(dice: Dice, seller: str, day: date, number: int) -> Life:
    """A row of the report of the month before `day`."""
    month = month_before(day)
    return Life(
        key=f"{month.isoformat()}/{number + 1}",
        order=number + 1,
        at=moscow_midnight(month),
        born=moment(day, 0),
        render=partial(_realized_text, dice, seller, number + 1),
    )


def _realized_text(dice: Dice, seller: str, number: int, record: Record) -> bytes:
    del record
    row = _realized_row(dice, seller)
    return encode({"rowNumber": number, **row})


def realized_posting(dice: Dice, seller: str, day: date, number: int) -> Life:
    """The same, of a report by order."""
    month = month_before(day)
    order = f"{base(seller) * 1_000_000 + serial(month, number, 1000)}-0001-1"
    return Life(
        key=order,
        order=number + 1,
        at=moscow_midnight(month),
        born=moment(day, 0),
        render=partial(_realized_posting_text, dice, seller, number + 1),
    )


def _realized_posting_text(dice: Dice, seller: str, number: int, record: Record) -> bytes:
    posting = {"posting_number": record.key, "created_date": record.at.date().isoformat()}
    return encode({"row_number": number, **_realized_row(dice, seller), "order": posting})


def _realized_row(dice: Dice, seller: str) -> dict[str, object]:
    price, quantity = dice.number("price", 200, 9000), dice.number("quantity", 1, 9)
    sold = {
        "amount": verbatim(f"{price * quantity}.40"),
        "commission": verbatim(f"{price // 10}.05"),
        "price_per_instance": verbatim(f"{price}.40"),
        "quantity": quantity,
        "total": verbatim(f"{price * quantity}.00"),
    }
    return {
        "commission_ratio": verbatim("0.10"),
        "delivery_commission": sold,
        "return_commission": None,
        "item": {
            "barcode": f"OZN{dice.number('barcode', 10**8, 10**9)}",
            "name": dice.pick("name", GOODS),
            "offer_id": f"№{dice.number('offer', 1, 9999)}",
            "sku": base(seller) * 10**7 + dice.number("sku", 1, 9999),
        },
        "seller_price_per_instance": verbatim(f"{price}.40"),
    }


def cash_flow(dice: Dice, seller: str, day: date, number: int) -> Life:
    """A half of a month, whose sums grow from day to day."""
    del number
    identity = base(seller) * 1_000_000 + serial(day, 0, 100)
    begin = moment(day, 0)
    return Life(
        key=str(identity),
        order=identity,
        at=begin,
        born=begin,
        steps=tuple(begin + step * DAY for step in range(1, 15)),
        render=partial(_cash_flow_text, dice, identity),
    )


def _cash_flow_text(dice: Dice, identity: int, record: Record) -> bytes:
    return encode(
        {
            "period": {"id": identity, "begin": zulu(record.at), "end": zulu(record.at + timedelta(days=15))},
            "orders_amount": verbatim(f"{dice.number('orders', 1000, 90_000) * (record.state + 1)}.10"),
            "returns_amount": -dice.number("returns", 0, 3000) * (record.state + 1),
            "commission_amount": -dice.number("commission", 100, 9000) * (record.state + 1),
            "services_amount": verbatim("-8471.28"),
            "item_delivery_and_return_amount": -1991,
            "currency_code": "RUB",
        }
    )


def ordered(dice: Dice, seller: str, day: date, number: int) -> Life:
    """What was ordered of one product on one day; `order` is the sum, for that is how it can be sorted."""
    revenue = dice.number("revenue", 0, 90_000)
    sku = sku_of(base(seller) * 100_000_000 + number)
    return Life(
        key=f"{sku}/{day.isoformat()}",
        order=revenue * 1000 + number,
        at=moment(day, 0),
        born=moment(day, 0),
        render=partial(_ordered_text, dice, sku, revenue),
    )


def _ordered_text(dice: Dice, sku: int, revenue: int, record: Record) -> bytes:
    day = record.at.date().isoformat()
    return encode(
        {
            "dimensions": [{"id": str(sku), "name": dice.pick("name", GOODS)}, {"id": day, "name": ""}],
            "metrics": [revenue, dice.number("units", 0, 90)],
        }
    )


def placed(dice: Dice, seller: str, day: date, number: int) -> Life:
    """What a product's place in a warehouse cost on one day."""
    sku = sku_of(base(seller) * 100_000_000 + number)
    text = {"SKU": sku, "Дата": day.isoformat(), "Стоимость размещения": f"{dice.number('cost', 0, 900)},50"}
    key = f"{sku}/{day.isoformat()}"
    return Life(key=key, order=sku, at=moment(day, 0), born=moment(day, 0), render=lambda _: encode(text))


def discounted(dice: Dice, seller: str, day: date, number: int) -> Life:
    sku = sku_of(base(seller) * 100_000_000 + number)
    text = {"SKU": sku, "Причина": dice.pick("why", ("Вскрыта упаковка", "Помят"))}
    return Life(key=str(sku), order=sku, at=moment(day, 0), born=moment(day, 0), render=lambda _: encode(text))


def realized_on_day(dice: Dice, seller: str, day: date, number: int) -> Life:
    """What was sold of one product on one Moscow day."""
    begins, barcode = moscow_midnight(day), f"OZN{serial(day, number)}"
    amount = {"amount": verbatim(f"{dice.number('amount', 200, 9000)}.10"), "quantity": dice.number("quantity", 1, 3)}
    text = {
        "rowNumber": number + 1,
        "item": {"sku": sku_of(base(seller) * 100_000_000 + number), "barcode": barcode},
        "commission_ratio": verbatim("0.12"),
        "delivery_commission": amount,
        "return_commission": None,
    }
    return Life(key=barcode, order=number, at=begins, born=begins, render=lambda _: encode(text))


def balance_of_day(dice: Dice, seller: str, day: date, number: int) -> Life:
    del number
    closing = verbatim(f"{base(seller)}{day.toordinal()}.5")

    def money(value: object) -> dict[str, object]:
        return {"currency_code": "RUB", "value": value}

    accrued = money(dice.number("accrued", -900, 9000))
    total = {"opening_balance": money(0), "closing_balance": money(closing), "accrued": accrued, "payments": []}
    text = {
        "cashflows": {"sales": {"amount": accrued}, "returns": {"amount": money(0)}, "services": []},
        "total": total,
    }
    key, begins = f"{base(seller)}{day.toordinal()}.5", moment(day, 0)
    return Life(key=key, order=day.toordinal(), at=begins, born=begins, render=lambda _: encode(text))

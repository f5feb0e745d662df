"""What the Yandex Market of the sandbox knows of a cabinet (a business) and its stores (campaigns)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from sandbox.records import (
    DAY,
    MOSCOW,
    Book,
    Dice,
    Life,
    Record,
    World,
    catalogue,
    encode,
    every_day,
    moment,
    moscow,
    serial,
    verbatim,
    zulu,
)

PLACEMENTS = ("FBS", "FBY", "DBS")
STATUSES = ("PROCESSING", "DELIVERY", "DELIVERED")
STATS_STATUSES = ("PROCESSING", "DELIVERY", "DELIVERED")
CITIES = ("Тула", "Уфа", "Сочи", "Королёв", "Магнитогорск")
GOODS = ("Плед «Осень»", "Щётка для обуви", "Ёршик", "Лампа 9 Вт", "Сито 20 см")


class YandexMarketData:
    """The books of every Yandex Market stream; `orders_stats` tells of the same orders as `orders`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stores = round(world.volumes.get("yandex_market/campaigns", 3))

        def book(count: Callable[[date], int], make: Callable[[Dice, str, date, int], Life], name: str) -> Book:
            def draw(seller: str, day: date, number: int) -> Life:
                return make(Dice(f"{world.seed}/yandex_market/{name}/{seller}/{day}/{number}"), seller, day, number)

            return Book(world, count, draw)

        per_store = every_day(world, "yandex_market/orders", 15)
        self.orders = book(lambda day: per_store(day) * self.stores, self._order, "orders")
        self.prices = book(catalogue(world, "yandex_market/prices", 200), _price, "prices")
        self.reports = {
            name: book(every_day(world, f"yandex_market/{name}", usual), make, name) for name, usual, make in REPORTS
        }

    def campaigns(self, seller: str) -> list[Record]:
        """Stores do not change."""
        since = moment(self._world.first_day, 0)
        return [
            Record(
                Life(
                    key=campaign,
                    order=int(campaign),
                    at=since,
                    born=since,
                    render=partial(_campaign_text, seller, number),
                ),
                0,
                since,
            )
            for number, campaign in enumerate(self.campaign_ids(seller))
        ]

    def campaign_ids(self, seller: str) -> tuple[str, ...]:
        return tuple(f"{seller}{number + 1}" for number in range(self.stores))

    def _order(self, dice: Dice, seller: str, day: date, number: int) -> Life:
        campaign = self.campaign_ids(seller)[number % self.stores]
        return _order(dice, seller, campaign, day, number)


def _campaign_text(seller: str, number: int, record: Record) -> bytes:
    return encode(
        {
            "domain": f"Лавка «Ёж» №{number + 1}",
            "id": int(record.key),
            "clientId": int(seller) + 1,
            "business": {"id": int(seller), "name": "Кабинет «Ёж»"},
            "placementType": PLACEMENTS[number % len(PLACEMENTS)],
            "apiAvailability": "AVAILABLE",
        }
    )


def _order(dice: Dice, seller: str, campaign: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    shipped = created + timedelta(hours=5, seconds=dice.number("shipped", 0, 86_400))
    finished = shipped + timedelta(days=1, seconds=dice.number("finished", 0, 8 * 86_400))
    order = Dice(seller).number("orders", 1, 89) * 10_000_000_000 + serial(day, number)
    return Life(
        key=str(order),
        order=order,
        at=created,
        born=created,
        steps=(shipped, finished),
        slices=(campaign,),
        render=partial(_order_text, dice, campaign),
    )


def _cancelled(dice: Dice, state: int) -> bool:
    return state == 2 and dice.chance("cancelled", 10)


def _rubles(value: int) -> dict[str, object]:
    return {"value": verbatim(f"{value}.10"), "currencyId": "RUR"}


def _order_text(dice: Dice, campaign: str, record: Record) -> bytes:
    cancelled = _cancelled(dice, record.state)
    price = dice.number("price", 100, 15_000)
    return encode(
        {
            "orderId": record.life.order,
            "campaignId": int(campaign),
            "programType": PLACEMENTS[(int(campaign) - 1) % 10 % len(PLACEMENTS)],
            "status": "CANCELLED" if cancelled else STATUSES[record.state],
            "substatus": "USER_CHANGED_MIND" if cancelled else "STARTED",
            "creationDate": moscow(record.at),
            "updateDate": moscow(record.changed),
            "paymentType": "PREPAID",
            "paymentMethod": "YANDEX",
            "fake": False,
            "items": [
                {
                    "id": record.life.order * 10,
                    "offerId": f"SKU-{dice.number('offer', 1, 200)}",
                    "offerName": dice.pick("name", GOODS),
                    "count": 1,
                    "prices": {"payment": _rubles(price), "subsidy": _rubles(price // 10), "vat": "VAT_22"},
                    "instances": [{"cis": f"0104600000000017{dice.hex('cis', 8)}\x1d91EE10"}],
                }
            ],
            "prices": {"payment": _rubles(price), "subsidy": _rubles(price // 10)},
            "delivery": {
                "type": "PICKUP",
                "serviceName": "Доставка Маркета",
                "deliveryServiceId": 1005,
                "deliveryPartnerType": "YANDEX_MARKET",
                "dates": {"fromDate": (record.at + 3 * DAY).date().isoformat()},
            },
            "buyerType": "PERSON",
            "notes": "",
            "cancelRequested": False,
            "sourcePlatform": "MARKET",
        }
    )


def stats_text(record: Record) -> bytes:
    """The same order as the statistics tell it."""
    render = record.life.render
    assert isinstance(render, partial)
    return _stats_text(render.args[0], record)


def _stats_text(dice: Dice, record: Record) -> bytes:
    cancelled = _cancelled(dice, record.state)
    price = dice.number("price", 100, 15_000)
    paid = record.changed.astimezone(MOSCOW).date().isoformat()
    payment = {"id": dice.hex("payment", 12), "date": paid, "type": "PAYMENT", "source": "BUYER", "total": price}
    return encode(
        {
            "id": record.life.order,
            "creationDate": record.at.astimezone(MOSCOW).date().isoformat(),
            "statusUpdateDate": moscow(record.changed),
            "status": "CANCELLED_IN_DELIVERY" if cancelled else STATS_STATUSES[record.state],
            "partnerOrderId": "",
            "paymentType": "PREPAID",
            "fake": False,
            "deliveryRegion": {"id": 54, "name": dice.pick("city", CITIES)},
            "items": [
                {
                    "offerName": dice.pick("name", GOODS),
                    "marketSku": dice.number("sku", 10**9, 10**11),
                    "shopSku": f"SKU-{dice.number('offer', 1, 200)}",
                    "count": 1,
                    "prices": [{"type": "BUYER", "costPerItem": verbatim(f"{price}.10"), "total": price}],
                    "warehouse": {"id": 300, "name": "Склад Томилино"},
                    "bidFee": 0,
                }
            ],
            "initialItems": [],
            "payments": [payment] if record.state == 2 and not cancelled else [],
            "commissions": [{"type": "FEE", "actual": verbatim(f"{price // 10}.50")}] if record.state == 2 else [],
            "subsidies": [],
            "currency": "RUR",
        }
    )


def _price(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    order = serial(day, number, 1000)
    return Life(
        key=f"SKU-{order:09d}-ё",
        order=order,
        at=created,
        born=created,
        every=timedelta(days=dice.number("every", 2, 20)),
        render=partial(_price_text, dice, seller),
    )


def _price_text(dice: Dice, seller: str, record: Record) -> bytes:
    del seller
    price = dice.number(f"price {record.state}", 100, 15_000)
    return encode(
        {
            "offerId": record.key,
            "price": {
                "value": verbatim(f"{price}.00"),
                "currencyId": "RUR",
                "discountBase": price * 12 // 10,
                "excludedFromBestsellers": False,
                "updatedAt": zulu(record.changed),
            },
        }
    )


def _payment(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    paid = moment(day, dice.number("second", 0, 86_399))
    return Life(
        key=f"{serial(day, number)}-{dice.hex('id', 6)}",
        order=serial(day, number),
        at=paid,
        born=paid,
        render=partial(_payment_text, dice),
    )


def _line(dice: Dice, seller: str, day: date, number: int) -> Life:
    return replace(_payment(dice, seller, day, number), render=partial(_line_text, dice))


def _line_text(dice: Dice, record: Record) -> bytes:
    return encode(
        {
            "ID": record.key,
            "DATE": moscow(record.at),
            "SHOP_SKU": f"SKU-{dice.number('offer', 1, 200)}",
            "OFFER_NAME": dice.pick("name", GOODS),
            "COUNT": dice.number("count", 1, 4),
            "AMOUNT": verbatim(f"{dice.number('amount', 10, 900)}.10"),
        }
    )


def _payment_text(dice: Dice, record: Record) -> bytes:
    return encode(
        {
            "ID": record.key,
            "DATE": moscow(record.at),
            "OPERATION": dice.pick("operation", ("Начисление", "Возврат", "Удержание за услуги")),
            "OFFER_NAME": dice.pick("name", GOODS),
            "AMOUNT": verbatim(f"{dice.number('amount', -500, 9000)}.10"),
            "CURRENCY": "RUR",
            "PAYMENT_ORDER": dice.number("order", 10**5, 10**6),
        }
    )


# The streams that are reports, how many lines a day each usually has, and what makes one.
REPORTS = (
    ("united_netting", 20, _payment),
    ("united_marketplace_services", 8, _line),
    ("united_orders", 8, _line),
    ("united_returns", 3, _line),
    ("shows_sales", 8, _line),
)

"""What happens to a seller of Yandex Market: returns, supplies, reviews, questions, marks for quality."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sandbox.data_yandex_market import GOODS, YandexMarketData
from sandbox.data_yandex_market_places import FBY
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

REFUNDS = ("STARTED_BY_USER", "REFUND_IN_PROGRESS", "REFUNDED")
SHIPMENTS = ("CREATED", "IN_TRANSIT", "PICKED")
SUPPLIES = ("CREATED", "ACCEPTED_BY_WAREHOUSE_SYSTEM", "FINISHED")


@dataclass(frozen=True)
class _Kind:
    """Something that is born, and takes its last two states within nine days; by stores or not."""

    name: str
    tell: Callable[[Dice, str, Record], bytes]  # of a seller
    of_store: bool


class Dealings:
    """The books of what is neither an order nor a good."""

    def __init__(self, world: World, data: YandexMarketData) -> None:
        self.campaign_ids = data.campaign_ids

        def book(kind: _Kind, count: Callable[[date], int]) -> Book:
            def draw(seller: str, day: date, number: int) -> Life:
                dice = Dice(f"{world.seed}/yandex_market/{kind.name}/{seller}/{day}/{number}")
                store = data.campaign_ids(seller)[(day.toordinal() + number) % data.stores]
                life = _life(dice, serial(day, number), moment(day, dice.number("second", 0, 86_399)))
                slices = (store if kind.of_store else "",)
                return replace(life, slices=slices, render=lambda record: kind.tell(dice, seller, record))

            return Book(world, count, draw)

        def mark(seller: str, day: date, number: int) -> Life:
            dice = Dice(f"{world.seed}/yandex_market/quality/{seller}/{day}/{number}")
            return _mark(dice, data.campaign_ids(seller)[number], day)

        self.returns = book(_RETURN, every_day(world, "yandex_market/returns", 3))
        self.supplies = book(_SUPPLY, catalogue(world, "yandex_market/supply_requests", 30))
        self.feedback = book(_REVIEW, every_day(world, "yandex_market/feedback", 3))
        self.questions = book(_QUESTION, every_day(world, "yandex_market/questions", 2))
        self.quality = Book(world, lambda day: data.stores if day >= world.first_day else 0, mark)


def _life(dice: Dice, order: int, born: datetime) -> Life:
    later = born + timedelta(hours=6, seconds=dice.number("later", 0, 2 * 86_400))
    last = later + timedelta(hours=1, seconds=dice.number("last", 0, 6 * 86_400))
    return Life(key=str(order), order=order, at=born, born=born, steps=(later, last), render=lambda _: b"")


def _return_text(dice: Dice, _: str, record: Record) -> bytes:
    amount = {"value": verbatim(f"{dice.number('amount', 100, 9000)}.00"), "currencyId": "RUR"}
    return encode(
        {
            "id": record.life.order,
            "orderId": dice.number("order", 10**9, 10**11),
            "creationDate": moscow(record.at),
            "updateDate": moscow(record.changed),
            "refundStatus": REFUNDS[record.state],
            "shipmentRecipientType": "SHOP",
            "shipmentStatus": SHIPMENTS[record.state],
            "amount": amount,
            "items": [{"shopSku": f"SKU-{dice.number('offer', 1, 200)}", "count": 1, "decisions": []}],
            "returnType": dice.pick("type", ("UNREDEEMED", "RETURN")),
            "fastReturn": False,
        }
    )


def _supply_text(dice: Dice, _: str, record: Record) -> bytes:
    place = {"fullAddress": "Тула, Осенняя, 1", "gps": {"latitude": verbatim("54.20"), "longitude": verbatim("37.60")}}
    plan = dice.number("plan", 10, 500)
    return encode(
        {
            "id": {"id": record.life.order, "marketplaceRequestId": f"M-{record.key}"},
            "type": dice.pick("type", ("SUPPLY", "SUPPLY", "WITHDRAW")),
            "subtype": "DEFAULT",
            "status": SUPPLIES[record.state],
            "updatedAt": zulu(record.changed),
            "counters": {"planCount": plan, "factCount": plan - 1 if record.state == 2 else 0},
            "targetLocation": {
                "requestedDate": zulu(record.at + 3 * DAY),
                "serviceId": dice.pick("place", FBY),
                "name": "Склад Маркета",
                "address": place,
                "type": "FULFILLMENT",
            },
        }
    )


def _review_text(dice: Dice, _: str, record: Record) -> bytes:
    return encode(
        {
            "feedbackId": record.life.order,
            "createdAt": moscow(record.at),
            "needReaction": record.state == 0,
            "identifiers": {
                "orderId": dice.number("order", 10**9, 10**11),
                "offerId": f"SKU-{dice.number('sku', 1, 200)}",
            },
            "author": dice.pick("author", ("Фёдор", "Алёна", "Пётр")),
            "description": {"advantages": "тёплый", "comment": dice.pick("name", GOODS)},
            "statistics": {"rating": dice.number("rating", 1, 5), "commentsCount": record.state, "recommended": True},
        }
    )


def _question_text(dice: Dice, seller: str, record: Record) -> bytes:
    return encode(
        {
            "questionIdentifiers": {"id": record.life.order, "offerId": f"SKU-{dice.number('sku', 1, 200)}"},
            "businessId": int(seller),
            "text": f"Подойдёт ли {dice.pick('name', GOODS)}?",
            "createdAt": moscow(record.at),
            "votes": {"likes": record.state * 2, "dislikes": 0},
            "author": {"type": "USER", "name": dice.pick("author", ("Фёдор", "Алёна", "Пётр"))},
        }
    )


_RETURN = _Kind("returns", _return_text, of_store=True)
_SUPPLY = _Kind("supply_requests", _supply_text, of_store=True)
_REVIEW = _Kind("feedback", _review_text, of_store=False)
_QUESTION = _Kind("questions", _question_text, of_store=False)


def _mark(dice: Dice, store: str, day: date) -> Life:
    """The mark of a Moscow day; `at` is its midnight, from which on it can be seen."""
    midnight = moment(day, 0) - MOSCOW.utcoffset(None)
    return Life(
        key=f"{store}/{day}",
        order=serial(day, 0),
        at=midnight,
        born=midnight,
        slices=(store,),
        render=lambda record: _mark_text(dice, record),
    )


def _mark_text(dice: Dice, record: Record) -> bytes:
    late = {"value": verbatim(f"{dice.number('late', 0, 20)}.50"), "componentType": "FBS_LATE_SHIP_RATE"}
    return encode(
        {
            "rating": dice.number("rating", 60, 100),
            "calculationDate": record.at.astimezone(MOSCOW).date().isoformat(),
            "components": [late],
        }
    )

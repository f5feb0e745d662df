"""The cabinet of an Ozon seller and what buyers write to it."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from uuid import UUID

from sandbox.data_ozon_goods import base
from sandbox.records import DAY, Dice, Life, Record, encode, moment, serial, zulu

Text = Callable[[Dice, Record], bytes]

ROLES = ("Admin read only", "Posting FBS", "Posting FBO")


def cabinet(dice: Dice, seller: str, day: date, number: int) -> Life:
    del number
    inn = str(dice.number("inn", 10**9, 10**10 - 1))
    text = {
        "company": {"name": f"ООО «Ромашка № {base(seller)}»", "inn": inn, "country": "Россия", "currency": "RUB"},
        "ratings": [{"name": "Оценка товаров", "rating": "rating_on_time", "status": "OK", "value_type": "PERCENT"}],
        "subscription": {"is_premium": True, "type": "PREMIUM_PLUS"},
    }
    return Life(key=inn, order=0, at=moment(day, 0), born=moment(day, 0), render=lambda _: encode(text))


def role(dice: Dice, seller: str, day: date, number: int) -> Life:
    del dice, seller
    text = {"name": ROLES[number], "methods": ["/v3/product/list", "/v4/posting/fbs/list"]}
    return Life(key=ROLES[number], order=number, at=moment(day, 0), born=moment(day, 0), render=lambda _: encode(text))


def review(dice: Dice, seller: str, day: date, number: int) -> Life:
    return _written(dice, seller, day, number, _review_text)


def _written(dice: Dice, seller: str, day: date, number: int, text: Text) -> Life:
    del seller
    published = moment(day, dice.number("second", 0, 86_399) + dice.number("milli", 0, 999) / 1000)
    return Life(
        key=str(UUID(hex=dice.hex("id", 32), version=4)),
        order=serial(day, number),
        at=published,
        born=published,
        steps=(published + timedelta(hours=3), published + 2 * DAY),
        render=partial(text, dice),
    )


def _review_text(dice: Dice, record: Record) -> bytes:
    return encode(
        {
            "id": record.key,
            "sku": dice.number("sku", 10**9, 2 * 10**9),
            "text": 'Не лучший товар, встречал и "получше" за те же деньги.\n🙂',
            "published_at": zulu(record.at),
            "rating": dice.number("rating", 1, 5),
            "status": ("NEW", "VIEWED", "PROCESSED")[record.state],
            "comments_amount": max(0, record.state - 1),
            "photos_amount": 0,
            "videos_amount": 0,
            "order_status": "DELIVERED",
            "is_rating_participant": True,
        }
    )


def question(dice: Dice, seller: str, day: date, number: int) -> Life:
    return _written(dice, seller, day, number, _question_text)


def _question_text(dice: Dice, record: Record) -> bytes:
    return encode(
        {
            "id": record.key,
            "sku": dice.number("sku", 10**9, 2 * 10**9),
            "text": "Подойдёт ли к «Ёлке»?",
            "author_name": "Пользователь OZON",
            "published_at": zulu(record.at),
            "status": ("NEW", "VIEWED", "PROCESSED")[record.state],
            "answers_count": max(0, record.state - 1),
            "product_url": "https://www.ozon.ru/product/1649246352/",
        }
    )

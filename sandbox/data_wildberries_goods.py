"""Cards and prices of a Wildberries seller."""

from datetime import date, timedelta
from functools import partial
from uuid import UUID

from sandbox.records import DAY, Dice, Life, Record, encode, moment, serial, verbatim, zulu

BRANDS = ("Ольха", "Северный ветер", "Ёлка&Ко", "Plain", "Мастерская «Уют»")
SUBJECTS = ("Термосы", "Полотенца", "Настольные лампы", "Рюкзаки", "Чайники")


def nm_id(seller: str, day: date, number: int) -> int:
    return Dice(seller).number("nm", 100, 899) * 100_000_000 + serial(day, number, 1000)


def card(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399) + dice.number("micro", 0, 999_999) / 1e6)
    nm = nm_id(seller, day, number)
    return Life(
        key=str(nm),
        order=nm,
        at=created,
        born=created,
        every=timedelta(days=dice.number("every", 4, 60)),
        render=partial(_card_text, dice, nm),
    )


def _card_text(dice: Dice, nm: int, record: Record) -> bytes:
    photo = f"https://images.sandbox.wildberries.ru/{nm}"
    weight = verbatim(f"{dice.number('weight', 0, 9)}.{dice.number('grams', 1, 9)}0")
    features: list[object] = [{"id": 14177449, "name": "Цвет", "value": [dice.pick("colour", ("ёлочный", "беж"))]}]
    if dice.chance("serial", 10):
        digits = "".join(str(dice.number(f"digit{i}", 1, 9)) for i in range(40))
        features.append({"id": 14177450, "name": "Серийный номер", "value": verbatim(digits)})
    return encode(
        {
            "nmID": nm,
            "imtID": nm + 1,
            "nmUUID": str(UUID(hex=dice.hex("uuid", 32), version=4)),
            "subjectID": dice.number("subject id", 100, 9000),
            "subjectName": dice.pick("subject", SUBJECTS),
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "kizMarked": False,
            "brand": dice.pick("brand", BRANDS),
            "title": f"{dice.pick('subject', SUBJECTS)} {dice.pick('brand', BRANDS)}",
            "description": f'Редакция {record.state}: «ёмкий» товар \\ с кавычками "и" переносом\nстроки',
            "needKiz": False,
            "photos": [{"big": f"{photo}/big/1.webp", "tm": f"{photo}/tm/1.webp"}],
            "wholesale": {"enabled": False, "quantum": 0},
            "dimensions": {"length": 30, "width": 20, "height": 10, "weightBrutto": weight, "isValid": True},
            "characteristics": features,
            "sizes": [{"chrtID": nm + 7, "techSize": "0", "skus": [str(nm + 2_000_000_000_000)]}],
            "tags": [],
            "createdAt": zulu(record.at),
            "updatedAt": zulu(record.changed),
        }
    )


def price(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    nm = nm_id(seller, day, number)
    return Life(key=str(nm), order=nm, at=created, born=created, every=3 * DAY, render=partial(_price_text, dice, nm))


def _price_text(dice: Dice, nm: int, record: Record) -> bytes:
    price = dice.number(f"price {record.state}", 300, 9000)
    return encode(
        {
            "nmID": nm,
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "sizes": [
                {
                    "sizeID": nm + 7,
                    "price": price,
                    "discountedPrice": verbatim(f"{price * 7 // 10}.50"),
                    "clubDiscountedPrice": verbatim(f"{price * 6 // 10}.05"),
                    "techSizeName": "0",
                }
            ],
            "currencyIsoCode4217": "RUB",
            "discount": 30,
            "clubDiscount": 5,
            "editableSizePrice": False,
            "isBadTurnover": dice.chance("turnover", 10),
        }
    )

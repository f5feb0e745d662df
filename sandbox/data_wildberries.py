"""What the Wildberries of the sandbox knows of a seller."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from sandbox.data_wildberries_goods import BRANDS, SUBJECTS, card, nm_id, price
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

CITIES = ("Казань", "Екатеринбург", "Нижний Новгород", "Омск", "Йошкар-Ола")
REGIONS = ("Приволжский федеральный округ", "Уральский федеральный округ", "Сибирский федеральный округ")
WORDS = ("Тёплый", "хороший", "держит", "форму", "пришёл", "быстро", "коробка", "помята", "цвет", "как", "на", "фото")

ANSWERED = "answered=true"
UNANSWERED = "answered=false"


def book(world: World, name: str, count: Callable[[date], int], make: Callable[[Dice, str, date, int], Life]) -> Book:
    """A book whose lives are made with dice of their own; books of one name throw the same."""

    def draw(seller: str, day: date, number: int) -> Life:
        return make(Dice(f"{world.seed}/wildberries/{name}/{seller}/{day}/{number}"), seller, day, number)

    return Book(world, count, draw)


class WildberriesData:
    """The books of the streams that wildberries_methods.py answers; `order_feed` shows the same orders as `orders`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders = book(world, "orders", every_day(world, "wildberries/orders", 40), _order)
        self.cards = book(world, "cards", catalogue(world, "wildberries/cards", 120), card)
        self.prices = book(world, "cards", catalogue(world, "wildberries/prices", 120), price)
        self.fin_detail = book(world, "fin_detail", every_day(world, "wildberries/fin_detail", 30), _fin_row)
        self.feedbacks = book(world, "feedbacks", every_day(world, "wildberries/feedbacks", 10), self._feedback)

    def _feedback(self, dice: Dice, seller: str, day: date, number: int) -> Life:
        nasty = self._world.nasty and day == self._world.epoch.date() - DAY
        return _feedback(dice, seller, day, number, nasty=nasty)


def _second(day: date, number: int) -> int:
    """Every third record shares its second with the one before it, as the goods of one basket do."""
    return Dice(f"{day}").number(str(number // 3 * 3 if number % 3 == 1 else number), 0, 86_399)


def _order(dice: Dice, seller: str, day: date, number: int) -> Life:
    created = moment(day, _second(day, number))
    shipped = created + timedelta(hours=6, seconds=dice.number("shipped", 0, 86_400))
    finished = shipped + timedelta(days=1, seconds=dice.number("finished", 0, 6 * 86_400))
    return Life(
        key=f"{dice.number('basket', 10, 99)}.r{dice.hex('srid', 32)}.{number}.0",
        order=serial(day, number),
        at=created,
        born=created,
        steps=(shipped, finished),
        render=partial(_order_text, dice, nm_id(seller, day, number % 40)),
    )


def _order_text(dice: Dice, nm: int, record: Record) -> bytes:
    cancelled = is_cancelled(dice, record.state)
    price = dice.number("price", 300, 9000)
    return encode(
        {
            "date": moscow(record.at, offset=False),
            "lastChangeDate": moscow(record.changed, offset=False),
            "warehouseName": "Склад WB",
            "warehouseType": dice.pick("warehouse", ("Склад WB", "Склад продавца")),
            "countryName": "Россия",
            "oblastOkrugName": dice.pick("okrug", REGIONS),
            "regionName": dice.pick("city", CITIES),
            "supplierArticle": f"ART-{dice.number('article', 1, 120)}",
            "nmId": nm,
            "barcode": str(dice.number("barcode", 2_000_000_000_000, 2_999_999_999_999)),
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
            # What a float would print as 1.1 and round at 2**53.
            "finishedPrice": verbatim(f"{price * 8 // 10}.10"),
            "priceWithDisc": verbatim(f"{price * 9 // 10}.00"),
            "isCancel": cancelled,
            "cancelDate": moscow(record.changed, offset=False) if cancelled else "0001-01-01T00:00:00",
            "sticker": str(dice.number("sticker", 100_000_000, 999_999_999)),
            "gNumber": str(dice.number("g", 10**18, 10**19)),
            "srid": record.key,
        }
    )


def is_cancelled(dice: Dice, state: int) -> bool:
    return state == 2 and dice.chance("cancelled", 15)


def feed_text(dice: Dice, nm: int, record: Record) -> bytes:
    """The same order as the order feed shows it."""
    cancelled = is_cancelled(dice, record.state)
    status = ("new", "sold", "cancel" if cancelled else "buyout")[record.state]
    return encode(
        {
            "nmId": nm,
            "chrtId": nm + 7,
            "srid": record.key,
            "createdAt": moscow(record.at),
            "updatedAt": moscow(record.changed),
            "status": status,
            "cancelType": "app" if cancelled else "",
            "warehouseName": "Склад WB",
            "warehouseRegion": "",
            "isMp": dice.chance("mp", 50),
            "destinationCity": dice.pick("city", CITIES),
            "destinationDistrict": dice.pick("okrug", REGIONS),
            "sellerPrice": dice.number("price", 300, 9000),
            "isB2b": dice.chance("b2b", 5),
        }
    )


def as_feed(record: Record) -> bytes:
    render = record.life.render
    assert isinstance(render, partial)
    dice, nm = render.args
    return feed_text(dice, nm, record)


def in_report(record: Record, report: int) -> Record:
    """The same row of the realization reports, as it stands in the one of that id."""
    render = record.life.render
    assert isinstance(render, partial)
    told = partial(render, report=report)
    return replace(record, life=replace(record.life, key=f"{report}/{record.key}", render=told))


def _fin_row(dice: Dice, seller: str, day: date, number: int) -> Life:
    row = Dice(seller).number("rrd", 1, 9) * 10_000_000_000 + serial(day, number)
    midnight = datetime(day.year, day.month, day.day, tzinfo=MOSCOW)
    return Life(
        key=str(row),
        order=row,
        at=midnight,
        born=midnight + timedelta(hours=30),  # the daily report is out at six the next morning
        render=partial(_fin_text, dice, nm_id(seller, day, number % 40), row),
    )


def _fin_text(dice: Dice, nm: int, row: int, record: Record, report: int | None = None) -> bytes:
    day = record.at.date()
    price = dice.number("price", 300, 9000)
    return encode(
        {
            # A daily report's id does not fit a double.
            "reportId": report or 9_007_199_254_740_993 + day.toordinal() * 2,
            "dateFrom": day.isoformat(),
            "dateTo": day.isoformat(),
            "createDate": (day + DAY).isoformat(),
            "currency": "RUB",
            "reportType": 1,
            "rrdId": row,
            "giId": dice.number("gi", 10_000_000, 99_999_999),
            "dlvPrc": verbatim("1.80"),
            "subjectName": dice.pick("subject", SUBJECTS),
            "nmId": nm,
            "brandName": dice.pick("brand", BRANDS),
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "techSize": "0",
            "sku": str(nm + 2_000_000_000_000),
            "docTypeName": "Продажа",
            "quantity": 1,
            "retailPrice": str(price),
            "retailAmount": f"{price * 9 // 10}.10",
            "commissionPercent": 24,
            "officeName": "Склад WB",
            "sellerOperName": dice.pick("operation", ("Продажа", "Логистика", "Возврат", "Штраф")),
            "orderDt": zulu(record.at - 5 * DAY),
            "saleDt": zulu(record.at),
            "rrDate": day.isoformat(),
            "shkId": dice.number("shk", 10**9, 10**10),
            "retailPriceWithDisc": f"{price * 9 // 10}.00",
            "spp": verbatim("25.30"),
            "ppvzSalesCommission": f"-{dice.number('commission', 1, 99)}.5",
            "forPay": f"{price * 6 // 10}.99",
            "acquiringFee": "14.10",
            "stickerId": str(dice.number("sticker", 10**9, 10**10)),
            "country": "Россия",
            "penalty": "0",
            "additionalPayment": "0",
            "rebillLogisticOrg": "ИП Ёлкин Пётр",
            "paidStorage": "0",
            "deduction": "0",
            "orderId": dice.number("order", 10**9, 10**10),
            "kiz": f"01029000003763112{dice.hex('kiz', 10)}\x1d91EE10\x1d92{dice.hex('crypto', 30)}=",
            "isB2b": False,
            "srid": dice.hex("srid", 40),
        }
    )


def _feedback(dice: Dice, seller: str, day: date, number: int, *, nasty: bool) -> Life:
    created = moment(day, dice.number("second", 0, 86_399))
    answered = created + timedelta(hours=1, seconds=dice.number("answered", 0, 3 * 86_400))
    will_be = dice.chance("will be answered", 70)
    text = " ".join(dice.pick(f"word {i}", WORDS) for i in range(dice.number("words", 3, 12)))
    if nasty and number == 0:
        text += "\x00"
    if nasty and number == 1:
        text = verbatim(r'"\ud83d"')
    return Life(
        key=dice.hex("id", 20),
        order=serial(day, number),
        at=created,
        born=created,
        steps=(answered,) if will_be else (),
        slices=(UNANSWERED, ANSWERED),
        render=partial(_feedback_text, dice, nm_id(seller, day, number), text),
    )


def _feedback_text(dice: Dice, nm: int, text: str, record: Record) -> bytes:
    answer = {"text": "Спасибо за отзыв!", "state": "wbRu", "editable": False}
    return encode(
        {
            "id": record.key,
            "text": text,
            "pros": "",
            "cons": "",
            "productValuation": dice.number("stars", 1, 5),
            "createdDate": moscow(record.at),
            "answer": answer if record.state else None,
            "state": "wbRu" if record.state else "none",
            "productDetails": {
                "imtId": nm + 1,
                "nmId": nm,
                "productName": dice.pick("subject", SUBJECTS),
                "supplierArticle": f"ART-{dice.number('article', 1, 9999)}",
                "supplierName": "ИП Ёлкин",
                "brandName": dice.pick("brand", BRANDS),
                "size": "0",
            },
            "video": None,
            "wasViewed": bool(record.state),
            "photoLinks": None,
            "userName": dice.pick("user", ("Пётр", "Алёна", "Зухра", "Björn")),
            "orderStatus": "buyout",
            "matchingSize": "ok",
            "isAbleSupplierFeedbackValuation": False,
            "supplierFeedbackValuation": 0,
            "isAbleSupplierProductValuation": False,
            "supplierProductValuation": 0,
            "isAbleReturnProductOrders": False,
            "returnProductOrdersDate": None,
            "bables": None,
            "lastOrderShkId": dice.number("shk", 10**9, 10**10),
            "lastOrderCreatedAt": moscow(record.at - 3 * DAY),
            "color": "",
            "subjectId": dice.number("subject id", 100, 9000),
            "subjectName": dice.pick("subject", SUBJECTS),
            "parentFeedbackId": None,
            "childFeedbackId": None,
        }
    )

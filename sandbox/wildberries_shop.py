"""Wildberries: the seller, the bin, supplies of tasks, the promotions, payments for advertising and documents."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from sandbox.data_wildberries import book
from sandbox.data_wildberries_goods import BRANDS, SUBJECTS, nm_id
from sandbox.marketplace import changed, created
from sandbox.records import DAY, Dice, Life, Record, World, encode, every_day, moment, moscow, serial, zulu
from sandbox.wildberries_adverts import ADVERT
from sandbox.wildberries_goods import COMMON
from sandbox.wildberries_lists import Streams, all_rows, endpoint, fixed, of_book, of_days, page, whole
from sandbox.wildberries_methods import HOSTS
from sandbox.wildberries_sales import MARKET
from sandbox.wire import Call, Endpoint, Invalid, Reply

CALENDAR: Final = "dp-calendar-api.wildberries.ru"
DOCUMENTS: Final = "documents-api.wildberries.ru"


class Shop:
    def __init__(self, world: World) -> None:
        self.seller = book(world, "seller_info", fixed(1, world.first_day), _seller)
        self.trash = book(world, "cards_trash", every_day(world, "wildberries/cards_trash", 2), _trashed)
        self.supplies = book(world, "fbs_supplies", every_day(world, "wildberries/fbs_supplies", 2), _supply)
        self.promotions = book(world, "promotions", fixed(20, world.first_day), partial(_promotion, world))
        self.payments = book(world, "adv_payments", every_day(world, "wildberries/adv_payments", 2), _payment)
        self.documents = book(world, "documents", every_day(world, "wildberries/documents", 2), _document)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            endpoint("seller_info", "GET", COMMON, "/api/v1/seller-info", self.seller_info),
            endpoint("cards_trash", "POST", HOSTS["cards"], "/content/v2/get/cards/trash", self.trash_page),
            endpoint("fbs_supplies", "GET", MARKET, "/api/v3/supplies", self.supply_page),
            endpoint("promotions", "GET", CALENDAR, "/api/v1/calendar/promotions", self.promotion_page),
            endpoint("adv_payments", "GET", ADVERT, "/adv/v1/payments", self.payment_list),
            endpoint("documents", "GET", DOCUMENTS, "/api/v1/documents/list", self.document_page),
        )

    def streams(self) -> Streams:
        return {
            "seller_info": of_book(self.seller, None),
            "cards_trash": of_book(self.trash, changed),
            "fbs_supplies": of_book(self.supplies, None),
            "promotions": of_book(self.promotions, None),
            "adv_payments": of_book(self.payments, created),
            "documents": of_book(self.documents, created),
        }

    def seller_info(self, call: Call) -> Reply:
        call.query.only()
        (record,) = all_rows(self.seller, call)
        return Reply(200, record.text, records=1)

    def trash_page(self, call: Call) -> Reply:
        call.body.only("settings")
        settings = call.body.inner("settings")
        settings.only("cursor", "sort")
        if not settings.inner("sort").flag("ascending", default=False):
            raise Invalid("sort.ascending: the sandbox plays the oldest first only")
        cursor = settings.inner("cursor")
        cursor.only("limit", "trashedAt", "nmID")
        limit = call.page_size(cursor.integer("limit", low=1, high=100, default=10))
        rows = sorted(self.trash.seen(call.seller, call.now), key=lambda row: (row.at, row.life.order))
        if "trashedAt" in cursor:
            start = (cursor.instant("trashedAt"), cursor.integer("nmID", low=0, high=2**63, default=0))
            rows = [row for row in rows if (row.at, row.life.order) > start]
        found = rows[:limit]
        last = (
            {"trashedAt": zulu(found[-1].at), "nmID": found[-1].life.order} if found else {"trashedAt": "", "nmID": 0}
        )
        return whole(found, b'{"cards":%%b,"cursor":%b}' % encode({**last, "total": len(found)}))

    def supply_page(self, call: Call) -> Reply:
        call.query.only("limit", "next")
        limit = call.page_size(call.query.integer("limit", low=1, high=1000))
        after = call.query.integer("next", low=0, high=2**63 - 1)
        rows = sorted(self.supplies.seen(call.seller, call.now), key=lambda row: row.life.order)
        found = [row for row in rows if row.life.order > after][:limit]
        return whole(found, b'{"next":%d,"supplies":%%b}' % (found[-1].life.order if found else 0))

    def promotion_page(self, call: Call) -> Reply:
        call.query.only("startDateTime", "endDateTime", "allPromo", "limit", "offset")
        if not call.query.flag("allPromo"):
            raise Invalid("allPromo: the sandbox plays all of them only")
        start, end = call.query.instant("startDateTime"), call.query.instant("endDateTime")
        if end < start:
            raise Invalid("startDateTime must not be later than endDateTime")
        rows = sorted(self.promotions.seen(call.seller, call.now), key=lambda row: row.life.order)
        return page(rows, call, call.query, most=1000, default=1000, envelope=b'{"data":{"promotions":%b}}')

    def payment_list(self, call: Call) -> Reply:
        call.query.only("from", "to")
        rows = of_days(self.payments, call, call.query, names=("from", "to"), longest=31)
        return whole(rows) if rows else Reply(204, b"")

    def document_page(self, call: Call) -> Reply:
        call.query.only("locale", "beginTime", "endTime", "sort", "order", "limit", "offset")
        call.query.choice("sort", ("date",), "date")
        rows = of_days(self.documents, call, call.query, names=("beginTime", "endTime"))
        if call.query.choice("order", ("asc", "desc"), "desc") == "desc":
            rows.reverse()
        return page(rows, call, call.query, most=50, default=50, envelope=b'{"data":{"documents":%b}}')


def _standing(key: str, order: int, at: datetime, render: partial[bytes]) -> Life:
    return Life(key=key, order=order, at=at, born=at, render=render)


def _seller(dice: Dice, seller: str, day: date, number: int) -> Life:
    return _standing(seller, number, moment(day, 0), partial(_seller_text, dice))


def _seller_text(dice: Dice, record: Record) -> bytes:
    tin = str(dice.number("tin", 10**9, 10**10 - 1))
    return encode({"name": "ИП Ёлкин Пётр", "sid": record.key, "tin": tin, "tradeMark": dice.pick("brand", BRANDS)})


def _trashed(dice: Dice, seller: str, day: date, number: int) -> Life:
    nm = nm_id(seller, day, number)
    at = moment(day, dice.number("second", 0, 86_399) + dice.number("micro", 0, 999_999) / 1e6)
    return _standing(str(nm), nm, at, partial(_trashed_text, dice, nm))


def _trashed_text(dice: Dice, nm: int, record: Record) -> bytes:
    return encode(
        {
            "nmID": nm,
            "vendorCode": f"ART-{dice.number('article', 1, 9999)}",
            "kizMarked": False,
            "subjectID": 105,
            "subjectName": dice.pick("subject", SUBJECTS),
            "photos": [],
            "sizes": [{"chrtID": nm + 7, "techSize": "0", "skus": [str(nm + 2_000_000_000_000)]}],
            "createdAt": zulu(record.at - 90 * DAY),
            "trashedAt": zulu(record.at),
        }
    )


def _supply(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    made, supply = moment(day, dice.number("second", 0, 86_399)), serial(day, number, 100)
    return Life(
        key=f"WB-GI-{supply}",
        order=supply,
        at=made,
        born=made,
        steps=(made + timedelta(hours=20),),
        render=partial(_supply_text, dice),
    )


def _supply_text(dice: Dice, record: Record) -> bytes:
    closed = zulu(record.changed) if record.state else None
    return encode(
        {
            "id": record.key,
            "isB2b": False,
            "isPickupPointShipmentAllowed": True,
            "done": bool(record.state),
            "createdAt": zulu(record.at),
            "closedAt": closed,
            "scanDt": closed,
            "name": f"Поставка {dice.number('name', 1, 99)}",
            "cargoType": 1,
            "crossBorderType": None,
            "destinationOfficeId": 123,
            "recommendedWhId": 123569,
        }
    )


def _promotion(world: World, dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    start = world.epoch + timedelta(days=dice.number("start", -20, 60))
    return _standing(str(100 + number), number, moment(day, 0), partial(_promotion_text, dice, 100 + number, start))


def _promotion_text(dice: Dice, promotion: int, start: datetime, record: Record) -> bytes:
    del record
    name, kind = f"скидки {promotion}", dice.pick("type", ("regular", "auto"))
    end = start + timedelta(days=dice.number("long", 3, 14))
    return encode({"id": promotion, "name": name, "startDateTime": zulu(start), "endDateTime": zulu(end), "type": kind})


def _payment(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    at, payment = moment(day, dice.number("second", 0, 86_399)), 10**6 + serial(day, number, 100)
    return _standing(str(payment), payment, at, partial(_payment_text, dice, payment))


def _payment_text(dice: Dice, payment: int, record: Record) -> bytes:
    rest = {"type": 3, "statusId": 1, "currency": "RUB", "cardStatus": "succeeded"}
    return encode(
        {"id": payment, "date": moscow(record.at, offset=False), "sum": dice.number("sum", 100, 9000), **rest}
    )


def _document(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    at, document = moment(day, dice.number("second", 0, 86_399)), serial(day, number)
    return _standing(f"redeem-notification-{document}", document, at, partial(_document_text, dice))


def _document_text(dice: Dice, record: Record) -> bytes:
    return encode(
        {
            "serviceName": record.key,
            "name": "redeem-notification",
            "category": "Redeem notification",
            "extensions": ["zip"],
            "creationTime": zulu(record.at),
            "viewed": dice.chance("viewed", 50),
        }
    )

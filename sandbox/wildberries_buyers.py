"""Wildberries: buyers' questions and their claims to return goods."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from sandbox.data_wildberries import ANSWERED, UNANSWERED, book
from sandbox.data_wildberries_goods import BRANDS, SUBJECTS, nm_id
from sandbox.marketplace import Stream, created
from sandbox.records import DAY, Dice, Life, Record, World, array, encode, every_day, moment, moscow, serial, zulu
from sandbox.wildberries_lists import Streams, endpoint, of_book, of_seconds, page
from sandbox.wildberries_methods import HOSTS
from sandbox.wire import Call, Endpoint, Invalid, Reply

RETURNS: Final = "returns-api.wildberries.ru"
QUESTIONS_DEEPEST: Final = 10_000
CLAIMS_KEPT: Final = 14 * DAY
OPEN, DECIDED = "archive=false", "archive=true"


class Buyers:
    def __init__(self, world: World) -> None:
        self.questions = book(world, "questions", every_day(world, "wildberries/questions", 4), _question)
        self.claims = book(world, "claims", every_day(world, "wildberries/claims", 6), _claim)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            endpoint("questions", "GET", HOSTS["feedbacks"], "/api/v1/questions", self.question_page),
            endpoint("claims", "GET", RETURNS, "/api/v1/claims", self.claim_page),
        )

    def streams(self) -> Streams:
        return {
            "questions": of_book(self.questions, created),
            "claims": Stream(self._kept_claims, None),
        }

    def question_page(self, call: Call) -> Reply:
        query = call.query
        query.only("isAnswered", "take", "skip", "dateFrom", "dateTo", "order")
        wanted = ANSWERED if query.flag("isAnswered") else UNANSWERED
        take = query.integer("take", low=1, high=QUESTIONS_DEEPEST)
        skip = query.integer("skip", low=0, high=QUESTIONS_DEEPEST)
        if take + skip > QUESTIONS_DEEPEST:
            raise Invalid("take: the sum of take and skip must not exceed 10000")
        rows = [row for row in of_seconds(self.questions, call) if row.slice == wanted]
        if query.choice("order", ("dateAsc", "dateDesc"), "dateDesc") == "dateDesc":
            rows.reverse()
        found = rows[skip : skip + call.page_size(take)]
        unanswered = sum(row.slice == UNANSWERED for row in self.questions.seen(call.seller, call.now))
        body = (
            b'{"data":{"countUnanswered":%d,"countArchive":0,"questions":%b},'
            b'"error":false,"errorText":"","additionalErrors":null}'
        ) % (unanswered, array(found))
        return Reply(200, body, records=len(found))

    def claim_page(self, call: Call) -> Reply:
        call.query.only("is_archive", "limit", "offset")
        wanted = DECIDED if call.query.flag("is_archive") else OPEN
        rows = [row for row in self._kept_claims(call.seller, call.now) if row.slice == wanted]
        rows.sort(key=lambda row: (row.at, row.key), reverse=True)
        return page(rows, call, call.query, most=200, default=50, envelope=b'{"claims":%%b,"total":%d}' % len(rows))

    def _kept_claims(self, seller: str, now: datetime) -> list[Record]:
        oldest = now - CLAIMS_KEPT
        return [row for row in self.claims.seen(seller, now, oldest.date()) if row.at >= oldest]


def _question(dice: Dice, seller: str, day: date, number: int) -> Life:
    asked = moment(day, dice.number("second", 0, 86_399))
    answered = asked + timedelta(hours=dice.number("answered", 1, 60))
    return Life(
        key=dice.hex("id", 20),
        order=serial(day, number),
        at=asked,
        born=asked,
        steps=(answered,) if dice.chance("will be answered", 60) else (),
        slices=(UNANSWERED, ANSWERED),
        render=partial(_question_text, dice, nm_id(seller, day, number)),
    )


def _question_text(dice: Dice, nm: int, record: Record) -> bytes:
    answer = {"text": "Да, подойдёт.", "editable": False, "createDate": zulu(record.changed)}
    return encode(
        {
            "id": record.key,
            "text": dice.pick("text", ("Подойдёт ли ребёнку?", "Какая ткань?", "Есть ли чехол?")),
            "createdDate": zulu(record.at),
            "state": "wbRu" if record.state else "suppliersPortalSynch",
            "answer": answer if record.state else None,
            "productDetails": {
                "imtId": nm + 1,
                "nmId": nm,
                "productName": dice.pick("subject", SUBJECTS),
                "supplierArticle": f"ART-{dice.number('article', 1, 9999)}",
                "supplierName": "ИП Ёлкин",
                "brandName": dice.pick("brand", BRANDS),
            },
            "wasViewed": bool(record.state),
            "isWarned": False,
        }
    )


def _claim(dice: Dice, seller: str, day: date, number: int) -> Life:
    made = moment(day, dice.number("second", 0, 86_399))
    return Life(
        key=str(UUID(hex=dice.hex("id", 32), version=4)),
        order=serial(day, number),
        at=made,
        born=made,
        steps=(made + timedelta(days=2, seconds=dice.number("decided", 0, 5 * 86_400)),),
        slices=(OPEN, DECIDED),
        render=partial(_claim_text, dice, nm_id(seller, day, number)),
    )


def _claim_text(dice: Dice, nm: int, record: Record) -> bytes:
    return encode(
        {
            "id": record.key,
            "claim_type": 1,
            "status": 2 if record.state else 0,
            "status_ex": 8 if record.state else 0,
            "nm_id": nm,
            "user_comment": "Длина провода не соответствует описанию",
            "wb_comment": "Продавец одобрил вашу заявку." if record.state else None,
            "dt": moscow(record.at, offset=False),
            "imt_name": dice.pick("subject", SUBJECTS),
            "order_dt": moscow(record.at - 9 * DAY, offset=False),
            "dt_update": moscow(record.changed, offset=False),
            "photos": [f"//photos.sandbox.wildberries.ru/claim/{record.key}/1.webp"],
            "video_paths": [],
            "actions": [] if record.state else ["autorefund1", "approve1"],
            "price": dice.number("price", 100, 9000),
            "currency_code": "643",
            "srid": f"{dice.hex('srid', 32)}.0.0",
            "origin_id_info": None,
            "delivery_dt": moscow(record.at - 3 * DAY, offset=False),
        }
    )

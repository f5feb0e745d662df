"""Wildberries: realization reports, the cost of payments, deductions and the balance."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from sandbox.data_wildberries import WildberriesData, book, in_report
from sandbox.data_wildberries_goods import nm_id
from sandbox.marketplace import Stream, created
from sandbox.records import (
    DAY,
    MOSCOW,
    Book,
    Dice,
    Life,
    Record,
    World,
    encode,
    every_day,
    moment,
    serial,
    verbatim,
    zulu,
)
from sandbox.wildberries_lists import Streams, all_rows, between, endpoint, fixed, of_book, of_days, page, whole
from sandbox.wildberries_methods import HOSTS
from sandbox.wire import Call, Endpoint, Invalid, Reply

REPORTS_SINCE: Final = date(2025, 1, 1)
REPORT_ROWS: Final = "/api/finance/v1/sales-reports/detailed"
SLICES: Final = ("daily", "weekly")


class Money:
    def __init__(self, world: World, data: WildberriesData) -> None:
        self._rows = data.fin_detail

        # One for each day, and on Mondays one for the week that begins.
        def count(day: date) -> int:
            return (1 if day.weekday() else 2) if day >= world.first_day else 0

        self.reports = book(world, "fin_reports", count, _report)
        self.acquiring = book(world, "acquiring", every_day(world, "wildberries/acquiring", 6), _acquiring)
        self.deductions = book(world, "deductions", every_day(world, "wildberries/deductions", 2), _deduction)
        self.penalties = book(world, "penalties", every_day(world, "wildberries/measurement_penalties", 2), _penalty)
        self.balance = book(world, "balance", fixed(1, world.first_day), _balance)

    def endpoints(self) -> tuple[Endpoint, ...]:
        finance, analytics = HOSTS["fin_detail"], HOSTS["order_feed"]
        deductions = partial(retention_page, self.deductions)
        penalties = partial(retention_page, self.penalties)
        penalties_path = "/api/analytics/v1/measurement-penalties"
        return (
            endpoint("fin_reports", "POST", finance, "/api/finance/v1/sales-reports/list", self.report_page),
            endpoint("fin_detail_by_id", "POST", finance, f"{REPORT_ROWS}/{{reportId}}", self.rows_page),
            endpoint("acquiring", "POST", finance, "/api/finance/v1/acquiring/detailed", self.acquiring_page),
            endpoint("balance", "GET", finance, "/api/v1/account/balance", self.balance_now),
            endpoint("deductions", "GET", analytics, "/api/analytics/v1/deductions", deductions),
            endpoint("measurement_penalties", "GET", analytics, penalties_path, penalties),
        )

    def streams(self) -> Streams:
        return {
            "fin_reports": of_book(self.reports, created),
            "fin_detail_by_id": Stream(lambda seller, now: list(self._rows_of_reports(seller, now)), None),
            "acquiring": of_book(self.acquiring, created),
            "balance": of_book(self.balance, None),
            "deductions": of_book(self.deductions, created),
            "measurement_penalties": of_book(self.penalties, created),
        }

    def report_page(self, call: Call) -> Reply:
        """Reports of days or weeks that lie in the period. What is behind the last is 204."""
        call.body.only("dateFrom", "dateTo", "limit", "offset", "period")
        if call.body.day("dateFrom") < REPORTS_SINCE:
            raise Invalid("dateFrom: data are available from 2025-01-01")
        period, end = call.body.choice("period", SLICES, "weekly"), call.body.day("dateTo")
        rows = [
            row
            for row in of_days(self.reports, call, call.body)
            if row.slice == period and (period == "daily" or row.at.date() + 6 * DAY <= end)
        ]
        answer = page(rows, call, call.body, most=1000, default=1000)
        return answer if answer.records else Reply(204, b"")

    def rows_page(self, call: Call) -> Reply:
        """Rows of one report behind `rrdId`; 204 behind the last, and of a report that the seller does not have."""
        call.body.only("limit", "rrdId")
        wanted = call.path["reportId"]
        if not wanted.isdecimal():
            raise Invalid("reportId: integer required")
        limit = call.page_size(call.body.integer("limit", low=1, high=100_000, default=100_000))
        after = call.body.integer("rrdId", low=0, high=2**63, default=0)
        reports = [report for report in self.reports.seen(call.seller, call.now) if report.key == wanted]
        rows = [row for report in reports for row in self._rows_of(report, call.seller, call.now)]
        found = sorted((row for row in rows if row.life.order > after), key=lambda row: row.life.order)[:limit]
        return whole(found) if found else Reply(204, b"")

    def _rows_of_reports(self, seller: str, now: datetime) -> Iterator[Record]:
        for report in self.reports.seen(seller, now):
            yield from self._rows_of(report, seller, now)

    def _rows_of(self, report: Record, seller: str, now: datetime) -> Iterator[Record]:
        end = report.at + (DAY if report.slice == "daily" else 7 * DAY)
        for row in self._rows.seen(seller, now, report.at.date(), end.date()):
            if report.at <= row.at < end:
                yield in_report(row, report.life.order)

    def acquiring_page(self, call: Call) -> Reply:
        call.body.only("dateFrom", "dateTo", "limit", "rrdId")
        limit = call.page_size(call.body.integer("limit", low=1, high=100_000, default=100_000))
        after = call.body.integer("rrdId", low=0, high=2**63, default=0)
        rows = sorted(of_days(self.acquiring, call, call.body), key=lambda row: row.life.order)
        found = [row for row in rows if row.life.order > after][:limit]
        return whole(found) if found else Reply(204, b"")

    def balance_now(self, call: Call) -> Reply:
        call.query.only()
        (record,) = all_rows(self.balance, call)
        return Reply(200, record.text, records=1)


def retention_page(rows: Book, call: Call) -> Reply:
    call.query.only("dateFrom", "dateTo", "limit", "offset")
    start, end = call.query.instant("dateFrom"), call.query.instant("dateTo")
    if end < start:
        raise Invalid("dateFrom must not be later than dateTo")
    found = between(rows, call, start, end + timedelta(seconds=1))
    envelope = b'{"data":{"reports":%%b,"total":%d}}' % len(found)
    return page(found, call, call.query, most=1000, default=1000, envelope=envelope)


def _report(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    length = 7 if number else 1
    midnight = datetime(day.year, day.month, day.day, tzinfo=MOSCOW)
    # A daily report's id does not fit a double.
    report = day.toordinal() if number else 9_007_199_254_740_993 + day.toordinal() * 2
    return Life(
        key=str(report),
        order=report,
        at=midnight,
        born=midnight + timedelta(days=length, hours=6),
        slices=(SLICES[number],),
        render=partial(_report_text, dice, report, day, day + timedelta(days=length - 1)),
    )


def _report_text(dice: Dice, report: int, first: date, last: date, record: Record) -> bytes:
    del record
    amount = dice.number("amount", 1000, 900_000)
    return encode(
        {
            "reportId": report,
            "sellerFinanceName": "ИП Ёлкин Пётр",
            "dateFrom": first.isoformat(),
            "dateTo": last.isoformat(),
            "createDate": (last + DAY).isoformat(),
            "currency": "RUB",
            "reportType": 1,
            "retailAmountSum": str(amount),
            "forPaySum": f"{amount * 6 // 10}.79",
            "avgSalePercent": verbatim("0.0"),
            "deliveryServiceSum": f"{amount // 10}.47",
            "paidStorageSum": "626.84",
            "paidAcceptanceSum": "0",
            "deductionSum": "150",
            "penaltySum": "0",
            "additionalPaymentSum": "0",
            "cashbackAmountSum": "2",
            "cashbackDiscountSum": "19",
            "cashbackCommissionChangeSum": "0.2",
            "paymentSchedule": "-1",
            "bankPaymentSum": f"{amount // 2}.94",
        }
    )


def _acquiring(dice: Dice, seller: str, day: date, number: int) -> Life:
    at, row = moment(day, dice.number("second", 0, 86_399)), 10**9 + serial(day, number)
    text = partial(_acquiring_text, dice, nm_id(seller, day, number), row)
    return Life(key=str(row), order=row, at=at, born=at, render=text)


def _acquiring_text(dice: Dice, nm: int, row: int, record: Record) -> bytes:
    day = record.at.date().isoformat()
    return encode(
        {
            "rrdId": row,
            "reportId": 1234567,
            "acqDate": day,
            "acquiringBank": "Тинькофф",
            "tin": "010101010101",
            "taxRegistrationReasonCode": "7701123301",
            "saleDate": day,
            "srid": dice.hex("srid", 40),
            "docTypeName": "Продажа",
            "nmId": nm,
            "retailAmount": str(dice.number("amount", 100, 9000)),
            "acquiringFee": f"{dice.number('fee', 1, 90)}.80",
            "acquiringFeeVat": "4.06",
            "invoiceNumber": f"С/Ф {dice.number('invoice', 1, 999)}",
            "invoiceDate": day,
            "shkId": dice.number("shk", 10**9, 10**10),
            "currency": "RUB",
        }
    )


def _deduction(dice: Dice, seller: str, day: date, number: int) -> Life:
    shk = dice.number("shk", 10**9, 10**11)
    return _kept_back(shk, day, partial(_deduction_text, dice, nm_id(seller, day, number), shk))


def _kept_back(key: int, day: date, render: Callable[[Record], bytes]) -> Life:
    midnight = moment(day, 0)
    return Life(key=str(key), order=key, at=midnight, born=midnight + timedelta(hours=9), render=render)


def _deduction_text(dice: Dice, nm: int, shk: int, record: Record) -> bytes:
    was = {"oldShkId": shk, "oldColor": "ёлочный", "oldSize": "A", "oldSku": "54532562", "oldVendorCode": "ART-1"}
    now = {"newShkId": shk + 1, "newColor": "беж", "newSize": "A", "newSku": "1", "newVendorCode": "podmena"}
    fine = {"bonusSumm": verbatim(f"{dice.number('sum', 1, 900)}.50"), "bonusType": "Подмена FBW", "photoUrls": []}
    return encode({"dtBonus": zulu(record.at), "nmId": nm, **was, **now, **fine})


def _penalty(dice: Dice, seller: str, day: date, number: int) -> Life:
    measured = serial(day, number)
    return _kept_back(measured, day, partial(_penalty_text, dice, nm_id(seller, day, number), measured))


def _penalty_text(dice: Dice, nm: int, measured: int, record: Record) -> bytes:
    told = {"volumeSup": verbatim("4.95"), "widthSup": 30, "lengthSup": 33, "heightSup": 5}
    found = {"volume": verbatim("6.47"), "width": 30, "length": 33, "height": dice.number("height", 6, 30)}
    money = {"reversalAmount": 0, "penaltyAmount": verbatim(f"{dice.number('sum', 1, 900)}.80")}
    when = {"dtBonus": zulu(record.at), "isValid": True, "isValidDt": zulu(record.at - 4 * DAY)}
    goods = {"nmId": nm, "subjectName": "Термосы", "dimId": measured, "prcOver": verbatim("130.70")}
    return encode({**goods, **found, **told, "photoUrls": [], **when, **money})


def _balance(dice: Dice, seller: str, day: date, number: int) -> Life:
    del seller
    opened = moment(day, 0)
    return Life(key="RUB", order=number, at=opened, born=opened, every=DAY, render=partial(_balance_text, dice))


def _balance_text(dice: Dice, record: Record) -> bytes:
    current = dice.number(f"balance {record.state}", 1000, 90_000)
    return encode({"currency": record.key, "current": verbatim(f"{current}.10"), "for_withdraw": current // 2})

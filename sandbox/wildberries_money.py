"""Wildberries: the list of realization reports."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from sandbox.data_wildberries import book
from sandbox.marketplace import created
from sandbox.records import DAY, MOSCOW, Dice, Life, Record, World, encode, verbatim
from sandbox.wildberries_lists import Streams, endpoint, of_book, of_days, page
from sandbox.wildberries_methods import HOSTS
from sandbox.wire import Call, Endpoint, Invalid, Reply

REPORTS_SINCE: Final = date(2025, 1, 1)
SLICES: Final = ("daily", "weekly")


class Money:
    def __init__(self, world: World) -> None:
        # One for each day, and on Mondays one for the week that begins.
        def count(day: date) -> int:
            return (1 if day.weekday() else 2) if day >= world.first_day else 0

        self.reports = book(world, "fin_reports", count, _report)

    def endpoints(self) -> tuple[Endpoint, ...]:
        path = "/api/finance/v1/sales-reports/list"
        return (endpoint("fin_reports", "POST", HOSTS["fin_detail"], path, self.report_page),)

    def streams(self) -> Streams:
        return {"fin_reports": of_book(self.reports, created)}

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

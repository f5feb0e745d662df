"""Wildberries: reports of the seller's analytics, a CSV in a ZIP, by an id that the seller gives."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sandbox.marketplace import created
from sandbox.records import DAY, Dice, Record
from sandbox.wildberries_lists import Streams, between, endpoint, of_book
from sandbox.wildberries_methods import HOSTS
from sandbox.wildberries_sales import Sales
from sandbox.wire import Call, Endpoint, Fields, Invalid, Refused, Reply, end_of, moscow_midnight, reply

PATH: Final = "/api/v2/nm-report/downloads"
KEPT: Final = {"DETAIL_HISTORY_REPORT": 366 * DAY, "STOCK_HISTORY_DAILY_CSV": 92 * DAY}


@dataclass
class Made:
    """A report that was asked for; its rows are those of the moment of asking."""

    seller: str
    kind: str
    days: tuple[date, date]
    rows: list[Record]
    polls: int = 0


class CsvReports:
    """`polls` is how often a report is not done yet. An id is good for one report only."""

    def __init__(self, sales: Sales, refuse: Callable[[datetime], Refused], *, polls: int) -> None:
        self._sales = sales
        self._refuse = refuse
        self._polls = polls
        self._made: dict[str, Made] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        host = HOSTS["order_feed"]
        return (
            endpoint("nm_report", "POST", host, PATH, self.create, "create"),
            endpoint("nm_report", "GET", host, PATH, self.listed, "status"),
            endpoint("nm_report", "GET", host, f"{PATH}/file/{{report}}", self.file, "file"),
        )

    def streams(self) -> Streams:
        """Both tell of the cards that the funnel knows, day by day."""
        return dict.fromkeys(("nm_report", "stock_history"), of_book(self._sales.funnel, created))

    def create(self, call: Call) -> Reply:
        call.body.only("id", "reportType", "params")
        report, kind = str(UUID(call.body.text("id"))), call.body.choice("reportType", tuple(KEPT))
        if report in self._made:
            raise Invalid("id: a report with this id was created already")
        first, last = _days(kind, call.body.inner("params", required=True))
        if last < first or moscow_midnight(first) < call.now - KEPT[kind]:
            raise Invalid("params: not a period that is kept")
        rows = between(self._sales.funnel, call, moscow_midnight(first), end_of(last))
        self._made[report] = Made(call.seller, kind, (first, last), rows)
        return reply({"data": "Началось формирование файла/отчета"})

    def listed(self, call: Call) -> Reply:
        call.query.only("filter[downloadIds]")
        report = call.query.text("filter[downloadIds]")
        made = self._made.get(report)
        if made is None or made.seller != call.seller:
            return reply({"data": []})
        made.polls += 1
        told = {
            "id": report,
            "createdAt": call.now.strftime("%Y-%m-%d %H:%M:%S"),
            "status": "SUCCESS" if made.polls > self._polls else "WAITING" if made.polls == 1 else "PROCESSING",
            "name": made.kind,
            "size": len(made.rows),
            "startDate": made.days[0].isoformat(),
            "endDate": made.days[1].isoformat(),
        }
        return reply({"data": [told]})

    def file(self, call: Call) -> Reply:
        made = self._made.get(call.path["report"])
        if made is None or made.seller != call.seller or made.polls <= self._polls:
            raise self._refuse(call.now)
        return Reply(200, _zipped(made), "application/zip", records=len(made.rows))


def _days(kind: str, params: Fields) -> tuple[date, date]:
    if kind == "DETAIL_HISTORY_REPORT":
        params.only("startDate", "endDate", "timezone", "aggregationLevel", "skipDeletedNm")
        params.choice("timezone", ("Europe/Moscow",))
        return params.day("startDate"), params.day("endDate")
    params.only("currentPeriod", "stockType", "skipDeletedNm")
    params.choice("stockType", ("", "wb", "mp"))
    period = params.inner("currentPeriod", required=True)
    return period.day("start"), period.day("end")


def _zipped(made: Made) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(_lines(made))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        name = zipfile.ZipInfo(f"{made.kind.lower()}.csv")  # of 1980, so that the same rows make the same bytes
        opened.writestr(name, text.getvalue())
    return archive.getvalue()


def _lines(made: Made) -> Iterable[tuple[object, ...]]:
    yield "nmID", "dt", "openCardCount" if made.kind == "DETAIL_HISTORY_REPORT" else "stockCount"
    for row in made.rows:
        nm, _, day = row.key.partition("/")
        yield nm, day, Dice(f"{made.kind}/{row.key}/{row.state}").number("count", 0, 900)

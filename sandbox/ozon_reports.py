"""Ozon's reports: created by a method each, told of by one, fetched by a link as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

from sandbox.data_ozon import OzonData
from sandbox.marketplace import Stream, created
from sandbox.records import Book, Record, encode, zulu
from sandbox.wire import Call, Endpoint, Invalid, Refused, Reply, reply

FILE_HOST = "cdn1.sandbox.ozone.ru"
KEPT = timedelta(days=3)
LONGEST_PERIOD = timedelta(days=31)

CREATE = {
    "products_report": "/v1/report/products/create",
    "discounted_report": "/v1/report/discounted/create",
    "placement_by_products": "/v1/report/placement/by-products/create",
    "placement_by_supplies": "/v1/report/placement/by-supplies/create",
}


@dataclass
class Report:
    """One report asked for; its data is that of the moment of asking."""

    seller: str
    kind: str
    rows: list[Record]
    requested: datetime
    polls: int = 0


class Reports:
    """All reports of this process. Each is ready after `polls` polls that say that it is not."""

    def __init__(self, data: OzonData, marketplace: str, host: str, *, polls: int) -> None:
        self._polls = polls
        self._reports: dict[str, Report] = {}
        self._books: Mapping[str, Book] = {
            "products_report": data.products,
            "discounted_report": data.discounted,
            "placement_by_products": data.placement,
            "placement_by_supplies": data.placement,
        }
        files = (
            Endpoint(marketplace, kind, "GET", FILE_HOST, f"/s3/{kind}/{{name}}", self.file, step="file")
            for kind in CREATE
        )
        self.endpoints = (
            *(
                Endpoint(marketplace, kind, "POST", host, path, partial(self.create, kind), step="create")
                for kind, path in CREATE.items()
            ),
            Endpoint(marketplace, "report", "POST", host, "/v1/report/info", self.info, step="info"),
            *files,
        )
        self.streams: Mapping[str, Stream] = {
            kind: Stream(partial(_all, book), created if kind.startswith("placement") else None)
            for kind, book in self._books.items()
        }

    def create(self, kind: str, call: Call) -> Reply:
        book = self._books[kind]
        if kind.startswith("placement"):
            call.body.only("date_from", "date_to")
            first, last = call.body.day("date_from"), call.body.day("date_to")
            if last < first or last - first >= LONGEST_PERIOD:
                raise Invalid("date_from and date_to must be at most 31 days apart")
            rows = list(book.seen(call.seller, call.now, first, last))
        else:
            call.body.only("language", "visibility")
            rows = list(book.seen(call.seller, call.now))
        code = f"REPORT_{kind}_{sha256(encode([call.seller, len(self._reports), zulu(call.now)])).hexdigest()[:24]}"
        self._reports[code] = Report(call.seller, kind, rows, call.now)
        return reply({"result": {"code": code}} if kind == "products_report" else {"code": code})

    def info(self, call: Call) -> Reply:
        call.body.only("code")
        code = call.body.text("code")
        report = self._reports.get(code)
        if report is None or report.seller != call.seller or call.now > report.requested + KEPT:
            raise Refused(reply({"code": 5, "message": "report not found", "details": []}, 404))
        report.polls += 1
        ready = report.polls > self._polls
        result = {
            "code": code,
            "status": "success" if ready else "waiting" if report.polls == 1 else "processing",
            "error": "",
            "file": f"https://{FILE_HOST}/s3/{report.kind}/{code}.csv" if ready else "",
            "report_type": report.kind,
            "created_at": zulu(report.requested),
            "expires_at": zulu(report.requested + KEPT),
        }
        return reply({"result": result})

    def file(self, call: Call) -> Reply:
        report = self._reports.get(call.path["name"].removesuffix(".csv"))
        if report is None or call.now > report.requested + KEPT:
            raise Refused(Reply(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml"))
        return Reply(200, _csv(report.rows), "text/csv", records=len(report.rows))


def _all(book: Book, seller: str, now: datetime) -> list[Record]:
    return list(book.seen(seller, now))


def _csv(rows: Iterable[Record]) -> bytes:
    """As the vendor writes it: with a byte order mark and semicolons. The first column is the record's key."""
    held = io.StringIO()
    writer = csv.writer(held, delimiter=";", quoting=csv.QUOTE_ALL)
    for number, row in enumerate(rows):
        fields = json.loads(row.text, parse_float=str)
        if number == 0:
            writer.writerow(["Key", *fields])
        writer.writerow([row.key, *fields.values()])
    return b"\xef\xbb\xbf" + held.getvalue().encode()

"""The reports of Yandex Market: create, poll, download."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sandbox.data_yandex_market import YandexMarketData
from sandbox.records import Record, encode, zulu
from sandbox.wire import Call, Invalid, Refused, Reply, end_of, moscow_midnight, reply, seal, unseal
from sandbox.yandex_market_files import pack

FILE_URL = "https://market-reports.sandbox.yandex.ru/file"
LINK_LIVES = timedelta(minutes=60)
ESTIMATE = timedelta(seconds=30)
LONGEST_PERIOD = timedelta(days=93)
"""Three months, the longest of them."""
YEAR = timedelta(days=366)


@dataclass(frozen=True)
class Kind:
    """A report that can be ordered. Its name in a path has dashes."""

    stream: str
    longest: timedelta = LONGEST_PERIOD
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # other fields that its body must have

    @property
    def name(self) -> str:
        return self.stream.replace("_", "-")


KINDS = (
    Kind("united_netting"),
    Kind("united_marketplace_services"),
    Kind("united_orders", YEAR),
    Kind("united_returns", YEAR),
    Kind("shows_sales", YEAR, {"grouping": ("CATEGORIES", "OFFERS")}),
)


@dataclass
class Report:
    """One report asked for; its data is that of the moment of asking."""

    kind: Kind
    seller: str
    start: datetime
    end: datetime
    format: str
    requested: datetime
    polls: int = 0
    finished: datetime | None = field(default=None)


class Reports:
    """All reports of this process. Each request to create makes a new one, as the vendor does."""

    def __init__(self, data: YandexMarketData, *, polls: int) -> None:
        self._data = data
        self._polls = polls
        self._reports: dict[str, Report] = {}

    def create(self, kind: Kind, call: Call) -> Reply:
        call.query.only("format", "language")
        form = call.query.choice("format", ("FILE", "CSV", "JSON"), "FILE")
        call.body.only("businessId", "dateFrom", "dateTo", *kind.also)
        for name, options in kind.also.items():
            call.body.choice(name, options)
        business = call.body.integer("businessId", low=1, high=2**63)
        if str(business) != call.seller:
            raise Refused(_error(403, "FORBIDDEN", f"Access to business {business} denied"))
        first, last = call.body.day("dateFrom"), call.body.day("dateTo")
        if last < first or last - first > kind.longest:
            raise Invalid(f"dateFrom and dateTo must be at most {kind.longest.days} days apart")
        name = sha256(encode([call.seller, len(self._reports), zulu(call.now)])).hexdigest()[:32]
        self._reports[name] = Report(kind, call.seller, moscow_midnight(first), end_of(last), form, call.now)
        estimate = ESTIMATE // timedelta(milliseconds=1)
        return reply({"status": "OK", "result": {"reportId": name, "estimatedGenerationTime": estimate}})

    def info(self, call: Call) -> Reply:
        call.query.only("sourceType")
        name = call.path["reportId"]
        report = self._reports.get(name)
        if report is None or report.seller != call.seller:
            raise Refused(_error(404, "NOT_FOUND", f"Report {name} not found"))
        report.polls += 1
        result: dict[str, object] = {
            "status": "PENDING" if report.polls == 1 else "PROCESSING",
            "generationRequestedAt": zulu(report.requested),
            "estimatedGenerationTime": ESTIMATE // timedelta(milliseconds=1),
        }
        if report.polls > self._polls or call.now >= report.requested + ESTIMATE:
            report.finished = report.finished or call.now
            result |= {"status": "DONE", "generationFinishedAt": zulu(report.finished)}
            if self._rows(report):
                result["file"] = f"{FILE_URL}/{name}?link={seal([name, call.now.timestamp()])}"
            else:
                result["subStatus"] = "NO_DATA"
        return reply({"status": "OK", "result": result})

    def file(self, call: Call) -> Reply:
        call.query.only("link")
        name = call.path["reportId"]
        match unseal(call.query.text("link")):
            case [str(given), float(issued)] if given == name and name in self._reports:
                pass
            case _:
                raise Refused(_error(404, "NOT_FOUND", "No such file"))
        if call.now - datetime.fromtimestamp(issued, UTC) > LINK_LIVES:
            raise Refused(_error(410, "GONE", "The link has expired"))
        report = self._reports[name]
        rows = self._rows(report)
        file = pack(report.format, rows)
        headers = {"Content-Disposition": f'attachment; filename="{report.kind.name}-{name[:8]}.{file.suffix}"'}
        return Reply(200, file.content, file.content_type, headers, records=len(rows))

    def _rows(self, report: Report) -> list[Record]:
        seen = self._data.reports[report.kind.stream].seen(
            report.seller, report.requested, report.start.date(), report.end.date()
        )
        return sorted((row for row in seen if report.start <= row.at < report.end), key=lambda row: row.life.order)


def _error(status: int, code: str, message: str) -> Reply:
    return reply({"status": "ERROR", "errors": [{"code": code, "message": message}]}, status)

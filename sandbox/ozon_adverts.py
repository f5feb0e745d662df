"""Ozon Performance API: tokens, lists, and reports of which a seller may have one under way."""

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from math import ceil
from time import monotonic
from typing import Final
from uuid import UUID

from sandbox.credentials import BadCredentialError, Issuer
from sandbox.data_ozon_adverts import AdvertsData, comma, day_of, numbers, sku
from sandbox.limits import PointQuota
from sandbox.marketplace import Stream, created
from sandbox.records import DAY, MOSCOW, Book, Record, World, array, encode, zulu
from sandbox.wire import Call, Endpoint, Fields, Invalid, Refused, Reply, end_of, moscow_midnight, reply

PERFORMANCE: Final = "api-performance.ozon.ru"
TOKEN_LIVES: Final = timedelta(minutes=30)
REQUESTS_A_DAY: Final = 100_000
EXPORTS_A_DAY: Final = 2000
MOST_CAMPAIGNS: Final = 10
LONGEST: Final = timedelta(days=62)
KEPT: Final = timedelta(days=1)
MADE_IN: Final = 300.0
"""Seconds of real time in which a report is made although nobody asks after it."""
COLUMNS: Final = "День;sku;Показы;Клики;Расход, ₽, с НДС;Заказы;Выручка, ₽"


@dataclass
class Report:
    """One that was asked for; its rows are those of the moment of asking."""

    seller: str
    campaigns: tuple[str, ...]
    first: date
    last: date
    rows: list[Record]
    requested: datetime
    begun: float
    polls: int = 0


class Adverts:
    """`polls` is how often a report is not ready yet. Without limits on the rate there are none on reports either."""

    def __init__(self, world: World, issuer: Issuer, rate_scale: float, *, polls: int) -> None:
        self._data = AdvertsData(world)
        self._issuer = issuer
        self._polls = polls
        self._reports: dict[str, Report] = {}
        self._most = 1 if math.isfinite(rate_scale) else math.inf
        self._requests = PointQuota(REQUESTS_A_DAY, 86_400 / rate_scale)
        self._exports = PointQuota(EXPORTS_A_DAY, 86_400 / rate_scale)
        statistics = "/api/client/statistics"
        endpoint: Callable[..., Endpoint] = partial(Endpoint, "ozon")
        self.endpoints = (
            endpoint("perf_token", "POST", PERFORMANCE, "/api/client/token", self.token),
            endpoint("perf_campaigns", "GET", PERFORMANCE, "/api/client/campaign", self.campaigns),
            endpoint("perf_daily", "GET", PERFORMANCE, f"{statistics}/daily/json", partial(_of_days, self._data.daily)),
            endpoint(
                "perf_expense", "GET", PERFORMANCE, f"{statistics}/expense/json", partial(_of_days, self._data.expense)
            ),
            endpoint("perf_sku", "POST", PERFORMANCE, f"{statistics}/products/sku", self.goods),
            endpoint("perf_report", "POST", PERFORMANCE, statistics, self.create, step="create"),
            endpoint("perf_report", "GET", PERFORMANCE, f"{statistics}/report", self.file, step="file"),
            endpoint("perf_report", "GET", PERFORMANCE, f"{statistics}/{{uuid}}", self.info, step="info"),
        )
        self.streams: Mapping[str, Stream] = {
            "perf_campaigns": Stream(lambda seller, now: list(self._data.campaigns.seen(seller, now)), None),
            "perf_daily": _of_book(self._data.daily),
            "perf_expense": _of_book(self._data.expense),
            "perf_sku": _of_book(self._data.goods),
            "perf_report": _of_book(self._data.goods),
        }

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        if "Api-Key" in headers or "Client-Id" in headers:
            raise Refused(refusal(400, "The Seller API's key must not be given here"))
        if endpoint.stream == "perf_token":
            return ""
        try:
            return self._issuer.read_ozon_token(headers.get("Authorization", "").removeprefix("Bearer "), now)
        except BadCredentialError as error:
            raise Refused(refusal(401, str(error))) from None

    def over(self, endpoint: Endpoint, seller: str) -> tuple[str, Reply] | None:
        """The limit that the seller is over, and what it is told."""
        if self._requests.left(seller) == 0:
            return f"performance:{seller}", self._later("Превышен лимит запросов", self._requests.ends_in(seller))
        self._requests.pay(seller, 1)
        if endpoint.name != "perf_report/create":
            return None
        if self._under_way(seller) >= self._most:
            words = f"Превышен лимит активных запросов, максимум {self._most}"
            return f"performance_reports:{seller}", refusal(429, words)
        if self._exports.left(seller) == 0:
            return f"performance_exports:{seller}", self._later("Превышен лимит", self._exports.ends_in(seller))
        return None

    def token(self, call: Call) -> Reply:
        call.body.only("client_id", "client_secret", "grant_type")
        call.body.choice("grant_type", ("client_credentials",))
        keys = call.body.text("client_id"), call.body.text("client_secret")
        try:
            token = self._issuer.ozon_token(*keys, call.now + TOKEN_LIVES)
        except BadCredentialError as error:
            raise Refused(refusal(401, str(error))) from None
        return reply({"access_token": token, "expires_in": int(TOKEN_LIVES.total_seconds()), "token_type": "Bearer"})

    def campaigns(self, call: Call) -> Reply:
        call.query.only("page", "pageSize")
        size = call.page_size(call.query.integer("pageSize", low=1, high=1000, default=100))
        start = (call.query.integer("page", low=1, high=10**9, default=1) - 1) * size
        return _listed("list", list(self._data.campaigns.seen(call.seller, call.now))[start : start + size])

    def goods(self, call: Call) -> Reply:
        call.body.only("campaignIds", "dateFrom", "dateTo")
        first, last = _period(call.body)
        if first < call.now.astimezone(MOSCOW).date() - DAY:
            raise Invalid("dateFrom must not be earlier than yesterday")
        return _listed("rows", _between(self._data.goods, call, first, last))

    def create(self, call: Call) -> Reply:
        call.body.only("campaigns", "dateFrom", "dateTo", "groupBy")
        call.body.choice("groupBy", ("DATE", "NO_GROUP_BY", "START_OF_WEEK", "START_OF_MONTH"))
        campaigns = call.body.items("campaigns", str)
        if not campaigns or len(campaigns) > MOST_CAMPAIGNS:
            raise Invalid(f"Превышен лимит по количеству кампаний (максимум {MOST_CAMPAIGNS})")
        first, last = _period(call.body)
        rows = [row for row in _between(self._data.goods, call, first, last) if row.slice in campaigns]
        self._exports.pay(call.seller, len(campaigns))
        uuid = str(
            UUID(bytes=sha256(encode([call.seller, len(self._reports), zulu(call.now)])).digest()[:16], version=4)
        )
        self._reports[uuid] = Report(call.seller, campaigns, first, last, rows, call.now, monotonic())
        return reply({"UUID": uuid, "vendor": False})

    def info(self, call: Call) -> Reply:
        call.query.only()
        uuid = call.path["uuid"]
        report = self._report(uuid, call)
        report.polls += 1
        told: dict[str, object] = {
            "UUID": uuid,
            "state": "OK" if self._is_made(report) else "NOT_STARTED" if report.polls == 1 else "IN_PROGRESS",
            "createdAt": zulu(report.requested),
            "updatedAt": zulu(call.now),
            "request": {
                "campaigns": report.campaigns,
                "dateFrom": report.first.isoformat(),
                "dateTo": report.last.isoformat(),
                "groupBy": "DATE",
            },
            "kind": "STATS",
        }
        if self._is_made(report):
            told["link"] = f"/api/client/statistics/report?UUID={uuid}"
        return reply(told)

    def file(self, call: Call) -> Reply:
        call.query.only("UUID")
        uuid = call.query.text("UUID")
        report = self._report(uuid, call)
        if not self._is_made(report):
            raise Refused(refusal(404, "report not found"))
        sheets = {campaign: _csv(report, campaign) for campaign in report.campaigns}
        if len(sheets) == 1:
            body, kind, suffix = sheets[report.campaigns[0]], "text/csv; charset=UTF-8", "csv"
        else:
            body, kind, suffix = _zip(sheets), "application/zip", "zip"
        named = {"Content-Disposition": f'attachment; filename="{uuid}.{suffix}"'}
        return Reply(200, body, kind, named, records=len(report.rows))

    def occupy(self, seller: str) -> None:
        """Have a report made that somebody else has asked for, as a person may on the vendor's pages."""
        today = date.today()  # noqa: DTZ011 - of no consequence
        self._reports[f"of somebody else {seller}"] = Report(
            seller, (), today, today, [], datetime.now(UTC), monotonic()
        )

    def purge(self) -> None:
        """Forget every report, as the vendor does after a while."""
        self._reports.clear()

    def _report(self, uuid: str, call: Call) -> Report:
        report = self._reports.get(uuid)
        if report is None or report.seller != call.seller or call.now > report.requested + KEPT:
            raise Refused(refusal(404, "report not found"))
        return report

    def _is_made(self, report: Report) -> bool:
        return report.polls > self._polls or monotonic() > report.begun + MADE_IN

    def _under_way(self, seller: str) -> int:
        return sum(report.seller == seller and not self._is_made(report) for report in self._reports.values())

    def _later(self, words: str, seconds: float) -> Reply:
        return refusal(429, words).with_headers({"Retry-After": str(ceil(seconds))})


def refusal(status: int, message: str) -> Reply:
    return reply({"error": message}, status)


def _of_book(book: Book) -> Stream:
    return Stream(lambda seller, now: list(book.seen(seller, now)), created)


def _of_days(book: Book, call: Call) -> Reply:
    call.query.only("dateFrom", "dateTo")
    return _listed("rows", _between(book, call, *_period(call.query)))


def _period(fields: Fields) -> tuple[date, date]:
    first, last = fields.day("dateFrom"), fields.day("dateTo")
    if last < first or last - first >= LONGEST:
        raise Invalid(f"dateFrom and dateTo must be at most {LONGEST.days} days apart")
    return first, last


def _between(book: Book, call: Call, first: date, last: date) -> list[Record]:
    """The rows of Moscow days, both included."""
    start, end = moscow_midnight(first), end_of(last)
    rows = book.seen(call.seller, call.now, first - DAY, last + DAY)
    return sorted((row for row in rows if start <= row.at < end), key=lambda row: (row.at, row.key))


def _listed(name: str, rows: list[Record]) -> Reply:
    return Reply(200, b'{"%b":%b}' % (name.encode(), array(rows)), records=len(rows))


def _csv(report: Report, campaign: str) -> bytes:
    """As the vendor writes it: a line about the campaign, the names of the columns, the rows, and their sum."""
    days = f"{report.first:%d.%m.%Y}-{report.last:%d.%m.%Y}"
    lines = [f";Кампания по продвижению товаров № {campaign}, период {days}", COLUMNS]
    spent = 0
    for row in report.rows:
        if row.slice == campaign:
            told = numbers(row)
            spent += told["kopecks"]
            money = comma(told["kopecks"]), told["orders"], comma(told["sales"])
            cells = (f"{day_of(row):%d.%m.%Y}", sku(row), told["views"], told["clicks"], *money)
            lines.append(";".join(map(str, cells)))
    lines.append(f"Всего;;;;{comma(spent)};;")
    return ("\n".join(lines) + "\n").encode()


def _zip(sheets: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for campaign, sheet in sheets.items():
            archive.writestr(zipfile.ZipInfo(f"{campaign}.csv"), sheet)
    return held.getvalue()

"""Reports: files that are made on request."""

from __future__ import annotations

from datetime import timedelta

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import get, post
from collectors.reports import Failed, NothingToTell, Ready, State, TooLarge, Working, link_to, report
from collectors.stream import Answer, Pages, Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes, seconds
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota
from collectors.yandex_market.paging import moscow_day

_REPORT = Envelope(
    status=("result.status", str), sub_status=("result.subStatus", str | None), file=("result.file", str | None)
)


def report_state(answer: Answer) -> State:
    """Read what `reports/info` says of a report."""
    read = _REPORT.read(answer)
    match read["status"], read["sub_status"]:
        case (("PENDING" | "PROCESSING"), _):
            return Working(seconds(5))
        case _, "NO_DATA":
            return NothingToTell()
        case _, "TOO_LARGE":
            return TooLarge()
        case "FAILED", reason:
            return Failed(str(reason or "no reason given"))
        case "DONE", _ if read["file"]:
            return Ready(link_to(str(read["file"]), answer))
    raise Malformed(f"a report's state that we do not know: {read.values}", answer)


def made(kind: str, **more: str) -> Pages:
    """Make the report of a business for the days of a window, as a ZIP of JSON; `more` is what else its body takes."""
    return report(
        post(
            PARTNER,
            f"/v2/reports/{kind}/generate",
            lambda walk, _: {
                "businessId": int(walk.seller),
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive
                **more,
            },
            query=lambda _, __: {"format": "JSON"},
            repeatable=False,
        ),
        report_id="result.reportId",
        poll=get(
            PARTNER,
            lambda _, at: f"/v2/reports/info/{at['report']}",
            lambda _, __: {},
            buckets=(quota("reports_info", amount=100, per=minutes(1)),),
        ),
        state=report_state,
    )


def by_month(*restated: tuple[timedelta, timedelta], kept: timedelta | None = None) -> Windows:
    """Ask for whole months, each day for the one that runs."""
    return Windows(
        longest="month", grain=days(1), zone=MOSCOW, since=days(90), kept=kept, lag=hours(12), restated=restated
    )


UNITED_NETTING = Stream(
    marketplace=YANDEX_MARKET,
    name="united_netting",
    about="payments report, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedNettingReport",
    progress=by_month((days(14), days(1))),
    paging="report: create, poll, download",
    pages=made("united-netting"),
    buckets=(quota("united_netting", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting",
)

UNITED_MARKETPLACE_SERVICES = Stream(
    marketplace=YANDEX_MARKET,
    name="united_marketplace_services",
    about="what the Market's services cost, by the day of the charge, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedMarketplaceServicesReport",
    progress=by_month((days(14), days(1))),
    paging="report: create, poll, download",
    pages=made("united-marketplace-services"),
    buckets=(quota("united_marketplace_services", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting",
)

UNITED_ORDERS = Stream(
    marketplace=YANDEX_MARKET,
    name="united_orders",
    about="orders report, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedOrdersReport",
    progress=by_month((days(14), days(1)), (days(45), days(7))),  # until the last of the month's orders has ended
    paging="report: create, poll, download",
    pages=made("united-orders"),
    buckets=(quota("united_orders", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting or promotion or inventory-and-order-processing",
)

UNITED_RETURNS = Stream(
    marketplace=YANDEX_MARKET,
    name="united_returns",
    about="report of returns and unredeemed orders, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedReturnsReport",
    progress=by_month((days(14), days(1)), (days(45), days(7))),
    paging="report: create, poll, download",
    pages=made("united-returns"),
    buckets=(quota("united_returns", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting or inventory-and-order-processing",
)

SHOWS_SALES = Stream(
    marketplace=YANDEX_MARKET,
    name="shows_sales",
    about="shows, visits and sales of each good, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateShowsSalesReport",
    progress=by_month((days(7), days(1)), kept=days(400)),
    paging="report: create, poll, download",
    pages=made("shows-sales", grouping="OFFERS"),
    buckets=(quota("shows_sales", amount=1, per=minutes(10)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting",
    priority=3,
)

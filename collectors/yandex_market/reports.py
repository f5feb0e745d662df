"""Reports: files that are made on request."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from collectors.envelope import Envelope
from collectors.errors import Malformed
from collectors.paging import get, post
from collectors.reports import Failed, NothingToTell, Ready, State, TooLarge, Working, report
from collectors.stream import Answer, Request, Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes, seconds
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota
from collectors.yandex_market.paging import moscow_day

_REPORT = Envelope(
    status=("result.status", str), sub_status=("result.subStatus", str | None), file=("result.file", str | None)
)


def _download(link: str, answer: Answer) -> Request:
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise Malformed(f"the link to the file cannot be read: {error}", answer) from error
    return Request(
        method="GET",
        host=parts.netloc,
        path=parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        buckets=(),
        signed=False,
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
            return Ready(_download(str(read["file"]), answer))
    raise Malformed(f"a report's state that we do not know: {read.values}", answer)


UNITED_NETTING = Stream(
    marketplace=YANDEX_MARKET,
    name="united_netting",
    about="payments report, a ZIP of JSON",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/reports/generateUnitedNettingReport",
    progress=Windows(
        longest="month",
        grain=days(1),
        zone=MOSCOW,
        since=days(90),
        lag=hours(12),
        restated=((days(14), days(1)),),
    ),
    paging="report: create, poll, download",
    pages=report(
        post(
            PARTNER,
            "/v2/reports/united-netting/generate",
            lambda walk, _: {
                "businessId": int(walk.seller),
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive
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
    ),
    buckets=(quota("united_netting", amount=1, per=minutes(2)),),
    every=days(1),
    walk_max_age=days(2),
    needs="finance-and-accounting",
)

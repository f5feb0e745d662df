"""Streams of Wildberries: what is paid, by whom and what for."""

from __future__ import annotations

from datetime import date, timedelta

from collectors.fanout import for_each_id
from collectors.paging import by_last_row, by_offset, get, one_record, post
from collectors.stream import Snapshot, Stream, Windows
from collectors.wildberries.api import ANALYTICS, DOCUMENTS, FINANCE, NOT_BY_BASE, WILDBERRIES, limit
from collectors.wildberries.listed import REPORT_IDS
from collectors.wildberries.times import moscow_day, moscow_days, rfc3339
from collectors.windows import MOSCOW, days, hours, minutes, seconds

FIN_DETAIL = Stream(
    marketplace=WILDBERRIES,
    name="fin_detail",
    about="rows of the weekly realization reports",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/Finansovye-otchyoty",
    progress=Windows(
        longest=days(7),  # a weekly report is of a Moscow week and appears on the Monday after it
        grain=days(7),
        zone=MOSCOW,
        lag=days(1),
        since=days(90),
        kept=date(2024, 1, 29),
        restated=((days(7), days(1)),),
    ),
    paging="rrdId after the last row's, until 204",
    pages=by_last_row(
        post(
            FINANCE,
            "/api/finance/v1/sales-reports/detailed",
            lambda walk, at: {
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive
                "limit": walk.limit(100_000),
                "rrdId": at["after"],
                "period": "weekly",
            },
        ),
        rows="",
        field="rrdId",
    ),
    buckets=(limit("fin_detail", every=minutes(1), burst=1, base=hours(12)),),
    every=hours(6),
    walk_max_age=days(2),  # rrdId never expires, and a base token waits twelve hours between two pages
    needs="finance",
)

FIN_REPORTS = Stream(
    marketplace=WILDBERRIES,
    name="fin_reports",
    about="realization reports, daily and weekly, with their sums",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/financialReports",
    slices=("daily", "weekly"),
    progress=Windows(
        longest=days(28),
        grain=days(7),  # a weekly report is of a Moscow week and appears on the Monday after it
        zone=MOSCOW,
        lag=days(1),
        since=days(84),
        kept=date(2025, 1, 1),
        restated=((days(7), days(1)),),
    ),
    paging="offset until 204",
    pages=by_offset(
        post(
            FINANCE,
            "/api/finance/v1/sales-reports/list",
            lambda walk, at: {**moscow_days(walk, at), "period": walk.slice},
        ),
        rows="",
        size=1000,
    ),
    buckets=(limit("fin_reports", every=minutes(1), burst=1),),
    every=hours(12),
    needs=f"finance, {NOT_BY_BASE}",
)

FIN_DETAIL_BY_ID = Stream(
    marketplace=WILDBERRIES,
    name="fin_detail_by_id",
    about="rows of each realization report of the last five weeks, daily and weekly",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/Finansovye-otchyoty",
    progress=Snapshot(),
    ids=REPORT_IDS,
    paging="for each id of fin_reports: rrdId after the last row's, until 204",
    pages=for_each_id(
        by_last_row(
            post(
                FINANCE,
                lambda walk, _: f"/api/finance/v1/sales-reports/detailed/{walk.ids[0]}",
                lambda walk, at: {"limit": walk.limit(100_000), "rrdId": at["after"]},
            ),
            rows="",
            field="rrdId",
        )
    ),
    buckets=(limit("fin_detail_by_id", every=minutes(1), burst=1),),
    every=days(7),
    walk_max_age=days(2),  # rrdId never expires, and seventy reports take two requests each, one a minute
    needs=f"finance, {NOT_BY_BASE}",
    priority=2,
)

ACQUIRING = Stream(
    marketplace=WILDBERRIES,
    name="acquiring",
    about="what taking the buyers' payments cost",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/financialReports",
    progress=Windows(
        longest=days(28), grain=days(1), zone=MOSCOW, lag=days(1), since=days(84), restated=((days(14), days(1)),)
    ),
    paging="rrdId after the last row's, until 204",
    pages=by_last_row(
        post(
            FINANCE,
            "/api/finance/v1/acquiring/detailed",
            lambda walk, at: moscow_days(walk, {"limit": walk.limit(100_000), "rrdId": at["after"]}),
        ),
        rows="",
        field="rrdId",
    ),
    buckets=(limit("acquiring", every=minutes(1), burst=1),),
    every=days(1),
    needs=f"finance, {NOT_BY_BASE}",
    priority=3,
)

BALANCE = Stream(
    marketplace=WILDBERRIES,
    name="balance",
    about="the seller's balance",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/balance",
    progress=Snapshot(),
    paging="one record",
    pages=one_record(get(FINANCE, "/api/v1/account/balance"), field="current", kind=float),
    buckets=(limit("balance", every=minutes(1), burst=1, base=days(1)),),
    every=days(1),
    needs="finance",
    priority=3,
)


def _kept_back(name: str, path: str, about: str, *, base: timedelta) -> Stream:
    """Make a stream of penalties by the time of their `dtBonus`."""
    return Stream(
        marketplace=WILDBERRIES,
        name=name,
        about=about,
        docs="https://dev.wildberries.ru/openapi/reports#tag/retentionReports",
        progress=Windows(
            longest=days(28), grain=days(1), since=days(84), lag=hours(12), restated=((days(28), days(1)),)
        ),
        paging="offset until empty",
        pages=by_offset(
            get(
                ANALYTICS,
                path,
                # dateFrom is optional in the document, and yet refused when it is not there.
                lambda walk, at: {
                    "dateFrom": rfc3339(walk.span.start),
                    "dateTo": rfc3339(walk.span.end - seconds(1)),  # inclusive
                    **at,
                },
            ),
            rows="data.reports",
            total="data.total",
            size=1000,
        ),
        buckets=(limit(name, every=minutes(1), burst=1, base=base),),
        every=days(1),
        walk_max_age=days(1),  # a base token may wait six hours between two pages
        needs="analytics",
        priority=3,
    )


DEDUCTIONS = _kept_back(
    "deductions", "/api/analytics/v1/deductions", "deductions for goods that were swapped", base=minutes(15)
)
MEASUREMENT_PENALTIES = _kept_back(
    "measurement_penalties",
    "/api/analytics/v1/measurement-penalties",
    "deductions for goods that are larger than told",
    base=hours(6),
)

DOCUMENTS_OF_SELLER = Stream(
    marketplace=WILDBERRIES,
    name="documents",
    about="the list of the seller's documents, without their files",
    docs="https://dev.wildberries.ru/openapi/financial-reports-and-accounting#tag/documents",
    progress=Windows(
        longest=days(28), grain=days(1), zone=MOSCOW, since=days(84), lag=hours(1), restated=((days(7), days(1)),)
    ),
    paging="offset until empty",
    pages=by_offset(
        get(
            DOCUMENTS,
            "/api/v1/documents/list",
            lambda walk, at: {
                "beginTime": moscow_day(walk.span.start),
                "endTime": moscow_day(walk.span.end - days(1)),  # inclusive
                "sort": "date",
                "order": "asc",
                **at,
            },
        ),
        rows="data.documents",
        size=50,
    ),
    buckets=(limit("documents", every=seconds(10), burst=5, base=days(1)),),
    every=days(1),
    walk_max_age=days(3),  # a base token waits a day between two pages
    needs="documents",
    priority=3,
)

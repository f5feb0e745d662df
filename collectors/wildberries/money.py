"""Streams of Wildberries: what is paid, by whom and what for."""

from __future__ import annotations

from collectors.paging import by_last_row, by_offset, post
from collectors.stream import Stream, Windows
from collectors.wildberries.api import FINANCE, WILDBERRIES, limit
from collectors.wildberries.times import moscow_day, moscow_days
from collectors.windows import MOSCOW, days, hours, minutes

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
        kept=days(1000),  # from 2024-01-29
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
        kept=days(680),  # from 2025-01-01
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
    needs="finance, by a personal or service token",
)

"""Money of an Ozon seller, and the analytics of its sales."""

from __future__ import annotations

from datetime import date

from collectors.fanout import by_ids
from collectors.ozon.api import OZON, SELLER
from collectors.ozon.listed import POSTING_NUMBERS
from collectors.ozon.times import day, last_day, last_moment, month, moscow_day, rfc3339
from collectors.paging import by_cursor, by_offset, in_one, post
from collectors.stream import Bucket, Rate, Snapshot, Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes

ACCRUALS_BY_DAY = Stream(
    marketplace=OZON,
    name="accruals_by_day",
    about="accruals and fees of each day",
    docs="https://docs.ozon.ru/api/seller/#operation/GetFinanceAccrualByDay",
    progress=Windows(
        longest=days(1),  # one day a request
        grain=days(1),
        since=days(60),
        kept=date(2022, 1, 1),
        lag=hours(3),
        restated=((days(7), hours(6)), (days(40), days(7))),
    ),
    walk_max_age=minutes(12),  # last_id lives for 15 minutes
    paging="last_id until empty, one day a request",
    pages=by_cursor(
        post(
            SELLER,
            "/v1/finance/accrual/by-day",
            lambda walk, at: {"date": walk.span.start.date().isoformat(), "last_id": at["cursor"]},
        ),
        rows="accruals",
        following="last_id",
    ),
    buckets=(),
    every=hours(6),
)

ACCRUAL_TYPES = Stream(
    marketplace=OZON,
    name="accrual_types",
    about="what the types of accruals are called",
    docs="https://docs.ozon.ru/api/seller/#operation/GetFinanceAccrualTypes",
    progress=Snapshot(),
    paging="one answer",
    pages=in_one(post(SELLER, "/v1/finance/accrual/types"), rows="accrual_types"),
    buckets=(),
    every=days(1),
)

ACCRUALS_POSTINGS = Stream(
    marketplace=OZON,
    name="accruals_postings",
    about="accruals of each posting of the last 60 days, so far",
    docs="https://docs.ozon.ru/api/seller/#operation/GetFinanceAccrualPostings",
    progress=Snapshot(),
    ids=POSTING_NUMBERS,
    paging="numbers of fbs_postings and fbo_postings, 200 at a time",
    pages=by_ids(
        post(SELLER, "/v1/finance/accrual/postings", lambda _, at: {"posting_numbers": at["ids"]}),
        rows="posting_accruals",
        size=200,
    ),
    buckets=(),
    every=days(1),
    priority=2,
)

_MONTHLY = Windows(
    longest="month",
    grain="month",
    zone=MOSCOW,
    since=days(100),
    kept=date(2023, 8, 1),
    lag=days(5),  # a report is ready by the 5th of the next month
    restated=((days(50), days(7)),),
)

REALIZATION = Stream(
    marketplace=OZON,
    name="realization",
    about="what was sold and returned in each month",
    docs="https://docs.ozon.ru/api/seller/#operation/FinanceAPI_GetRealizationReportV2",
    progress=_MONTHLY,
    paging="one answer a month",
    pages=in_one(post(SELLER, "/v2/finance/realization", month), rows="result.rows"),
    buckets=(),
    every=days(1),
    needs="a contract with Ozon in Russia",
)

REALIZATION_POSTING = Stream(
    marketplace=OZON,
    name="realization_posting",
    about="what was sold and returned in each month, by order",
    docs="https://docs.ozon.ru/api/seller/#operation/FinanceAPI_GetRealizationReportV1",
    progress=_MONTHLY,
    paging="one answer a month",
    pages=in_one(post(SELLER, "/v1/finance/realization/posting", month), rows="rows"),
    buckets=(),
    every=days(1),
    needs="a contract with Ozon in Russia",
    priority=2,
)

REALIZATION_DAY = Stream(
    marketplace=OZON,
    name="realization_day",
    about="what was sold and returned on each day",
    docs="https://docs.ozon.ru/api/seller/#operation/FinanceAPI_GetRealizationByDayReportV1",
    progress=Windows(
        longest=days(1),
        grain=days(1),
        zone=MOSCOW,
        since=days(14),
        kept=days(32),
        lag=hours(12),
        restated=((days(7), days(1)),),
    ),
    paging="one answer a day",
    pages=in_one(post(SELLER, "/v1/finance/realization/by-day", moscow_day), rows="rows"),
    buckets=(),
    every=days(1),
    needs="Premium Plus",
    priority=3,
)

BALANCE = Stream(
    marketplace=OZON,
    name="balance",
    about="the balance at both ends of each day, and what made the difference",
    docs="https://docs.ozon.ru/api/seller/#operation/GetFinanceBalanceV1",
    progress=Windows(longest=days(1), grain=days(1), since=days(14), lag=hours(3), restated=((days(7), days(1)),)),
    paging="one answer a day",
    pages=in_one(
        post(
            SELLER,
            "/v1/finance/balance",
            lambda walk, _: {"date_from": day(walk.span.start), "date_to": last_day(walk.span.end)},  # inclusive
        ),
        holds="total",
    ),
    buckets=(),
    every=days(1),
    priority=3,
)

CASH_FLOW = Stream(
    marketplace=OZON,
    name="cash_flow",
    about="income and costs of each half of a month",
    docs="https://docs.ozon.ru/api/seller/#operation/FinanceAPI_FinanceCashFlowStatementList",
    progress=Windows(
        longest="month",
        grain=days(1),
        since=days(60),
        lag=hours(3),
        restated=((days(20), days(1)), (days(45), days(7))),
    ),
    paging="one answer a month",
    pages=in_one(
        post(
            SELLER,
            "/v1/finance/cash-flow-statement/list",
            lambda walk, _: {
                "date": {"from": rfc3339(walk.span.start), "to": last_moment(walk.span.end)},
                "with_details": True,
                "page": 1,
                "page_size": 100,  # a month has two rows
            },
        ),
        rows="result.cash_flows",
    ),
    buckets=(),
    every=days(1),
    priority=2,
)

ANALYTICS = Stream(
    marketplace=OZON,
    name="analytics",
    about="what was ordered of each product on each day",
    docs="https://docs.ozon.ru/api/seller/#operation/AnalyticsAPI_AnalyticsGetData",
    progress=Windows(
        longest=days(7),
        grain=days(1),
        since=days(28),
        kept=days(90),  # without Premium Plus
        lag=hours(3),
        restated=((days(7), days(1)), (days(28), days(7))),  # 50 requests a day are soon spent
    ),
    paging="offset until empty",
    pages=by_offset(
        post(
            SELLER,
            "/v1/analytics/data",
            lambda walk, at: {
                "date_from": day(walk.span.start),
                "date_to": last_day(walk.span.end),  # inclusive
                "dimension": ["sku", "day"],
                # Metrics stand by their position, and without Premium Plus others are left out: positions would shift.
                "metrics": ["revenue", "ordered_units"],
                "sort": [{"key": "revenue", "order": "DESC"}],
                **at,
            },
        ),
        rows="result.data",
        size=1000,
    ),
    buckets=(
        Bucket(name="analytics", rate=Rate(minutes(1))),
        # 50 a day without Premium Plus, whenever the vendor's day begins: no 24 hours have more than 25 + 25.
        Bucket(name="analytics_of_a_day", rate=Rate(days(1) / 25, burst=25)),
    ),
    every=hours(12),
)

TURNOVER = Stream(
    marketplace=OZON,
    name="turnover",
    about="for how many days the stock of each product lasts",
    docs="https://docs.ozon.ru/api/seller/#operation/AnalyticsAPI_StocksTurnover",
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(post(SELLER, "/v1/analytics/turnover/stocks"), rows="items", size=1000),
    buckets=(Bucket(name="turnover", rate=Rate(minutes(1))),),
    every=days(1),
    priority=3,
)

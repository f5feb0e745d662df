"""What Ozon's methods answer about money, and its analytics."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial

from sandbox.data_ozon import OzonData
from sandbox.data_ozon_money import REPORT_DAY
from sandbox.marketplace import Stream, created
from sandbox.ozon_pages import offset_page, period, whole, within
from sandbox.records import MOSCOW, Book, Record, array, encode
from sandbox.wire import Call, Invalid, Refused, Reply, reply, seal, unseal

PATHS = {
    "accruals_by_day": "/v1/finance/accrual/by-day",
    "accrual_types": "/v1/finance/accrual/types",
    "realization": "/v2/finance/realization",
    "realization_posting": "/v1/finance/realization/posting",
    "realization_day": "/v1/finance/realization/by-day",
    "balance": "/v1/finance/balance",
    "cash_flow": "/v1/finance/cash-flow-statement/list",
    "analytics": "/v1/analytics/data",
}

CURSOR_LIVES = timedelta(minutes=15)
ACCRUALS_PAGE = 1000
FIRST_ACCRUALS = date(2022, 1, 1)
FIRST_REALIZATION = date(2023, 8, 1)
ANALYTICS_KEPT = timedelta(days=92)
DETAILS = b'{"payments":[],"begin_balance_amount":0,"end_balance_amount":0}'
DAYS_REALIZED = 32
METRICS_OF_ALL = ["revenue", "ordered_units"]
"""Without Premium Plus a seller has no others."""


def methods(data: OzonData) -> dict[str, partial[Reply]]:
    return {
        "accruals_by_day": partial(accruals, data),
        "accrual_types": partial(whole, data.accrual_types, "accrual_types"),
        "realization": partial(realization, data),
        "realization_posting": partial(realization_by_posting, data),
        "realization_day": partial(realization_of_day, data),
        "balance": partial(balance, data),
        "cash_flow": partial(cash_flow, data),
        "analytics": partial(analytics, data),
    }


def streams(data: OzonData) -> Mapping[str, Stream]:
    def of_time(book: Book) -> Stream:
        return Stream(lambda seller, now: list(book.seen(seller, now)), created)

    return {
        "accruals_by_day": of_time(data.accruals_by_day),
        "accrual_types": Stream(lambda seller, now: list(data.accrual_types.seen(seller, now)), None),
        "realization": of_time(data.realization),
        "realization_posting": of_time(data.realization_posting),
        "realization_day": of_time(data.realization_day),
        "balance": of_time(data.balance),
        "cash_flow": of_time(data.cash_flow),
        "analytics": of_time(data.analytics),
    }


def accruals(data: OzonData, call: Call) -> Reply:
    call.body.only("date", "last_id")
    day, last_id = call.body.day("date"), call.body.text("last_id")
    if day < FIRST_ACCRUALS:
        raise Invalid("date: must not be earlier than 2022-01-01")
    rows = sorted(data.accruals_by_day.seen(call.seller, call.now, day, day), key=lambda row: row.life.order)
    if last_id:
        after = _accruals_cursor(last_id, day, call.now)
        rows = [row for row in rows if row.life.order > after]
    limit = call.page_size(ACCRUALS_PAGE)
    page = rows[:limit]
    more = len(rows) > limit
    following = seal([day.isoformat(), page[-1].life.order, call.now.timestamp()]) if more else ""
    body = b'{"accruals":%b,"last_id":%b}' % (array(page), encode(following))
    return Reply(200, body, records=len(page))


def _accruals_cursor(last_id: str, day: date, now: datetime) -> int:
    match unseal(last_id):
        case [str(given), int(after), float(issued)]:
            if given != day.isoformat():
                raise Invalid("last_id belongs to another date")
            if now - datetime.fromtimestamp(issued, UTC) > CURSOR_LIVES:
                raise Invalid("last_id has expired")
            return after
        case _:
            raise Invalid("last_id is not one of ours")


def realization(data: OzonData, call: Call) -> Reply:
    month, rows = _realized(data.realization, call)
    header = encode({"number": "12345", "currency_sys_name": "RUB", "start_date": month.isoformat()})
    return Reply(200, b'{"result":{"header":%b,"rows":%b}}' % (header, array(rows)), records=len(rows))


def realization_by_posting(data: OzonData, call: Call) -> Reply:
    month, rows = _realized(data.realization_posting, call)
    header = encode({"number": "12345", "currency_sys_name": "RUB", "start_date": month.isoformat()})
    return Reply(200, b'{"header":%b,"rows":%b}' % (header, array(rows)), records=len(rows))


def _realized(book: Book, call: Call) -> tuple[date, list[Record]]:
    call.body.only("month", "year")
    month = date(call.body.integer("year", low=2000, high=2100), call.body.integer("month", low=1, high=12), 1)
    if month < FIRST_REALIZATION:
        raise Invalid("the report begins with August 2023")
    ready = (month + timedelta(days=32)).replace(day=REPORT_DAY)
    if call.now.date() < ready:
        raise Refused(reply({"code": 5, "message": "report not found", "details": []}, 404))
    return month, list(book.seen(call.seller, call.now, ready, ready))


def realization_of_day(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("day", "month", "year")
    year, month = body.integer("year", low=2000, high=2100), body.integer("month", low=1, high=12)
    day = date(year, month, body.integer("day", low=1, high=31))
    if (call.now.astimezone(MOSCOW).date() - day).days > DAYS_REALIZED:
        raise Invalid(f"only the last {DAYS_REALIZED} days")
    rows = list(data.realization_day.seen(call.seller, call.now, day, day))
    return Reply(200, b'{"rows":%b}' % array(rows), records=len(rows))


def balance(data: OzonData, call: Call) -> Reply:
    call.body.only("date_from", "date_to")
    first, last = call.body.day("date_from"), call.body.day("date_to")
    if first != last:
        raise Invalid("the sandbox plays the balance of single days")
    (row,) = data.balance.seen(call.seller, call.now, first, last)
    return Reply(200, row.text, records=1)


def cash_flow(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("date", "page", "page_size", "with_details")
    start, end = period(body.inner("date", required=True), "from", "to")
    page = body.integer("page", low=1, high=10**6)
    size = call.page_size(body.integer("page_size", low=1, high=1000))
    rows = within(data.cash_flow, call, start, end)
    part = rows[(page - 1) * size : page * size]
    count = -(-len(rows) // size)
    details = DETAILS if body.flag("with_details", default=False) else b"null"
    answer = b'{"result":{"cash_flows":%b,"details":%b,"page_count":%d}}' % (array(part), details, count)
    return Reply(200, answer, records=len(part))


def analytics(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("date_from", "date_to", "dimension", "filters", "limit", "metrics", "offset", "sort")
    first, last = body.day("date_from"), body.day("date_to")
    if last < first:
        raise Invalid("date_from must not be later than date_to")
    if first < (call.now - ANALYTICS_KEPT).date():
        raise Invalid("date_from: only the last three months without Premium Plus")
    if list(body.items("dimension", str)) != ["sku", "day"] or list(body.items("metrics", str)) != METRICS_OF_ALL:
        raise Invalid("the sandbox plays revenue and ordered_units by sku and day")
    if body.items("sort", dict) != ({"key": "revenue", "order": "DESC"},):
        raise Invalid("sort: the sandbox sorts by revenue only")
    rows = sorted(data.analytics.seen(call.seller, call.now, first, last), key=lambda row: -row.life.order)
    page = offset_page(call, rows)
    timestamp = encode(call.now.strftime("%Y-%m-%d %H:%M:%S"))
    answer = b'{"result":{"data":%b,"totals":[0,0]},"timestamp":%b}' % (array(page), timestamp)
    return Reply(200, answer, records=len(page))

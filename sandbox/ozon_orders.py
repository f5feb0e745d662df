"""What Ozon's methods answer about postings, returns and supplies, and about what buyers write."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from sandbox.data_ozon import OzonData
from sandbox.data_ozon_orders import SUPPLY_STATES, status_of
from sandbox.marketplace import Stream, changed, created
from sandbox.ozon_pages import Page, behind_last_row, cut, page_of, period, whole, within
from sandbox.records import Book, Record, array, encode
from sandbox.wire import Call, Fields, Invalid, Reply

PATHS = {
    "fbs_postings": "/v4/posting/fbs/list",
    "fbo_postings": "/v3/posting/fbo/list",
    "returns": "/v1/returns/list",
    "returns_rfbs": "/v2/returns/rfbs/list",
    "supply_orders": "/v3/supply-order/list",
    "seller_info": "/v1/seller/info",
    "roles": "/v1/roles",
    "reviews": "/v2/review/list",
    "questions": "/v1/question/list",
}

FEWEST_REVIEWS = 20
KEY_LIVES = timedelta(days=90)
DATES_OF_RETURNS = ("logistic_return_date", "storage_tariffication_start_date", "visual_status_change_moment")


def methods(data: OzonData) -> dict[str, partial[Reply]]:
    return {
        "fbs_postings": partial(fbs_postings, data),
        "fbo_postings": partial(fbo_postings, data),
        "returns": partial(returns, data),
        "returns_rfbs": partial(rfbs_returns, data),
        "supply_orders": partial(supply_orders, data),
        "seller_info": partial(seller_info, data),
        "roles": partial(roles, data),
        "reviews": partial(reviews, data),
        "questions": partial(questions, data),
    }


def streams(data: OzonData) -> Mapping[str, Stream]:
    def by(book: Book, time_of: Callable[[Record], datetime] | None = None) -> Stream:
        return Stream(lambda seller, now: list(book.seen(seller, now)), time_of)

    return {
        "fbs_postings": by(data.fbs_postings, created),
        "fbo_postings": by(data.fbo_postings, created),
        "returns": by(data.returns, changed),
        "returns_rfbs": by(data.returns_rfbs, created),
        "supply_orders": by(data.supply_orders),
        "seller_info": by(data.seller_info),
        "roles": by(data.roles),
        "reviews": by(data.reviews, created),
        "questions": by(data.questions, created),
    }


def _descending(body: Fields, default: str = "ASC") -> bool:
    return body.choice("sort_dir", ("ASC", "DESC", "asc", "desc"), default).upper() == "DESC"


def fbs_postings(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("cursor", "filter", "limit", "sort_dir", "translit", "with")
    chosen = body.inner("filter", required=True)
    chosen.only("since", "to", "last_changed_status_date", "statuses")
    since, to = period(chosen, "since", "to")
    limit = call.page_size(body.integer("limit", low=1, high=100, default=100))
    statuses = chosen.items("statuses", str)
    rows = [row for row in within(data.fbs_postings, call, since, to) if not statuses or status_of(row) in statuses]
    if "last_changed_status_date" in chosen:
        start, end = period(chosen.inner("last_changed_status_date"), "from", "to")
        rows = [row for row in rows if start <= row.changed <= end]
    page = cut(rows, body.text("cursor", ""), limit, descending=_descending(body))
    return page_of("postings", page, "cursor")


def fbo_postings(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("cursor", "filter", "limit", "sort_dir", "translit", "with")
    body.inner("with").only("analytics_data", "financial_data", "legal_info")
    chosen = body.inner("filter", required=True)
    chosen.only("since", "to")
    since, to = period(chosen, "since", "to")
    limit = call.page_size(body.integer("limit", low=1, high=100, default=100))
    rows = within(data.fbo_postings, call, since, to)
    return page_of("postings", cut(rows, body.text("cursor", ""), limit, descending=_descending(body)), "cursor")


def returns(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("filter", "last_id", "limit")
    chosen = body.inner("filter")
    dates = [name for name in DATES_OF_RETURNS if name in chosen]
    if len(dates) > 1:
        raise Invalid(f"only one of the filters {', '.join(DATES_OF_RETURNS)} can be used")
    chosen.only("visual_status_change_moment")
    limit = call.page_size(body.integer("limit", low=1, high=500))
    last_id = body.integer("last_id", low=0, high=2**63 - 1, default=0)
    rows = list(data.returns.seen(call.seller, call.now))
    if dates:
        since, to = period(chosen.inner(dates[0]), "time_from", "time_to")
        rows = [row for row in rows if since <= row.changed <= to]
    left = behind_last_row(rows, last_id)
    more = b"true" if len(left) > limit else b"false"
    return Reply(200, b'{"returns":%b,"has_next":%b}' % (array(left[:limit]), more), records=len(left[:limit]))


def rfbs_returns(data: OzonData, call: Call) -> Reply:
    call.body.only("filter", "last_id", "limit")
    chosen = call.body.inner("filter")
    chosen.only("created_at")
    since, to = period(chosen.inner("created_at", required=True), "from", "to")
    limit = call.page_size(call.body.integer("limit", low=1, high=1000))
    last_id = call.body.integer("last_id", low=0, high=2**31 - 1, default=0)
    page = behind_last_row(within(data.returns_rfbs, call, since, to), last_id)[:limit]
    return Reply(200, b'{"returns":%b}' % array(page), records=len(page))


def supply_orders(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("filter", "last_id", "limit", "sort_by", "sort_dir")
    chosen = body.inner("filter", required=True)
    chosen.only("states")
    states = chosen.items("states", str)
    if not states or not set(states) <= set(SUPPLY_STATES):
        raise Invalid("filter.states: must hold states of a supply")
    body.choice("sort_by", ("ORDER_CREATION",))
    limit = call.page_size(body.integer("limit", low=1, high=100))
    rows = [row for row in data.supply_orders.seen(call.seller, call.now) if row.slice in states]
    page = cut(rows, body.text("last_id", ""), limit, descending=_descending(body, "DESC"))
    answer = b'{"order_ids":%b,"last_id":%b}' % (array(page.rows), encode(page.following))
    return Reply(200, answer, records=len(page.rows))


def seller_info(data: OzonData, call: Call) -> Reply:
    call.body.only()
    (row,) = data.seller_info.seen(call.seller, call.now)
    return Reply(200, row.text, records=1)


def roles(data: OzonData, call: Call) -> Reply:
    answer = whole(data.roles, "roles", call)
    (cabinet,) = data.seller_info.seen(call.seller, call.now)
    renewed = (call.now - cabinet.at) // KEY_LIVES  # times, each in time
    expires = encode((cabinet.at + (renewed + 1) * KEY_LIVES).isoformat())
    return Reply(200, answer.body[:-1] + b',"expires_at":%b}' % expires, records=answer.records)


def reviews(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("filters", "last_id", "limit", "sort_dir")
    chosen = body.inner("filters")
    chosen.only("published_from", "published_to")
    limit = call.page_size(body.integer("limit", low=FEWEST_REVIEWS, high=100))
    page = _written(data.reviews, call, period(chosen, "published_from", "published_to"), limit)
    return page_of("reviews", page, "last_id")


def questions(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("filter", "last_id", "limit", "sort_dir")
    chosen = body.inner("filter")
    chosen.only("date_from", "date_to", "status")
    chosen.choice("status", ("ALL",), "ALL")
    limit = call.page_size(body.integer("limit", low=1, high=100, default=10))
    page = _written(data.questions, call, period(chosen, "date_from", "date_to"), limit)
    return page_of("questions", page, "last_id")


def _written(book: Book, call: Call, between: tuple[datetime, datetime], limit: int) -> Page:
    rows = within(book, call, *between)
    return cut(rows, call.body.text("last_id", ""), limit, descending=_descending(call.body, "DESC"))

"""Ozon Seller API: keys, limits, refusals, and what its methods answer (specification of October 2026)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from math import ceil

from sandbox.credentials import BadCredentialError, Issuer
from sandbox.data_ozon import ARCHIVED, NOT_ARCHIVED, OzonData, status_of
from sandbox.limits import TokenBucket
from sandbox.marketplace import Admission, Stream, created
from sandbox.records import Record, World, array, encode, zulu
from sandbox.wire import Call, Endpoint, Fields, Invalid, Refused, Reply, reply, seal, unseal

NAME = "ozon"
HOST = "api-seller.ozon.ru"

REQUESTS_PER_SECOND = 50
LONGEST_PERIOD = timedelta(days=366)
CURSOR_LIVES = timedelta(minutes=15)
ACCRUALS_PAGE = 1000
FIRST_ACCRUALS = date(2022, 1, 1)

# gRPC code and message for a bad day.
FAILURES: Mapping[int, tuple[int, str]] = {
    400: (9, "obsolete method cannot be used"),
    401: (16, "Client-Id and Api-Key headers are required"),
    403: (7, "Method is not available with existing subscription"),
    404: (5, "Not found"),
    429: (8, "You have reached request rate limit per second"),
    500: (13, "the sandbox was told to fail"),
    503: (14, "the sandbox was told to fail"),
}


class Ozon:
    name = NAME

    def __init__(self, world: World, issuer: Issuer, rate_scale: float) -> None:
        data = OzonData(world)
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint(NAME, "products", "POST", HOST, "/v3/product/list", partial(products, data)),
            Endpoint(NAME, "fbs_postings", "POST", HOST, "/v4/posting/fbs/list", partial(fbs_postings, data)),
            Endpoint(NAME, "accruals_by_day", "POST", HOST, "/v1/finance/accrual/by-day", partial(accruals, data)),
            Endpoint(NAME, "obsolete", "POST", HOST, "/v3/posting/fbs/list", obsolete),
            Endpoint(NAME, "obsolete", "POST", HOST, "/v3/finance/transaction/list", obsolete),
        )
        self.streams: Mapping[str, Stream] = {
            "products": Stream(lambda seller, now: list(data.products.seen(seller, now)), None),
            "fbs_postings": Stream(lambda seller, now: list(data.fbs_postings.seen(seller, now)), created),
            "accruals_by_day": Stream(lambda seller, now: list(data.accruals_by_day.seen(seller, now)), created),
        }
        self._issuer = issuer
        self._bucket = TokenBucket(1 / REQUESTS_PER_SECOND / rate_scale, REQUESTS_PER_SECOND)

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        del endpoint, now
        client_id, api_key = headers.get("Client-Id", ""), headers.get("Api-Key", "")
        if not client_id or not api_key:
            raise Refused(refusal(403, 16, "Client-Id and Api-Key headers are required"))
        try:
            return self._issuer.read_ozon(client_id, api_key)
        except BadCredentialError as error:
            raise Refused(refusal(403, 7, str(error))) from None

    @contextmanager
    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> Iterator[Admission]:
        del path
        taken = self._bucket.take(seller)
        if taken.given:
            headers = {"Ratelimit-Remaining": str(taken.remaining)}
            yield Admission(f"all:{seller}", None, lambda answer: answer.with_headers(headers))
        else:
            refused = self.failure(endpoint, 429, datetime.now(UTC), ceil(taken.retry))
            yield Admission(f"all:{seller}", refused, lambda answer: answer)

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        del endpoint
        return refusal(400, 3, message)

    def failure(self, endpoint: Endpoint, status: int, now: datetime, retry: int) -> Reply:
        del endpoint, now
        code, message = FAILURES.get(status, FAILURES[500])
        answer = refusal(status, code, message)
        return answer.with_headers({"Retry-After": str(retry)}) if status == 429 else answer

    def no_such_path(self, now: datetime) -> Reply:
        del now
        return refusal(404, 5, "Not found")


def refusal(status: int, code: int, message: str) -> Reply:
    return reply({"code": code, "message": message, "details": []}, status)


def obsolete(call: Call) -> Reply:
    """A method that was switched off answers this to whatever it is asked."""
    del call
    return reply({"code": 9, "message": "obsolete method cannot be used"}, 400)


def products(data: OzonData, call: Call) -> Reply:
    call.body.only("filter", "last_id", "limit")
    chosen = call.body.inner("filter")
    chosen.only("visibility", "offer_id", "product_id")
    if chosen.items("offer_id", str) or chosen.items("product_id", str):
        raise Invalid("filter: the sandbox plays visibility only")
    visibility = chosen.choice("visibility", ("ALL", "VISIBLE", "ARCHIVED"), "ALL")
    wanted = ARCHIVED if visibility == "ARCHIVED" else NOT_ARCHIVED
    limit = call.page_size(call.body.integer("limit", low=1, high=1000, default=1000))
    rows = [row for row in data.products.seen(call.seller, call.now) if row.slice == wanted]
    rows.sort(key=lambda row: row.life.order)
    total, last_id = len(rows), call.body.text("last_id", "")
    if last_id:
        after = _products_cursor(last_id, visibility)
        rows = [row for row in rows if row.life.order > after]
    page = rows[:limit]
    following = seal([visibility, page[-1].life.order]) if page else ""
    body = b'{"result":{"items":%b,"total":%d,"last_id":%b}}' % (array(page), total, encode(following))
    return Reply(200, body, records=len(page))


def _products_cursor(last_id: str, visibility: str) -> int:
    match unseal(last_id):
        case [str(given), int(after)] if given == visibility:
            return after
        case _:
            raise Invalid("last_id belongs to another filter")


def fbs_postings(data: OzonData, call: Call) -> Reply:
    body = call.body
    body.only("cursor", "filter", "limit", "sort_dir", "translit", "with")
    chosen = body.inner("filter", required=True)
    chosen.only("since", "to", "last_changed_status_date", "statuses")
    since, to = _period(chosen, "since", "to")
    limit = call.page_size(body.integer("limit", low=1, high=100, default=100))
    descending = body.choice("sort_dir", ("ASC", "DESC", "asc", "desc"), "ASC").upper() == "DESC"
    statuses = chosen.items("statuses", str)
    rows = [
        row
        for row in data.fbs_postings.seen(call.seller, call.now, since.date(), to.date())
        if since <= row.at <= to and (not statuses or status_of(row) in statuses)
    ]
    if "last_changed_status_date" in chosen:
        start, end = _period(chosen.inner("last_changed_status_date"), "from", "to")
        rows = [row for row in rows if start <= row.changed <= end]
    rows.sort(key=_place, reverse=descending)
    after = body.text("cursor", "")
    if after:
        place = _postings_cursor(after)
        rows = [row for row in rows if (_place(row) < place if descending else _place(row) > place)]
    page = rows[:limit]
    cursor = seal([zulu(page[-1].at), page[-1].life.order]) if page else ""
    has_next = b"true" if len(rows) > limit else b"false"
    answer = b'{"cursor":%b,"has_next":%b,"postings":%b}' % (encode(cursor), has_next, array(page))
    return Reply(200, answer, records=len(page))


def _place(row: Record) -> tuple[datetime, int]:
    return row.at, row.life.order


def _period(fields: Fields, first: str, last: str) -> tuple[datetime, datetime]:
    start, end = fields.instant(first), fields.instant(last)
    if end < start:
        raise Invalid(f"{first} must not be later than {last}")
    if end - start > LONGEST_PERIOD:
        raise Invalid("PERIOD_IS_TOO_LONG")
    return start, end


def _postings_cursor(cursor: str) -> tuple[datetime, int]:
    match unseal(cursor):
        case [str(at), int(order)]:
            return datetime.fromisoformat(at), order
        case _:
            raise Invalid("cursor is not one of ours")


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

"""What the methods of Wildberries answer, by the vendor's specification of August 2026."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial

from sandbox.data_wildberries import ANSWERED, UNANSWERED, WildberriesData, as_feed
from sandbox.marketplace import Stream, changed, created
from sandbox.records import DAY, MOSCOW, Book, Record, array, encode, zulu
from sandbox.wire import Call, Endpoint, Fields, Invalid, Reply, moscow_midnight

HOSTS: Mapping[str, str] = {
    "orders": "statistics-api.wildberries.ru",
    "cards": "content-api.wildberries.ru",
    "prices": "discounts-prices-api.wildberries.ru",
    "fin_detail": "finance-api.wildberries.ru",
    "order_feed": "seller-analytics-api.wildberries.ru",
    "feedbacks": "feedbacks-api.wildberries.ru",
}

ORDERS_KEPT = timedelta(days=90)
ORDERS_PAGE = 80_000
FEED_KEPT = timedelta(days=31)
WEEKLY = "period=weekly"

# The longest an order goes on changing, so that a walk need not look at older days.
_ORDER_CHANGES = timedelta(days=10)


def endpoints(data: WildberriesData, *, repeat_boundary: bool) -> tuple[Endpoint, ...]:
    feed = OrderFeed(data)

    def endpoint(stream: str, method: str, path: str) -> Endpoint:
        answers: dict[str, Callable[[Call], Reply]] = {
            "orders": partial(statistics, data.orders, changed=changed, repeat_boundary=repeat_boundary),
            "cards": partial(cards, data),
            "prices": partial(prices, data),
            "fin_detail": partial(fin_detail, data),
            "order_feed": feed.answer,
            "feedbacks": partial(feedbacks, data),
        }
        return Endpoint("wildberries", stream, method, HOSTS[stream], path, answers[stream])

    return (
        endpoint("orders", "GET", "/api/v1/supplier/orders"),
        endpoint("cards", "POST", "/content/v2/get/cards/list"),
        endpoint("prices", "GET", "/api/v2/list/goods/filter"),
        endpoint("fin_detail", "POST", "/api/finance/v1/sales-reports/detailed"),
        endpoint("order_feed", "POST", "/api/analytics/v1/order-feed"),
        endpoint("feedbacks", "GET", "/api/v1/feedbacks"),
    )


def streams(data: WildberriesData) -> Mapping[str, Stream]:
    return {
        "orders": Stream(partial(kept, data.orders), changed),
        "cards": Stream(lambda seller, now: list(data.cards.seen(seller, now)), changed),
        "prices": Stream(lambda seller, now: list(data.prices.seen(seller, now)), None),
        "fin_detail": Stream(lambda seller, now: list(data.fin_detail.seen(seller, now)), created),
        "order_feed": Stream(lambda seller, now: list(data.orders.seen(seller, now)), changed),
        "feedbacks": Stream(lambda seller, now: list(data.feedbacks.seen(seller, now)), created),
    }


def statistics(book: Book, call: Call, changed: Callable[[Record], datetime], *, repeat_boundary: bool) -> Reply:
    """Rows by the time of their last change, or with `flag=1` those of one Moscow day."""
    call.query.only("dateFrom", "flag")
    since = call.query.moscow_time("dateFrom")
    if call.query.integer("flag", low=0, high=1, default=0):
        day = since.astimezone(MOSCOW).date()
        rows = [row for row in kept(book, call.seller, call.now) if row.at.astimezone(MOSCOW).date() == day]
        return _rows(sorted(rows, key=lambda row: (changed(row), row.key)))
    rows = [row for row in kept(book, call.seller, call.now, since=since - _ORDER_CHANGES) if changed(row) >= since]
    rows.sort(key=lambda row: (changed(row), row.key))
    boundary = sum(changed(row) == since for row in rows)
    if boundary == len(rows) and not repeat_boundary:
        return _rows([])
    # One row more than the boundary, or a walk could not get past it.
    end = max(call.page_size(ORDERS_PAGE), boundary + 1)
    if not repeat_boundary and rows[end:] and changed(rows[end - 1]) == changed(rows[-1]):
        # The last moment is given whole: what asks for it next is told that there is nothing new.
        end = len(rows)
    return _rows(rows[:end])


def kept(book: Book, seller: str, now: datetime, since: datetime | None = None) -> list[Record]:
    oldest = now - ORDERS_KEPT
    days = max(oldest, since or oldest).date()
    return [row for row in book.seen(seller, now, since=days) if row.at >= oldest]


def _by_change(row: Record) -> tuple[datetime, str]:
    return row.changed, row.key


def cards(data: WildberriesData, call: Call) -> Reply:
    call.query.only("locale")
    call.body.only("settings")
    settings = call.body.inner("settings")
    settings.only("cursor", "filter", "sort")
    cursor = settings.inner("cursor")
    cursor.only("limit", "updatedAt", "nmID")
    settings.inner("filter").only("withPhoto")
    with_photo = settings.inner("filter").integer("withPhoto", low=-1, high=2, default=0)
    ascending = settings.inner("sort").flag("ascending", default=False)
    limit = call.page_size(cursor.integer("limit", low=1, high=100, default=10))
    # Every card of the sandbox has a photo.
    rows = [] if with_photo == 2 else list(data.cards.seen(call.seller, call.now))
    rows.sort(key=lambda row: (row.changed, row.life.order), reverse=not ascending)
    if "updatedAt" in cursor:
        start = (cursor.instant("updatedAt"), cursor.integer("nmID", low=0, high=2**63, default=0))
        rows = [row for row in rows if _beyond((row.changed, row.life.order), start, ascending=ascending)]
    page = rows[:limit]
    if page:
        after = {"updatedAt": zulu(page[-1].changed), "nmID": page[-1].life.order, "total": len(page)}
    else:
        given = cursor.text("updatedAt", ""), cursor.integer("nmID", low=0, high=2**63, default=0)
        after = {"updatedAt": given[0], "nmID": given[1], "total": 0}
    return Reply(200, b'{"cards":%b,"cursor":%b}' % (array(page), encode(after)), records=len(page))


def _beyond(place: tuple[datetime, int], start: tuple[datetime, int], *, ascending: bool) -> bool:
    return place > start if ascending else place < start


def prices(data: WildberriesData, call: Call) -> Reply:
    call.query.only("limit", "offset")
    limit = call.page_size(call.query.integer("limit", low=1, high=1000))
    offset = call.query.integer("offset", low=0, high=2**32, default=0)
    rows = sorted(data.prices.seen(call.seller, call.now), key=lambda row: row.life.order)
    page = rows[offset : offset + limit]
    return Reply(200, b'{"data":{"listGoods":%b},"error":false,"errorText":""}' % array(page), records=len(page))


def fin_detail(data: WildberriesData, call: Call) -> Reply:
    call.body.only("dateFrom", "dateTo", "limit", "rrdId", "period")
    start, end = call.body.moscow_time("dateFrom"), call.body.moscow_time("dateTo")
    if end < start:
        raise Invalid("dateFrom must not be later than dateTo")
    limit = call.page_size(call.body.integer("limit", low=1, high=100_000, default=100_000))
    after = call.body.integer("rrdId", low=0, high=2**63, default=0)
    weekly = call.body.choice("period", ("daily", "weekly"), "weekly") == "weekly"
    # Days of the reports, so dateTo given as a date brings that whole day.
    first, last = start.astimezone(MOSCOW).date(), end.astimezone(MOSCOW).date()
    rows = [
        row
        for row in data.fin_detail.seen(call.seller, call.now, first - DAY, last + DAY)
        if row.life.order > after and first <= row.at.date() <= last and (not weekly or in_weekly_report(row, call.now))
    ]
    rows.sort(key=lambda row: row.life.order)
    if not rows:
        return Reply(204, b"")
    return _rows(rows[:limit])


def in_weekly_report(row: Record, now: datetime) -> bool:
    """The report of a week is out on the Monday after it."""
    day: date = row.at.date()
    return now >= moscow_midnight(day + timedelta(days=7 - day.weekday()))


class OrderFeed:
    """A snapshot is frozen at its time, and good only for the period it was opened with."""

    def __init__(self, data: WildberriesData) -> None:
        self._data = data
        self._opened: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def answer(self, call: Call) -> Reply:
        call.body.only("selectedPeriod", "pagination", "nmIds", "subjectIds", "brandNames", "tagIds")
        for name in ("nmIds", "subjectIds", "brandNames", "tagIds"):
            if call.body.items(name, object):
                raise Invalid(f"{name}: the sandbox plays the whole feed only")
        period = call.body.inner("selectedPeriod", required=True)
        period.only("start", "end")
        paging = call.body.inner("pagination")
        paging.only("snapshotTime", "offset", "limit")
        offset = paging.integer("offset", low=0, high=2**31 - 1, default=0)
        limit = call.page_size(paging.integer("limit", low=1, high=10_000, default=50))
        snapshot = self._snapshot(call, period, paging, offset)
        seen_at = datetime.fromisoformat(snapshot)
        start = period.instant("start")
        end = period.instant("end") if "end" in period else seen_at
        if start < seen_at - FEED_KEPT:
            raise Invalid("selectedPeriod.start: must not be earlier than 31 days ago")
        if end < start:
            raise Invalid("selectedPeriod.start: must not be later than end")
        rows = [
            row
            for row in self._data.orders.seen(call.seller, seen_at, since=(start - _ORDER_CHANGES).date())
            if start <= row.changed <= end
        ]
        rows.sort(key=_by_change, reverse=True)
        page = rows[offset : offset + limit]
        listed = b"[%b]" % b",".join(as_feed(row) for row in page)
        body = b'{"data":{"snapshotTime":%b,"currency":"RUB","orders":%b}}' % (encode(snapshot), listed)
        return Reply(200, body, records=len(page))

    def _snapshot(self, call: Call, period: Fields, paging: Fields, offset: int) -> str:
        selection = period.text("start"), period.text("end", "")
        if offset == 0 and "snapshotTime" not in paging:
            snapshot = zulu(call.now.astimezone(UTC).replace(microsecond=0))
            self._opened.setdefault((call.seller, snapshot), set()).add(selection)
            return snapshot
        if "snapshotTime" not in paging:
            raise Invalid("pagination.snapshotTime: required when offset is greater than 0")
        snapshot = zulu(paging.instant("snapshotTime"))
        if selection not in self._opened.get((call.seller, snapshot), set()):
            raise Invalid("pagination.snapshotTime: not the snapshot of this period, start again with offset 0")
        return snapshot


def feedbacks(data: WildberriesData, call: Call) -> Reply:
    query = call.query
    query.only("isAnswered", "take", "skip", "dateFrom", "dateTo", "order")
    wanted = ANSWERED if query.flag("isAnswered") else UNANSWERED
    limit = call.page_size(query.integer("take", low=1, high=5000))
    skip = query.integer("skip", low=0, high=199_990)
    newest_first = query.choice("order", ("dateAsc", "dateDesc"), "dateDesc") == "dateDesc"
    start = query.integer("dateFrom", low=0, high=2**40, default=0)
    end = query.integer("dateTo", low=0, high=2**40, default=2**40)
    every = list(data.feedbacks.seen(call.seller, call.now))
    rows = [row for row in every if row.slice == wanted and start <= row.at.timestamp() <= end]
    rows.sort(key=lambda row: (row.at, row.key), reverse=newest_first)
    page = rows[skip : skip + limit]
    unanswered = sum(row.slice == UNANSWERED for row in every)
    body = (
        b'{"data":{"countUnanswered":%d,"countArchive":0,"feedbacks":%b},'
        b'"error":false,"errorText":"","additionalErrors":null}'
    ) % (unanswered, array(page))
    return Reply(200, body, records=len(page))


def _rows(rows: list[Record]) -> Reply:
    return Reply(200, array(rows), records=len(rows))

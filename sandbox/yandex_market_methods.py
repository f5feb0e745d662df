"""What the methods of Yandex Market answer, by the vendor's specification of August 2026."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from sandbox.data_yandex_market import YandexMarketData, stats_text
from sandbox.data_yandex_market_dealings import Dealings
from sandbox.data_yandex_market_goods import Goods
from sandbox.marketplace import Stream, changed, created
from sandbox.records import MOSCOW, Book, Record, array, encode
from sandbox.wire import Call, Endpoint, Fields, Invalid, Reply, end_of, moscow_midnight
from sandbox.yandex_market_dealings import dealing_endpoints, dealing_streams
from sandbox.yandex_market_goods import goods_endpoints, goods_streams
from sandbox.yandex_market_listing import HOST, NAME, cut
from sandbox.yandex_market_reports import KINDS, Reports

FILE_HOST = "market-reports.sandbox.yandex.ru"

LONGEST_FILTER = timedelta(days=30)

# An order goes on changing for no longer than this.
_ORDER_CHANGES = timedelta(days=12)


def endpoints(data: YandexMarketData, goods: Goods, dealings: Dealings, reports: Reports) -> tuple[Endpoint, ...]:
    def endpoint(stream: str, method: str, path: str, answer: Callable[[Call], Reply], step: str = "") -> Endpoint:
        return Endpoint(NAME, stream, method, FILE_HOST if step == "file" else HOST, path, answer, step)

    return (
        endpoint("campaigns", "GET", "/v2/campaigns", partial(campaigns, data)),
        endpoint("campaigns", "POST", "/v2/auth/token", key, "key"),
        endpoint("orders_stats", "POST", "/v2/campaigns/{campaignId}/stats/orders", partial(orders_stats, data)),
        endpoint("orders", "POST", "/v1/businesses/{businessId}/orders", partial(orders, data)),
        endpoint("prices", "POST", "/v2/businesses/{businessId}/offer-prices", partial(prices, data)),
        *goods_endpoints(goods),
        *dealing_endpoints(dealings),
        *(
            endpoint(kind.stream, "POST", f"/v2/reports/{kind.name}/generate", partial(reports.create, kind), "create")
            for kind in KINDS
        ),
        # One method each for the reports of every kind, named after the first.
        endpoint(KINDS[0].stream, "GET", "/v2/reports/info/{reportId}", reports.info, "info"),
        endpoint(KINDS[0].stream, "GET", "/file/{reportId}", reports.file, "file"),
    )


def streams(data: YandexMarketData, goods: Goods, dealings: Dealings) -> Mapping[str, Stream]:
    return {
        "campaigns": Stream(lambda seller, _: data.campaigns(seller), None),
        "orders_stats": Stream(lambda seller, now: list(data.orders.seen(seller, now)), changed),
        "orders": Stream(lambda seller, now: list(data.orders.seen(seller, now)), changed),
        "prices": Stream(lambda seller, now: list(data.prices.seen(seller, now)), None),
        **goods_streams(goods),
        **dealing_streams(dealings),
        **{name: Stream(partial(_lines, book), created) for name, book in data.reports.items()},
    }


def _lines(book: Book, seller: str, now: datetime) -> list[Record]:
    return list(book.seen(seller, now))


def key(_: Call) -> Reply:
    told = {"apiKey": {"name": "collector", "authScopes": ["ALL_METHODS_READ_ONLY"]}}
    return Reply(200, encode({"status": "OK", "result": told}))


def campaigns(data: YandexMarketData, call: Call) -> Reply:
    call.query.only("pageToken", "limit")
    every = data.campaigns(call.seller)
    limit = call.page_size(call.query.integer("limit", low=1, high=100, default=100))
    page, paging = cut(every, call, limit)
    pager = {
        "total": len(every),
        "from": 1,
        "to": len(every),
        "currentPage": 1,
        "pagesCount": 1,
        "pageSize": len(every),
    }
    body = b'{"campaigns":%b,"pager":%b,"paging":%b}' % (array(page), encode(pager), encode(paging))
    return Reply(200, body, records=len(page))


def orders_stats(data: YandexMarketData, call: Call) -> Reply:
    call.query.only("pageToken", "limit")
    limit = call.page_size(call.query.integer("limit", low=1, high=200, default=100))
    start, end, time_of = _stats_period(call)
    oldest = (start - _ORDER_CHANGES).date()
    rows = [
        row
        for row in data.orders.seen(call.seller, call.now, since=oldest)
        if row.slice == call.path["campaignId"] and start <= time_of(row) < end
    ]
    page, paging = cut(rows, call, limit)
    listed = b"[%b]" % b",".join(stats_text(row) for row in page)
    body = b'{"status":"OK","result":{"orders":%b,"paging":%b}}' % (listed, encode(paging))
    return Reply(200, body, records=len(page))


def _stats_period(call: Call) -> tuple[datetime, datetime, Callable[[Record], datetime]]:
    """Both days included, as Moscow counts days."""
    body = call.body
    body.only("dateFrom", "dateTo", "updateFrom", "updateTo")
    by_creation = "dateFrom" in body or "dateTo" in body
    if by_creation == ("updateFrom" in body or "updateTo" in body):
        raise Invalid("give either dateFrom and dateTo or updateFrom and updateTo")
    first, last = ("dateFrom", "dateTo") if by_creation else ("updateFrom", "updateTo")
    start, end = moscow_midnight(body.day(first)), end_of(body.day(last))
    if end <= start:
        raise Invalid(f"{first} must not be later than {last}")
    return start, end, created if by_creation else changed


def orders(data: YandexMarketData, call: Call) -> Reply:
    call.query.only("pageToken", "limit")
    limit = call.page_size(min(call.query.integer("limit", low=1, high=2**31, default=50), 50))
    call.body.only("dates", "campaignIds", "fake")
    if call.body.flag("fake", default=False):
        raise Invalid("fake: the sandbox has no test orders")
    stores = {str(campaign) for campaign in call.body.items("campaignIds", int)}
    dates = call.body.inner("dates")
    dates.only("creationDateFrom", "creationDateTo", "updateDateFrom", "updateDateTo")
    born, updated = _creation_window(dates, call.now), _update_window(dates)
    start = (updated[0] - _ORDER_CHANGES if updated else born[0] if born else call.now - LONGEST_FILTER).date()
    rows = [
        row
        for row in data.orders.seen(call.seller, call.now, since=start)
        if (not stores or row.slice in stores)
        and (born is None or born[0] <= row.at < born[1])
        and (updated is None or updated[0] <= row.changed < updated[1])
    ]
    page, paging = cut(rows, call, limit)
    return Reply(200, b'{"orders":%b,"paging":%b}' % (array(page), encode(paging)), records=len(page))


def _creation_window(dates: Fields, now: datetime) -> tuple[datetime, datetime] | None:
    """The last day is not included; without any filter it is the last thirty days."""
    if "creationDateFrom" in dates or "creationDateTo" in dates:
        start, end = dates.day("creationDateFrom"), dates.day("creationDateTo")
        if end - start > LONGEST_FILTER or end < start:
            raise Invalid("dates: creationDateFrom and creationDateTo must be at most 30 days apart")
        return moscow_midnight(start), moscow_midnight(max(end, start + timedelta(days=1)))
    if "updateDateFrom" in dates or "updateDateTo" in dates:
        return None
    today = now.astimezone(MOSCOW).date()
    return moscow_midnight(today - LONGEST_FILTER), end_of(today)


def _update_window(dates: Fields) -> tuple[datetime, datetime] | None:
    if "updateDateFrom" not in dates and "updateDateTo" not in dates:
        return None
    start, end = dates.instant("updateDateFrom"), dates.instant("updateDateTo")
    if end - start > LONGEST_FILTER or end < start:
        raise Invalid("dates: updateDateFrom and updateDateTo must be at most 30 days apart")
    return start, end


def prices(data: YandexMarketData, call: Call) -> Reply:
    call.query.only("pageToken", "limit")
    limit = call.page_size(min(call.query.integer("limit", low=1, high=2**31, default=250), 500))
    call.body.only("archived", "offerIds")
    if call.body.items("offerIds", str):
        raise Invalid("offerIds: the sandbox plays the whole list only")
    archived = call.body.flag("archived", default=False)
    rows = [] if archived else list(data.prices.seen(call.seller, call.now))
    page, paging = cut(rows, call, limit)
    body = b'{"status":"OK","result":{"offers":%b,"paging":%b}}' % (array(page), encode(paging))
    return Reply(200, body, records=len(page))

"""Wildberries: what its methods answer of the campaigns, cards and assembly tasks that they are asked for by id."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from itertools import groupby
from typing import Final

from sandbox.data_wildberries_goods import SUBJECTS
from sandbox.marketplace import Stream, created
from sandbox.records import DAY, MOSCOW, Dice, Record, encode, verbatim
from sandbox.wildberries_adverts import ADVERT, Adverts, status_of
from sandbox.wildberries_lists import Streams, between, endpoint, of_book, whole
from sandbox.wildberries_methods import HOSTS
from sandbox.wildberries_sales import MARKET, Sales
from sandbox.wire import Call, Endpoint, Fields, Invalid, Reply, end_of, moscow_midnight, reply

HAVE_RUN: Final = (7, 9, 11)
WEEK: Final = 7 * DAY
TEXTS: Final = ("подарок маме", "чай-ник", "ёлка 2027")


class Named:
    def __init__(self, adverts: Adverts, sales: Sales) -> None:
        self._adverts = adverts
        self._sales = sales

    def endpoints(self) -> tuple[Endpoint, ...]:
        analytics = HOSTS["order_feed"]
        history, texts = "/api/analytics/v3/sales-funnel/products/history", "/api/v2/search-report/product/search-texts"
        return (
            endpoint("adv_stats", "GET", ADVERT, "/adv/v3/fullstats", self.campaign_days),
            endpoint("adv_clusters", "POST", ADVERT, "/adv/v1/normquery/stats", self.clusters),
            endpoint("fbs_order_status", "POST", MARKET, "/api/v3/orders/status", self.task_statuses),
            endpoint("sales_funnel_history", "POST", analytics, history, self.history),
            endpoint("search_texts", "POST", analytics, texts, self.searches),
        )

    def streams(self) -> Streams:
        return {
            "adv_stats": Stream(lambda seller, now: list(self._days(seller, now)), created),
            "adv_clusters": Stream(lambda seller, now: list(self._days_of_goods(seller, now)), created),
            "fbs_order_status": of_book(self._sales.tasks, None),
            "sales_funnel_history": of_book(self._sales.funnel, created),
            "search_texts": Stream(lambda seller, now: list(self._searched(seller, now)), created),
        }

    def campaign_days(self, call: Call) -> Reply:
        call.query.only("ids", "beginDate", "endDate")
        wanted = {int(one) for one in call.query.text("ids").split(",")}
        if len(wanted) > 50:
            raise Invalid("ids: 50 at most")
        first, last = _period(call.query, "beginDate", "endDate")
        listed = {row.life.order for row in self._campaigns(call.seller, call.now)}
        if not wanted <= listed:
            raise Invalid(f"there are no statistics of {min(wanted - listed)}")
        found = [row for row in self._days(call.seller, call.now) if row.life.order in wanted]
        days = [row for row in found if moscow_midnight(first) <= row.at < end_of(last)]
        rows = [_campaign_text(campaign, list(of)) for campaign, of in groupby(days, key=lambda row: row.life.order)]
        return reply(rows, records=len(rows))

    def clusters(self, call: Call) -> Reply:
        call.body.only("from", "to", "items")
        first, last = _period(call.body, "from", "to")
        items = call.body.items("items", dict)
        if not 0 < len(items) <= 100:
            raise Invalid("items: 1 to 100")
        begins, ends = moscow_midnight(first), end_of(last)
        days = [row for row in self._days_of_goods(call.seller, call.now) if begins <= row.at < ends]
        told = []
        for item in map(Fields, items):
            item.only("advertId", "nmId")
            name = f"{item.integer('advertId', low=1, high=2**63)}/{item.integer('nmId', low=1, high=2**63)}"
            stats = [_cluster(row) for row in days if row.key.startswith(f"{name}/")]
            if stats:
                told.append({**item.values, "dailyStats": stats})
        return reply({"items": told}, records=len(told))

    def task_statuses(self, call: Call) -> Reply:
        call.body.only("orders")
        wanted = set(call.body.items("orders", int))
        if not 0 < len(wanted) <= 1000:
            raise Invalid("orders: 1 to 1000")
        rows = [row for row in self._sales.tasks.seen(call.seller, call.now) if row.life.order in wanted]
        return whole([_told(row, _status_text) for row in rows], b'{"orders":%b}')

    def history(self, call: Call) -> Reply:
        call.body.only("selectedPeriod", "nmIds", "skipDeletedNm", "aggregationLevel")
        call.body.choice("aggregationLevel", ("day",), "day")
        period = call.body.inner("selectedPeriod", required=True)
        first, last = _period(period, "start", "end")
        if moscow_midnight(first) < call.now - WEEK - DAY:
            raise Invalid("selectedPeriod.start: excess limit on days")
        return whole([_told(row, _history_text) for row in self._seen(call, 20, first, last)])

    def searches(self, call: Call) -> Reply:
        body = call.body
        body.only("currentPeriod", "nmIds", "topOrderBy", "orderBy", "limit")
        body.choice("topOrderBy", ("openCard", "addToCart", "orders"))
        body.inner("orderBy", required=True).choice("field", ("openCard", "addToCart", "orders"))
        limit = body.integer("limit", low=1, high=30)
        first, last = _period(body.inner("currentPeriod", required=True), "start", "end")
        rows = [text for row in self._seen(call, 50, first, last) for text in list(_texts(row))[:limit]]
        return whole(rows, b'{"data":{"items":%b,"currency":"RUB"}}')

    def _seen(self, call: Call, most: int, first: date, last: date) -> list[Record]:
        wanted = call.body.items("nmIds", int)
        if not 0 < len(wanted) <= most:
            raise Invalid(f"nmIds: 1 to {most}")
        if first != last:
            raise Invalid("the sandbox plays single days only")
        rows = between(self._sales.funnel, call, moscow_midnight(first), end_of(last))
        return [row for row in rows if row.life.order in wanted]

    def _searched(self, seller: str, now: datetime) -> Iterator[Record]:
        for row in self._sales.funnel.seen(seller, now):
            yield from _texts(row)

    def _campaigns(self, seller: str, now: datetime) -> list[Record]:
        return [row for row in self._adverts.campaigns.seen(seller, now) if status_of(row) in HAVE_RUN]

    def _days(self, seller: str, now: datetime) -> Iterator[Record]:
        """Each campaign on each Moscow day on which it ran."""
        for row in self._campaigns(seller, now):
            day = row.life.steps[0].astimezone(MOSCOW).date()
            while moscow_midnight(day) <= min(now, row.life.steps[2]):
                life = replace(row.life, key=f"{row.life.order}/{day}", at=moscow_midnight(day))
                yield replace(row, life=life)
                day += DAY

    def _days_of_goods(self, seller: str, now: datetime) -> Iterator[Record]:
        for row in self._days(seller, now):
            render = row.life.render
            assert isinstance(render, partial)
            campaign, _, day = row.key.partition("/")
            yield replace(row, life=replace(row.life, key=f"{campaign}/{render.args[1]}/{day}"))


def _period(fields: Fields, first: str, last: str) -> tuple[date, date]:
    """Both days included, 31 at most."""
    begins, ends = fields.day(first), fields.day(last)
    if not 0 <= (ends - begins).days < 31:
        raise Invalid(f"{first}, {last}: the period must be from 1 to 31 days")
    return begins, ends


def _told(row: Record, tell: Callable[[Record], bytes]) -> Record:
    return replace(row, life=replace(row.life, render=tell))


def _texts(row: Record) -> Iterator[Record]:
    """What a card was searched by on its day."""
    day = row.key.partition("/")[2]
    for words in TEXTS:
        text = f"{words} {day}"
        life = replace(row.life, key=f"{row.life.order}/{text}", render=partial(_search_text, text))
        yield replace(row, life=life)


def _campaign_text(campaign: int, days: list[Record]) -> dict[str, object]:
    told = [_day_of_campaign(row) for row in days]
    return {"advertId": campaign, **_sums(Dice(f"{campaign}/{days[0].key}")), "currency": "RUB", "days": told}


def _day_of_campaign(row: Record) -> dict[str, object]:
    sums = _sums(Dice(f"{row.key}/{row.state}"))
    card = {"nmId": 1, "name": "Термос", **sums}
    day = f"{row.key.partition('/')[2]}T00:00:00Z"
    return {"date": day, **sums, "apps": [{"appType": 32, **sums, "nms": [card]}]}


def _sums(dice: Dice) -> dict[str, object]:
    views = dice.number("views", 10, 9000)
    return {
        "views": views,
        "clicks": views // 20,
        "atbs": views // 90,
        "orders": views // 200,
        "shks": views // 200,
        "canceled": 0,
        "sum": verbatim(f"{views // 3}.10"),
        "sum_price": views * 7,
        "cpc": verbatim("4.70"),
        "ctr": verbatim("5.00"),
        "cr": 0,
    }


def _cluster(row: Record) -> dict[str, object]:
    dice = Dice(row.key)
    stat = {"normQuery": dice.pick("words", SUBJECTS), "views": None, "clicks": dice.number("clicks", 0, 90)}
    return {"date": row.key.rpartition("/")[2], "stat": {**stat, "spend": verbatim("108.20"), "ctr": None}}


def _status_text(row: Record) -> bytes:
    supplier, ours = (("new", "waiting"), ("complete", "sorted"))[row.state]
    return encode({"id": row.life.order, "supplierStatus": supplier, "wbStatus": ours, "isCancellable": not row.state})


def _history_text(row: Record) -> bytes:
    dice = Dice(f"history/{row.key}/{row.state}")
    opened = dice.number("opened", 30, 900)
    day = {
        "date": row.key.partition("/")[2],
        "openCount": opened,
        "cartCount": opened // 10,
        "orderCount": opened // 30,
        "orderSum": opened * 100,
        "buyoutCount": row.state,
        "buyoutSum": row.state * 3000,
        "buyoutPercent": 35,
        "addToCartConversion": 10,
        "cartToOrderConversion": 33,
        "addToWishlistCount": dice.number("wishes", 0, 50),
    }
    product: dict[str, object] = {
        "nmId": row.life.order,
        "title": dice.pick("title", SUBJECTS),
        "vendorCode": "ART-1",
        "brandName": "",
        "subjectId": 105,
        "subjectName": "Термосы",
    }
    return encode({"product": product, "history": [day], "currency": "RUB"})


def _search_text(text: str, row: Record) -> bytes:
    dice = Dice(row.key)
    seen = {"current": dice.number("seen", 1, 900), "dynamics": 0, "percentile": 50}
    return encode({"text": text, "nmId": row.life.order, "name": "Термос", "frequency": seen, "openCard": seen})

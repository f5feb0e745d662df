"""Every stream, over TLS, against the sandbox's oracle: all that there is, page by page, from any page on."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from collectors.envelope import rows_in
from collectors.registry import STREAMS
from collectors.stream import Id, IdsOf, ListedBy, Page, Snapshot, Stream, Walk, Watermark, Window
from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.oracle import KEYS, csv_rows
from tests.unit.collectors.walking import Seller, cursor_after

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EPOCH = datetime(2026, 11, 20, tzinfo=UTC)
HISTORY = 35
VOLUMES = {
    "wildberries/orders": 7.0,
    "wildberries/cards": 60.0,
    "wildberries/prices": 30.0,
    "wildberries/fin_detail": 5.0,
    "wildberries/feedbacks": 6.0,
    "wildberries/sales": 7.0,
    "wildberries/sales_funnel": 5.0,
    "wildberries/fbs_orders": 6.0,
    "wildberries/item_returns": 3.0,
    "wildberries/stocks_wb": 20.0,
    "wildberries/stocks_seller": 20.0,
    "wildberries/campaigns": 12.0,
    "wildberries/cards_trash": 2.0,
    "wildberries/fbs_supplies": 2.0,
    "wildberries/questions": 6.0,
    "wildberries/claims": 6.0,
    "ozon/products": 40.0,
    "ozon/fbs_postings": 9.0,
    "ozon/accruals_by_day": 9.0,
    "yandex_market/orders": 5.0,
    "yandex_market/prices": 30.0,
    "yandex_market/returns": 3.0,
    "yandex_market/supply_requests": 20.0,
    "yandex_market/feedback": 3.0,
    "yandex_market/questions": 2.0,
    "yandex_market/united_netting": 4.0,
    "yandex_market/united_marketplace_services": 3.0,
    "yandex_market/united_orders": 3.0,
    "yandex_market/shows_sales": 3.0,
}


@dataclass(frozen=True)
class Case:
    """What the test has to know of a stream: its records' keys in a body, and how far below the vendor's pages are cut.

    `page` is None for what has no pages. `oracle` is how the sandbox calls what the stream asks for. `halved`: how
    often what is asked for at once is halved, so that the ids of a small cabinet make some pages. `few`: into how many
    parts the ids are cut, of each of which one is asked for, where each makes pages of its own.
    """

    keys: Callable[[bytes], Iterable[Any]]
    page: int | None
    oracle: str | None = None
    halved: int = 0
    few: int | None = None


def listed(*path: str, key: str) -> Callable[[bytes], Iterable[Any]]:
    def keys(body: bytes) -> Iterable[Any]:
        found = json.loads(body or "[]")
        for name in path:
            found = found[name]
        return [row[key] for row in found]

    return keys


def keys_of(stream: str) -> Callable[[bytes], Iterable[Any]]:
    return lambda body: KEYS[stream](json.loads(body)) if body else ()


def in_archive(body: bytes) -> Iterable[Any]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return [row["ID"] for row in json.loads(archive.read("Начисления.json"))]


def result(body: bytes) -> Any:
    return json.loads(body)["result"]


def by_warehouse(body: bytes) -> Iterable[Any]:
    return [f"{held['warehouseId']}/{row['offerId']}" for held in result(body)["warehouses"] for row in held["offers"]]


def asked(body: bytes) -> Iterable[Any]:
    return [row["questionIdentifiers"]["id"] for row in result(body)["questions"]]


def rated(body: bytes) -> Iterable[Any]:
    return [
        f"{store['campaignId']}/{mark['calculationDate']}"
        for store in result(body)["campaignRatings"]
        for mark in store["ratings"]
    ]


def realized(body: bytes) -> Iterable[Any]:
    report = json.loads(body)["result"]
    return [f"{report['header']['start_date']}/{row['rowNumber']}" for row in report["rows"]]


def ordered(body: bytes) -> Iterable[Any]:
    return ["/".join(each["id"] for each in row["dimensions"]) for row in json.loads(body)["result"]["data"]]


def first_column(body: bytes) -> Iterable[Any]:
    rows = csv.reader(io.StringIO(body.decode("utf-8-sig")), delimiter=";")
    return [row[0] for row in rows][1:]


def advertised(body: bytes) -> Iterable[Any]:
    """Read the report of a campaign, or of each in a ZIP: its number is in the first line, the last line is a sum."""
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            yield from (key for name in archive.namelist() for key in advertised(archive.read(name)))
        return
    head, _, *rows, _ = body.decode().splitlines()
    campaign = head.partition("№ ")[2].partition(",")[0]
    for day, sku, *_ in (row.split(";") for row in rows):
        yield f"{campaign}/{sku}/{'-'.join(reversed(day.split('.')))}"


def by_id(stream: str, halved: int) -> Case:
    return Case(keys_of(stream), page=None, halved=halved)


CASES = {
    "wildberries/orders": Case(listed(key="srid"), page=11),
    "wildberries/cards": Case(listed("cards", key="nmID"), page=7),
    "wildberries/prices": Case(listed("data", "listGoods", key="nmID"), page=8),
    "wildberries/fin_detail": Case(listed(key="rrdId"), page=13, oracle="period=weekly"),
    "wildberries/order_feed": Case(listed("data", "orders", key="srid"), page=10),
    "wildberries/feedbacks": Case(listed("data", "feedbacks", key="id"), page=9),
    "wildberries/sales": Case(listed(key="saleID"), page=11),
    "wildberries/sales_by_day": Case(keys_of("wildberries/sales_by_day"), page=None),
    "wildberries/sales_funnel": Case(keys_of("wildberries/sales_funnel"), page=2),
    "wildberries/fbs_orders": Case(listed("orders", key="id"), page=8),
    "wildberries/item_returns": Case(listed("report", key="shkId"), page=5),
    "wildberries/stocks_wb": Case(listed("data", "items", key="chrtId"), page=7),
    "wildberries/stocks_seller": Case(listed("data", "items", key="chrtId"), page=7),
    "wildberries/seller_warehouses": Case(listed(key="id"), page=None),
    "wildberries/fbw_supplies": Case(listed(key="preorderID"), page=20),
    "wildberries/tariffs_commission": Case(listed("report", key="subjectID"), page=None),
    "wildberries/tariffs_box": Case(keys_of("wildberries/tariffs_box"), page=None),
    "wildberries/tariffs_pallet": Case(keys_of("wildberries/tariffs_pallet"), page=None),
    "wildberries/tariffs_return": Case(keys_of("wildberries/tariffs_return"), page=None),
    "wildberries/fin_reports": Case(keys_of("wildberries/fin_reports"), page=4),
    "wildberries/fin_detail_by_id": Case(keys_of("wildberries/fin_detail_by_id"), page=13, few=3),
    "wildberries/campaigns": Case(keys_of("wildberries/campaigns"), page=None),
    "wildberries/campaign_info": Case(listed("adverts", key="id"), page=None),
    "wildberries/adv_spend": Case(keys_of("wildberries/adv_spend"), page=None),
    "wildberries/warehouse_remains": Case(keys_of("wildberries/warehouse_remains"), page=None),
    "wildberries/paid_storage": Case(keys_of("wildberries/paid_storage"), page=None),
    "wildberries/acceptance": Case(keys_of("wildberries/acceptance"), page=None),
    "wildberries/seller_info": Case(keys_of("wildberries/seller_info"), page=None),
    "wildberries/balance": Case(keys_of("wildberries/balance"), page=None),
    "wildberries/cards_trash": Case(keys_of("wildberries/cards_trash"), page=7),
    "wildberries/fbs_supplies": Case(keys_of("wildberries/fbs_supplies"), page=8),
    "wildberries/promotions": Case(keys_of("wildberries/promotions"), page=6),
    "wildberries/adv_payments": Case(keys_of("wildberries/adv_payments"), page=None),
    "wildberries/documents": Case(keys_of("wildberries/documents"), page=9),
    "wildberries/acquiring": Case(keys_of("wildberries/acquiring"), page=11),
    "wildberries/deductions": Case(keys_of("wildberries/deductions"), page=4),
    "wildberries/measurement_penalties": Case(keys_of("wildberries/measurement_penalties"), page=4),
    "wildberries/questions": Case(listed("data", "questions", key="id"), page=5),
    "wildberries/claims": Case(listed("claims", key="id"), page=9),
    "wildberries/adv_stats": by_id("wildberries/adv_stats", 4),
    "wildberries/adv_clusters": by_id("wildberries/adv_clusters", 5),
    "wildberries/fbs_order_status": by_id("wildberries/fbs_order_status", 5),
    "wildberries/sales_funnel_history": by_id("wildberries/sales_funnel_history", 4),
    "wildberries/nm_report": Case(lambda body: KEYS["wildberries/nm_report"](csv_rows(body)), page=None),
    "wildberries/stock_history": Case(lambda body: KEYS["wildberries/stock_history"](csv_rows(body)), page=None),
    "wildberries/search_texts": by_id("wildberries/search_texts", 5),
    "ozon/products": Case(listed("result", "items", key="product_id"), page=6),
    "ozon/fbs_postings": Case(listed("postings", key="posting_number"), page=4),
    "ozon/accruals_by_day": Case(listed("accruals", key="accrual_id"), page=4),
    "ozon/product_info": by_id("ozon/product_info", 7),
    "ozon/stocks_fbo": by_id("ozon/stocks_fbo", 3),
    "ozon/stocks_fbs_wh": Case(keys_of("ozon/stocks_fbs_wh"), page=4),
    "ozon/product_queries": by_id("ozon/product_queries", 7),
    "ozon/accruals_postings": by_id("ozon/accruals_postings", 2),
    "ozon/realization_day": Case(keys_of("ozon/realization_day"), page=None),
    "ozon/balance": Case(keys_of("ozon/balance"), page=None),
    "ozon/prices": Case(listed("items", key="product_id"), page=7),
    "ozon/stocks_fbs": Case(listed("items", key="product_id"), page=8),
    "ozon/stocks_fbo_wh": Case(listed("products", key="product_id"), page=9),
    "ozon/fbo_postings": Case(listed("postings", key="posting_number"), page=3),
    "ozon/accrual_types": Case(listed("accrual_types", key="id"), page=None),
    "ozon/realization": Case(realized, page=None),
    "ozon/returns": Case(listed("returns", key="id"), page=3),
    "ozon/analytics": Case(ordered, page=6),
    "ozon/seller_info": Case(lambda body: [json.loads(body)["company"]["inn"]], page=None),
    "ozon/roles": Case(listed("roles", key="name"), page=None),
    "ozon/product_attributes": Case(listed("result", key="id"), page=9),
    "ozon/warehouses": Case(listed("warehouses", key="warehouse_id"), page=2),
    "ozon/supply_orders": Case(lambda body: json.loads(body)["order_ids"], page=4),
    "ozon/realization_posting": Case(
        lambda body: [row["order"]["posting_number"] for row in json.loads(body)["rows"]], page=None
    ),
    "ozon/cash_flow": Case(
        lambda body: [row["period"]["id"] for row in json.loads(body)["result"]["cash_flows"]], page=None
    ),
    "ozon/reviews": Case(listed("reviews", key="id"), page=2),
    "ozon/questions": Case(listed("questions", key="id"), page=2),
    "ozon/returns_rfbs": Case(listed("returns", key="return_id"), page=2),
    "ozon/turnover": Case(listed("items", key="sku"), page=8),
    "ozon/fbo_warehouses": Case(listed("warehouses", key="warehouse_id"), page=None),
    "ozon/products_report": Case(first_column, page=None),
    "ozon/discounted_report": Case(first_column, page=None),
    "ozon/placement_by_products": Case(first_column, page=None),
    "ozon/placement_by_supplies": Case(first_column, page=None),
    "ozon/perf_campaigns": Case(listed("list", key="id"), page=2),
    "ozon/perf_daily": Case(keys_of("ozon/perf_daily"), page=None),
    "ozon/perf_expense": Case(keys_of("ozon/perf_expense"), page=None),
    "ozon/perf_sku": Case(keys_of("ozon/perf_sku"), page=None),
    "ozon/perf_report": Case(advertised, page=None, halved=2),
    "yandex_market/campaigns": Case(listed("campaigns", key="id"), page=2),
    "yandex_market/orders_stats": Case(listed("result", "orders", key="id"), page=5),
    "yandex_market/orders": Case(listed("orders", key="orderId"), page=6),
    "yandex_market/prices": Case(listed("result", "offers", key="offerId"), page=7),
    "yandex_market/returns": Case(listed("result", "returns", key="id"), page=2),
    "yandex_market/supply_requests": Case(lambda body: (row["id"]["id"] for row in result(body)["requests"]), page=4),
    "yandex_market/offers": Case(
        lambda body: (row["offer"]["offerId"] for row in result(body)["offerMappings"]), page=5
    ),
    "yandex_market/campaign_offers": Case(listed("result", "offers", key="offerId"), page=4),
    "yandex_market/sku_stats": by_id("yandex_market/sku_stats", 6),
    "yandex_market/offer_cards": Case(listed("result", "offerCards", key="offerId"), page=9),
    "yandex_market/stocks": Case(by_warehouse, page=4),
    "yandex_market/stocks_v3": Case(listed("result", "offers", key="offerId"), page=3),
    "yandex_market/warehouses": Case(listed("result", "warehouses", key="id"), page=2),
    "yandex_market/fby_warehouses": Case(listed("result", "warehouses", key="id"), page=None),
    "yandex_market/promos": Case(listed("result", "promos", key="id"), page=None),
    "yandex_market/bids": Case(listed("result", "bids", key="sku"), page=6),
    "yandex_market/feedback": Case(listed("result", "feedbacks", key="feedbackId"), page=5),
    "yandex_market/questions": Case(asked, page=4),
    "yandex_market/quality": Case(rated, page=None),
    "yandex_market/united_netting": Case(in_archive, page=None),
    "yandex_market/united_marketplace_services": Case(in_archive, page=None),
    "yandex_market/united_orders": Case(in_archive, page=None),
    "yandex_market/united_returns": Case(in_archive, page=None),
    "yandex_market/shows_sales": Case(in_archive, page=None),
}
ALL = [
    pytest.param(stream, id=f"{marketplace}/{name}")
    for marketplace, streams in STREAMS.items()
    for name, stream in streams.items()
]
WATERMARKS = [param for param in ALL if isinstance(param.values[0].progress, Watermark)]  # type: ignore[union-attr]


def case_of(stream: Stream) -> Case:
    name = f"{stream.marketplace.name}/{stream.name}"
    assert name in CASES, (
        f"{name} has no case here: play it in sandbox/ and say in CASES where the keys of its records stand"
    )
    return CASES[name]


@pytest.fixture(scope="module", params=["empty", "repeat"], ids=["ends empty", "repeats"])
async def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """A clock that stands still, small pages, no limits; both forms of Wildberries' orders."""
    async with _sandbox(tmp_path_factory.mktemp("box"), Clock.frozen(NOON), request.param) as sandbox:
        yield sandbox


def _sandbox(home: Path, clock: Clock, orders_end: Any = "empty") -> Sandbox:
    play = Play(epoch=EPOCH, history_days=HISTORY, volumes=VOLUMES, orders_end=orders_end)
    pages = {name: case.page for name, case in CASES.items() if case.page is not None}
    return Sandbox(home, clock=clock, page_limits=pages, rate_scale=math.inf, play=play)


def _client(box: Sandbox) -> AsyncClient:
    return AsyncClient(verify=box.authority.client_context(), trust_env=False)


@pytest.mark.parametrize("stream", ALL)
async def test_it_brings_exactly_what_the_marketplace_holds(box: Sandbox, stream: Stream) -> None:
    case = case_of(stream)
    async with _client(box) as client:
        seller = Seller(box, client, stream)
        pages, held = 0, 0
        for walk in await walks_of(seller):
            brought = await seller.pages(walk)
            keys = _keys(case, brought)
            if isinstance(stream.progress, Watermark):  # an inclusive bound brings its rows again
                keys = sorted(set(keys))
            expected = seller.held(walk, **_oracle(case))
            if stream.ids is not None and stream.ids.within is not None and walk.window is None:
                asked_for = {str(one) for one in walk.ids}
                expected = [key for key in expected if key.partition("/")[0] in asked_for]  # of older ones nothing is
            assert keys == expected, f"{walk.slice} {walk.window}"
            pages += sum(page.worth_storing for page in brought)
            for page in brought:
                assert_records_are_where_it_says(stream, page)
            held += len(expected)
    assert held > 0, "nothing is held: the test would prove nothing"
    assert pages > 1 or (case.page is None and not case.halved), "one page only: the test would prove little"


@pytest.mark.parametrize("stream", ALL)
async def test_a_restart_at_any_page_loses_and_doubles_nothing(box: Sandbox, stream: Stream) -> None:
    case = case_of(stream)
    async with _client(box) as client:
        seller = Seller(box, client, stream)
        longest = max(
            [(walk, await seller.pages(walk)) for walk in await walks_of(seller)],
            key=lambda found: len(found[1]),
        )
        walk, whole = longest
        for number in range(len(whole) - 1):
            rest = await seller.pages(replace(walk, cursor=cursor_after(whole, number)))
            assert [_told(page) for page in rest] == [_told(page) for page in whole[number + 1 :]]
            assert _keys(case, [*whole[: number + 1], *rest]) == _keys(case, whole)


@pytest.mark.parametrize("stream", WATERMARKS)
async def test_a_watermark_that_is_up_to_date_stores_nothing_until_something_changes(
    tmp_path: Path, stream: Stream
) -> None:
    case, clock = case_of(stream), Clock.frozen(NOON)
    async with _sandbox(tmp_path, clock, "repeat") as box, _client(box) as client:
        seller = Seller(box, client, stream)
        (walk,) = seller.walks(("",))
        at = cursor_after(await seller.pages(walk), -1)
        idle = await seller.pages(replace(walk, cursor=at))
        assert [page.worth_storing for page in idle] == [False]
        clock.advance(timedelta(days=1))
        news = await seller.pages(replace(walk, cursor=cursor_after(idle, -1)))
        assert set(seller.held(walk, start=NOON + timedelta(seconds=1))) <= set(_keys(case, news))
        assert len(seller.held(walk, start=NOON + timedelta(seconds=1))) > 0


@pytest.mark.parametrize("stream", WATERMARKS)
async def test_a_backfill_of_a_watermark_brings_its_window_and_ends(box: Sandbox, stream: Stream) -> None:
    case = case_of(stream)
    window = Window(NOON - timedelta(days=12), NOON - timedelta(days=9))
    async with _client(box) as client:
        seller = Seller(box, client, stream)
        (walk,) = seller.walks(("",))
        pages = await seller.pages(replace(walk, window=window))
        assert pages[-1].last
        held = set(seller.held(replace(walk, window=window)))
    assert held
    assert held <= set(_keys(case, pages))


async def test_a_report_is_created_once_however_often_it_is_polled(tmp_path: Path) -> None:
    stream = STREAMS["yandex_market"]["united_netting"]
    async with _sandbox(tmp_path, Clock.frozen(NOON)) as box, _client(box) as client:
        seller = Seller(box, client, stream)
        (walk,) = seller.walks(("",))
        (page,) = await seller.pages(walk)
        assert box.requests()["yandex_market/united_netting/create"] == 1
        assert box.requests()["yandex_market/united_netting/info"] == 3
    assert page.file_name is not None
    assert page.file_name.endswith(".zip")
    assert [request.signed for request in seller.asked] == [True, True, True, True, False]


async def test_records_that_postgresql_cannot_read_are_paged_like_others(tmp_path: Path) -> None:
    play = Play(epoch=EPOCH, history_days=HISTORY, volumes=VOLUMES, nasty=True)
    stream = STREAMS["wildberries"]["feedbacks"]
    case = case_of(stream)
    sandbox = Sandbox(
        tmp_path, clock=Clock.frozen(NOON), page_limits={"wildberries/feedbacks": 2}, rate_scale=math.inf, play=play
    )
    async with sandbox as box, _client(box) as client:
        seller = Seller(box, client, stream)
        bodies = b""
        for walk in await walks_of(seller):
            pages = await seller.pages(walk)
            assert _keys(case, pages) == seller.held(walk)
            bodies += b"".join(page.answer.body for page in pages)
    assert rb'"\ud83d"' in bodies
    assert rb"\u0000" in bodies


async def slices_of(seller: Seller) -> tuple[str, ...]:
    """Return the slices of a stream; where another stream lists them, as that one lists them now."""
    slices = seller.stream.slices
    if not isinstance(slices, ListedBy):
        return slices
    lister = replace(seller, stream=STREAMS[seller.stream.marketplace.name][slices.stream])
    assert isinstance(lister.stream.progress, Snapshot)
    (walk,) = lister.walks(("",))
    return tuple(name for page in await lister.pages(walk) for name in slices.read(page.answer.body))


def assert_records_are_where_it_says(stream: Stream, page: Page) -> None:
    """Hold what paging counted against what whoever reads the stored page finds."""
    if page.records:
        advice = f"{stream.name} counts records and does not say where: put @records_at over its paging"
        assert stream.records is not None or stream.one_record, advice
        held = 1 if stream.records is None else len(rows_in(page.answer.body, stream.records))
        assert held == page.records


async def walks_of(seller: Seller) -> list[Walk]:
    """Return the walks that a worker would have to make, with the ids that it would give them."""
    walks = seller.walks(await slices_of(seller))
    if seller.stream.ids is None:
        return walks
    listed = {name: await ids_of(seller, seller.stream.ids, name) for name in {walk.slice for walk in walks}}
    case = case_of(seller.stream)
    if case.few is not None:
        listed = {name: ids[:: len(ids) // case.few] for name, ids in listed.items()}
    return [replace(walk, ids=listed[walk.slice], smaller=case.halved) for walk in walks]


async def ids_of(seller: Seller, wanted: IdsOf, slice_: str) -> list[Id]:
    found: set[Id] = set()
    for name in wanted.streams:
        lister = replace(seller, stream=STREAMS[seller.stream.marketplace.name][name])
        walks = [walk for walk in await walks_of(lister) if not wanted.of_slice or walk.slice == slice_]
        for walk in walks:
            stored = [page.answer.body for page in await lister.pages(walk) if page.worth_storing]
            found.update(one for body in stored for one in wanted.read(body))
    assert found, "the other streams bring no ids: the test would prove nothing"
    return sorted(found)


def _keys(case: Case, pages: list[Page]) -> list[str]:
    return sorted(str(key) for page in pages if page.worth_storing for key in case.keys(page.answer.body))


def _told(page: Page) -> tuple[object, ...]:
    kind = page.file_name and Path(page.file_name).suffix  # a report that is made anew has another name
    return page.answer.body, page.records, page.last, page.new, page.declared_total, kind


def _oracle(case: Case) -> dict[str, str]:
    return {} if case.oracle is None else {"slice_": case.oracle}

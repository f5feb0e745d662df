"""Comparing what is in raw.page with what the sandbox holds."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.registry import STREAMS, find_stream
from collectors.stream import Windows
from tests.stage import Account, Stage
from worker.db.bronze import Range, reading
from worker.db.verification import count_stored, differing_pages, differing_walks
from worker.resources import Resources

Keys = Callable[[Any], Iterable[Any]]


def funnel_key(product: Any) -> str:
    """A card and the day that it is told of."""
    return f"{product['product']['nmId']}/{product['statistic']['selected']['period']['start']}"


def warehouse(tariff: Any) -> str:
    return str(tariff["warehouseName"])


KEYS: dict[str, Keys] = {
    "wildberries/orders": lambda page: (row["srid"] for row in page),
    "wildberries/cards": lambda page: (row["nmID"] for row in page["cards"]),
    "wildberries/prices": lambda page: (row["nmID"] for row in page["data"]["listGoods"]),
    "wildberries/fin_detail": lambda page: (row["rrdId"] for row in page),
    "wildberries/order_feed": lambda page: (row["srid"] for row in page["data"]["orders"]),
    "wildberries/feedbacks": lambda page: (row["id"] for row in page["data"]["feedbacks"]),
    "wildberries/sales": lambda page: (row["saleID"] for row in page),
    "wildberries/sales_by_day": lambda page: (row["saleID"] for row in page),
    "wildberries/sales_funnel": lambda page: map(funnel_key, page["data"]["products"]),
    "wildberries/fbs_orders": lambda page: (row["id"] for row in page["orders"]),
    "wildberries/item_returns": lambda page: (row["shkId"] for row in page["report"]),
    "wildberries/stocks_wb": lambda page: (row["chrtId"] for row in page["data"]["items"]),
    "wildberries/stocks_seller": lambda page: (row["chrtId"] for row in page["data"]["items"]),
    "wildberries/seller_warehouses": lambda page: (row["id"] for row in page),
    "wildberries/fbw_supplies": lambda page: (row["preorderID"] for row in page),
    "wildberries/tariffs_commission": lambda page: (row["subjectID"] for row in page["report"]),
    "wildberries/tariffs_box": lambda page: map(warehouse, page["response"]["data"]["warehouseList"]),
    "wildberries/tariffs_pallet": lambda page: map(warehouse, page["response"]["data"]["warehouseList"]),
    "wildberries/tariffs_return": lambda page: map(warehouse, page["response"]["data"]["warehouseList"]),
    "wildberries/fin_reports": lambda page: (row["reportId"] for row in page),
    "wildberries/fin_detail_by_id": lambda page: (f"{row['reportId']}/{row['rrdId']}" for row in page),
    "wildberries/campaigns": lambda page: (
        row["advertId"] for group in page["adverts"] for row in group["advert_list"]
    ),
    "wildberries/campaign_info": lambda page: (row["id"] for row in page["adverts"]),
    "wildberries/adv_spend": lambda page: (f"{row['updNum']}/{row['advertId']}" for row in page),
    "wildberries/warehouse_remains": lambda page: (row["barcode"] for row in page),
    "wildberries/paid_storage": lambda page: (f"{row['date']}/{row['nmId']}" for row in page),
    "wildberries/acceptance": lambda page: (row["incomeId"] for row in page),
    "wildberries/seller_info": lambda page: (page["sid"],),
    "wildberries/balance": lambda page: (page["currency"],),
    "wildberries/cards_trash": lambda page: (row["nmID"] for row in page["cards"]),
    "wildberries/fbs_supplies": lambda page: (row["id"] for row in page["supplies"]),
    "wildberries/promotions": lambda page: (row["id"] for row in page["data"]["promotions"]),
    "wildberries/adv_payments": lambda page: (row["id"] for row in page),
    "wildberries/documents": lambda page: (row["serviceName"] for row in page["data"]["documents"]),
    "wildberries/acquiring": lambda page: (row["rrdId"] for row in page),
    "wildberries/deductions": lambda page: (row["oldShkId"] for row in page["data"]["reports"]),
    "wildberries/measurement_penalties": lambda page: (row["dimId"] for row in page["data"]["reports"]),
    "wildberries/questions": lambda page: (row["id"] for row in page["data"]["questions"]),
    "wildberries/claims": lambda page: (row["id"] for row in page["claims"]),
    "wildberries/adv_stats": lambda page: (
        f"{row['advertId']}/{day['date'][:10]}" for row in page for day in row["days"]
    ),
    "wildberries/adv_clusters": lambda page: (
        f"{row['advertId']}/{row['nmId']}/{day['date']}" for row in page["items"] for day in row["dailyStats"]
    ),
    "wildberries/fbs_order_status": lambda page: (row["id"] for row in page["orders"]),
    "wildberries/sales_funnel_history": lambda page: (
        f"{row['product']['nmId']}/{day['date']}" for row in page for day in row["history"]
    ),
    "wildberries/nm_report": lambda rows: (f"{row['nmID']}/{row['dt']}" for row in rows),
    "wildberries/stock_history": lambda rows: (f"{row['nmID']}/{row['dt']}" for row in rows),
    "wildberries/search_texts": lambda page: (f"{row['nmId']}/{row['text']}" for row in page["data"]["items"]),
    "ozon/product_info": lambda page: (row["id"] for row in page["items"]),
    "ozon/stocks_fbo": lambda page: (row["sku"] for row in page["items"]),
    "ozon/stocks_fbs_wh": lambda page: (row["product_id"] for row in page["stocks"]),
    "ozon/product_queries": lambda page: (row["sku"] for row in page["items"]),
    "ozon/accruals_postings": lambda page: (row["posting_number"] for row in page["posting_accruals"]),
    "ozon/realization_day": lambda page: (row["item"]["barcode"] for row in page["rows"]),
    "ozon/balance": lambda page: (page["total"]["closing_balance"]["value"],),
    "ozon/products": lambda page: (row["product_id"] for row in page["result"]["items"]),
    "ozon/fbs_postings": lambda page: (row["posting_number"] for row in page["postings"]),
    "ozon/accruals_by_day": lambda page: (row["accrual_id"] for row in page["accruals"]),
    "ozon/prices": lambda page: (row["product_id"] for row in page["items"]),
    "ozon/stocks_fbs": lambda page: (row["product_id"] for row in page["items"]),
    "ozon/stocks_fbo_wh": lambda page: (row["product_id"] for row in page["products"]),
    "ozon/fbo_postings": lambda page: (row["posting_number"] for row in page["postings"]),
    "ozon/accrual_types": lambda page: (row["id"] for row in page["accrual_types"]),
    "ozon/realization": lambda page: (
        f"{page['result']['header']['start_date']}/{row['rowNumber']}" for row in page["result"]["rows"]
    ),
    "ozon/returns": lambda page: (row["id"] for row in page["returns"]),
    "ozon/analytics": lambda page: (
        "/".join(each["id"] for each in row["dimensions"]) for row in page["result"]["data"]
    ),
    "ozon/seller_info": lambda page: (page["company"]["inn"],),
    "ozon/roles": lambda page: (row["name"] for row in page["roles"]),
    "ozon/product_attributes": lambda page: (row["id"] for row in page["result"]),
    "ozon/warehouses": lambda page: (row["warehouse_id"] for row in page["warehouses"]),
    "ozon/supply_orders": lambda page: page["order_ids"],
    "ozon/realization_posting": lambda page: (row["order"]["posting_number"] for row in page["rows"]),
    "ozon/cash_flow": lambda page: (row["period"]["id"] for row in page["result"]["cash_flows"]),
    "ozon/reviews": lambda page: (row["id"] for row in page["reviews"]),
    "ozon/questions": lambda page: (row["id"] for row in page["questions"]),
    "ozon/returns_rfbs": lambda page: (row["return_id"] for row in page["returns"]),
    "ozon/turnover": lambda page: (row["sku"] for row in page["items"]),
    "ozon/fbo_warehouses": lambda page: (row["warehouse_id"] for row in page["warehouses"]),
    "ozon/perf_campaigns": lambda page: (row["id"] for row in page["list"]),
    "ozon/perf_daily": lambda page: (f"{row['id']}/{row['date']}" for row in page["rows"]),
    "ozon/perf_expense": lambda page: (f"{row['id']}/{row['date']}" for row in page["rows"]),
    "ozon/perf_sku": lambda page: (f"{row['campaignId']}/{row['sku']}/{row['date']}" for row in page["rows"]),
    "yandex_market/campaigns": lambda page: (row["id"] for row in page["campaigns"]),
    "yandex_market/orders_stats": lambda page: (row["id"] for row in page["result"]["orders"]),
    "yandex_market/orders": lambda page: (row["orderId"] for row in page["orders"]),
    "yandex_market/prices": lambda page: (row["offerId"] for row in page["result"]["offers"]),
    "yandex_market/returns": lambda page: (row["id"] for row in page["result"]["returns"]),
    "yandex_market/supply_requests": lambda page: (row["id"]["id"] for row in page["result"]["requests"]),
    "yandex_market/offers": lambda page: (row["offer"]["offerId"] for row in page["result"]["offerMappings"]),
    "yandex_market/campaign_offers": lambda page: (row["offerId"] for row in page["result"]["offers"]),
    "yandex_market/sku_stats": lambda page: (row["shopSku"] for row in page["result"]["shopSkus"]),
    "yandex_market/offer_cards": lambda page: (row["offerId"] for row in page["result"]["offerCards"]),
    "yandex_market/stocks": lambda page: (
        f"{held['warehouseId']}/{row['offerId']}" for held in page["result"]["warehouses"] for row in held["offers"]
    ),
    "yandex_market/stocks_v3": lambda page: (row["offerId"] for row in page["result"]["offers"]),
    "yandex_market/warehouses": lambda page: (row["id"] for row in page["result"]["warehouses"]),
    "yandex_market/fby_warehouses": lambda page: (row["id"] for row in page["result"]["warehouses"]),
    "yandex_market/promos": lambda page: (row["id"] for row in page["result"]["promos"]),
    "yandex_market/bids": lambda page: (row["sku"] for row in page["result"]["bids"]),
    "yandex_market/feedback": lambda page: (row["feedbackId"] for row in page["result"]["feedbacks"]),
    "yandex_market/questions": lambda page: (row["questionIdentifiers"]["id"] for row in page["result"]["questions"]),
    "yandex_market/quality": lambda page: (
        f"{store['campaignId']}/{mark['calculationDate']}"
        for store in page["result"]["campaignRatings"]
        for mark in store["ratings"]
    ),
}

# How the sandbox's oracle names the slices.
_ORACLE_PREFIX = dict.fromkeys(("ozon/products", "ozon/product_attributes"), "visibility=")


async def stored_keys(
    stage: Stage, account: Account, stream: str, slice_name: str, *, within: timedelta | None = None
) -> set[str]:
    """Return the keys of all records in the current pages of a slice, or of its windows that end `within` this time."""
    name = f"{account.marketplace}/{stream}"
    rows = await stage.rows(
        "SELECT payload::text, body, file_name FROM raw.page"
        " WHERE marketplace_account_id = $1 AND stream = $2 AND slice = $3 AND NOT superseded"
        " AND (upper(time_window) > $4) IS NOT FALSE",
        account.id,
        stream,
        slice_name,
        None if within is None else datetime.now(UTC) - within,
    )
    pages = [
        csv_rows(row["body"])
        if row["body"] is not None and row["body"].startswith(b"PK")
        else json.loads(row["payload"] if row["body"] is None else row["body"])
        for row in rows
    ]
    return {str(key) for page in pages for key in KEYS[name](page)}


async def held_keys(stage: Stage, account: Account, stream: str, slice_name: str) -> set[str]:
    """Return the keys of what the sandbox holds in the time that the slice has covered."""
    name = f"{account.marketplace}/{stream}"
    slice_ = _ORACLE_PREFIX.get(name, "") + slice_name
    declared = find_stream(account.marketplace, stream)
    if not isinstance(declared.progress, Windows):
        held = set(stage.box.records(account.marketplace, account.seller, stream, slice_=slice_))
        if declared.ids is None or declared.ids.within is None:
            return held
        listed = {
            key
            for name in declared.ids.streams
            for slice_name in await slices_of(stage, account, name)
            for key in await stored_keys(stage, account, name, slice_name, within=declared.ids.within)
        }
        return {key for key in held if key.partition("/")[0] in listed}
    spans = await stage.rows(
        "SELECT lower(span) AS since, upper(span) AS until FROM collect.coverage, unnest(covered) span"
        " WHERE marketplace_account_id = $1 AND stream = $2 AND slice = $3",
        account.id,
        stream,
        slice_name,
    )
    assert spans, f"{name}[{slice_name}] has covered nothing"
    return {
        key
        for span in spans
        for key in stage.box.records(
            account.marketplace, account.seller, stream, slice_=slice_, start=span["since"], end=span["until"]
        )
    }


async def slices_of(stage: Stage, account: Account, stream: str) -> list[str]:
    rows = await stage.rows(
        "SELECT slice FROM collect.stream_state"
        " WHERE marketplace_account_id = $1 AND stream = $2 AND lane = 'live' ORDER BY slice",
        account.id,
        stream,
    )
    return [row["slice"] for row in rows]


async def assert_whole(stage: Stage, account: Account, streams: Iterable[str]) -> None:
    """Assert that each slice's current pages hold exactly what the sandbox holds."""
    for stream in streams:
        for slice_name in await slices_of(stage, account, stream):
            stored = await stored_keys(stage, account, stream, slice_name)
            held = await held_keys(stage, account, stream, slice_name)
            assert stored == held, (
                f"{account.marketplace}/{stream}[{slice_name}]: {len(held - stored)} lost, "
                f"{len(stored - held)} that the sandbox does not hold"
            )
            assert held or slice_name, f"{account.marketplace}/{stream} is empty: the test would prove nothing"


async def assert_verified(stage: Stage, resources: Resources, account: Account) -> None:
    """Assert that `collector verify` would find nothing."""
    since = until = datetime.now(UTC)
    wanted = Range(accounts=[account.id], since=since - timedelta(days=1), until=until + timedelta(days=1))
    async with reading(resources.sessions, account.organization_id) as session:
        rows = await count_stored(session, wanted)
        pages = differing_pages(
            session, wanted, lambda _, name: STREAMS[account.marketplace][name], checked=lambda: None
        )
        assert [said async for said in pages] == []
        assert [said async for said in differing_walks(session, wanted)] == []
    assert rows == await stage.value("SELECT count(*) FROM raw.payload") > 0


async def assert_honest(stage: Stage) -> None:
    """Assert that every stored hash was served and that no page of a walk stands twice."""
    served = {answer.sha256 for answer in stage.box.served()}
    stored = await stage.rows("SELECT DISTINCT encode(sha256, 'hex') AS digest FROM raw.payload")
    assert stored, "nothing is stored: the test would prove nothing"
    assert {row["digest"] for row in stored} <= served
    wrong = await stage.rows(
        "SELECT id FROM raw.page WHERE sha256 <> sha256(coalesce(convert_to(payload::text, 'UTF8'), body))"
    )
    assert wrong == [], "stored bytes are not those of their hash"
    doubled = await stage.rows(
        "SELECT walk_id, page_number, part FROM raw.payload WHERE walk_id IS NOT NULL"
        " GROUP BY walk_id, page_number, part HAVING count(*) > 1"
    )
    assert doubled == []
    endless = await stage.rows(
        "SELECT page_number FROM raw.payload WHERE walk_id IS NULL"
        " GROUP BY marketplace_account_id, stream, slice, lane, page_number, part HAVING count(*) > 1"
    )
    assert endless == [], "a page of a watermark is stored twice"


def csv_rows(archive: bytes) -> list[dict[str, str]]:
    """Return the rows of the only file in a ZIP."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        (name,) = opened.namelist()
        return list(csv.DictReader(io.StringIO(opened.read(name).decode())))


def netted_order_ids(archive: bytes) -> list[str]:
    """Return the names of the sheets of a payments report, to show that the ZIP is whole."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return opened.namelist()

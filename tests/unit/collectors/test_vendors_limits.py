"""The limits that we count are those of the vendors' documents, and answers cost what the vendor charges for them."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.registry import STREAMS
from collectors.stream import Bucket, Rate, Request
from collectors.wildberries.api import FINANCE, STATISTICS, WILDBERRIES
from collectors.yandex_market.stores import businesses
from tests.unit.collectors.scripted import answer_of

SPECS = Path(__file__).resolve().parents[4] / "shared" / "specs"
WILDBERRIES_PATHS = {
    "orders": "/api/v1/supplier/orders",
    "cards": "/content/v2/get/cards/list",
    "prices": "/api/v2/list/goods/filter",
    "fin_detail": "/api/finance/v1/sales-reports/detailed",
    "order_feed": "/api/analytics/v1/order-feed",
    "feedbacks": "/api/v1/feedbacks",
    "sales": "/api/v1/supplier/sales",
    "sales_by_day": "/api/v1/supplier/sales",
    "sales_funnel": "/api/analytics/v3/sales-funnel/products",
    "fbs_orders": "/api/v3/orders",
    "stocks_wb": "/api/analytics/v1/stocks-report/wb-warehouses",
    "seller_warehouses": "/api/v3/warehouses",
    "fbw_supplies": "/api/v1/supplies",
    "tariffs_commission": "/api/v1/tariffs/commission",
    "tariffs_box": "/api/v1/tariffs/box",
    "tariffs_pallet": "/api/v1/tariffs/pallet",
    "tariffs_return": "/api/v1/tariffs/return",
    "fin_reports": "/api/finance/v1/sales-reports/list",
    "fin_detail_by_id": "/api/finance/v1/sales-reports/detailed/{reportId}",
    "campaigns": "/adv/v1/promotion/count",
    "campaign_info": "/api/advert/v2/adverts",
    "adv_spend": "/adv/v1/upd",
    "warehouse_remains": "/api/v1/warehouse_remains",
    "paid_storage": "/api/v1/paid_storage",
    "acceptance": "/api/v1/acceptance_report",
    "seller_info": "/api/v1/seller-info",
    "cards_trash": "/content/v2/get/cards/trash",
    "fbs_supplies": "/api/v3/supplies",
    "promotions": "/api/v1/calendar/promotions",
    "adv_payments": "/adv/v1/payments",
    "documents": "/api/v1/documents/list",
    "acquiring": "/api/finance/v1/acquiring/detailed",
    "balance": "/api/v1/account/balance",
    "deductions": "/api/analytics/v1/deductions",
    "measurement_penalties": "/api/analytics/v1/measurement-penalties",
    "questions": "/api/v1/questions",
    "claims": "/api/v1/claims",
    "adv_stats": "/adv/v3/fullstats",
    "adv_clusters": "/adv/v1/normquery/stats",
    "fbs_order_status": "/api/v3/orders/status",
    "sales_funnel_history": "/api/analytics/v3/sales-funnel/products/history",
    "search_texts": "/api/v2/search-report/product/search-texts",
    "nm_report": "/api/v2/nm-report/downloads",
    "stock_history": "/api/v2/nm-report/downloads",
}
# Came after that document: its limits stand in a text of October 2026, "1 minute | 3 requests | 20 s | 1 request".
WILDBERRIES_LATER = {
    "stocks_seller": Rate(timedelta(seconds=20)),
    "item_returns": Rate(timedelta(minutes=1), 10),
}
YANDEX_MARKET_PATHS = {
    "campaigns": "/v2/campaigns",
    "orders_stats": "/v2/campaigns/{campaignId}/stats/orders",
    "orders": "/v1/businesses/{businessId}/orders",
    "prices": "/v2/businesses/{businessId}/offer-prices",
    "united_netting": "/v2/reports/united-netting/generate",
    "united_marketplace_services": "/v2/reports/united-marketplace-services/generate",
    "united_orders": "/v2/reports/united-orders/generate",
    "united_returns": "/v2/reports/united-returns/generate",
    "shows_sales": "/v2/reports/shows-sales/generate",
    "returns": "/v2/campaigns/{campaignId}/returns",
    "supply_requests": "/v2/campaigns/{campaignId}/supply-requests",
    "offers": "/v2/businesses/{businessId}/offer-mappings",
    "campaign_offers": "/v2/campaigns/{campaignId}/offers",
    "sku_stats": "/v2/campaigns/{campaignId}/stats/skus",
    "offer_cards": "/v2/businesses/{businessId}/offer-cards",
    "stocks": "/v2/campaigns/{campaignId}/offers/stocks",
    "stocks_v3": "/v3/businesses/{businessId}/offers/stocks",
    "warehouses": "/v3/businesses/{businessId}/warehouses",
    "fby_warehouses": "/v2/warehouses",
    "promos": "/v2/businesses/{businessId}/promos",
    "bids": "/v2/businesses/{businessId}/bids/info",
    "feedback": "/v2/businesses/{businessId}/goods-feedback",
    "questions": "/v1/businesses/{businessId}/goods-questions",
    "quality": "/v2/businesses/{businessId}/ratings/quality",
}
# What the quota counts, if not requests.
COUNTED = {"orders_stats": "orders", "prices": "offers", "stocks": "warehouses.offers.offerId", "sku_stats": "shopSkus"}

beside_specs = pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' documents are not beside this checkout")


def own_bucket(marketplace: str, stream: str) -> Bucket:
    (bucket,) = STREAMS[marketplace][stream].buckets
    return bucket


def operation(marketplace: str, path: str) -> dict[str, Any]:
    document = json.loads((SPECS / marketplace / "rate-limits.json").read_bytes())
    found: dict[str, Any] = next(
        each for each in document["operations"] if each["path"] == path and each["method"] != "PUT"
    )
    return found


def test_every_stream_with_a_bucket_of_its_own_is_compared() -> None:
    assert set(WILDBERRIES_PATHS) | set(WILDBERRIES_LATER) == set(STREAMS["wildberries"])
    assert set(YANDEX_MARKET_PATHS) == set(STREAMS["yandex_market"])


@beside_specs
@pytest.mark.parametrize("stream", WILDBERRIES_PATHS)
def test_a_stream_of_wildberries_has_the_documents_limit_for_each_type_of_token(stream: str) -> None:
    bucket, told = own_bucket("wildberries", stream), operation("wildberries", WILDBERRIES_PATHS[stream])
    assert bucket.cost(answer_of(b"", status=400)) == told["four_xx_counts_as"]
    assert bucket.cost(answer_of(b"", status=503)) == bucket.cost(answer_of(b"[]")) == 1
    for each in told["limits"]:
        types = ("base", "personal", "service") if each["token_type"] == "*" else (each["token_type"],)
        for token_type in types:
            if token_type == "base-with-secret":
                continue
            rate = bucket.rate_for(token_type)
            assert abs(rate.every.total_seconds() - each["interval_s"]) < 0.001
            assert rate.burst == each["burst"]


@pytest.mark.parametrize("stream", WILDBERRIES_LATER)
def test_a_younger_stream_of_wildberries_has_the_limit_that_its_text_tells(stream: str) -> None:
    assert own_bucket("wildberries", stream).rate_for("personal") == WILDBERRIES_LATER[stream]


@beside_specs
@pytest.mark.parametrize("stream", YANDEX_MARKET_PATHS)
def test_a_stream_of_yandex_market_stays_within_its_quota_and_uses_it(stream: str) -> None:
    bucket, told = own_bucket("yandex_market", stream), operation("yandex-market", YANDEX_MARKET_PATHS[stream])
    amount, per = told["none"]["amount"], timedelta(seconds=told["none"]["window_s"])
    most = (bucket.rate.burst - 1 or 1) + per // bucket.rate.every if amount > 1 else per // bucket.rate.every
    assert 0.95 * amount <= most <= amount
    # The document counts requests for `orders_stats`, its page for people orders, which are reached sooner.
    assert told["counts"] in {"resp", f"resp.result.{COUNTED.get(stream)}"}
    assert (bucket.most > 1) == (stream in COUNTED)


@pytest.mark.parametrize("stream", COUNTED)
def test_what_is_booked_is_the_page_that_is_asked_for_and_two_fit_at_once(stream: str) -> None:
    bucket = own_bucket("yandex_market", stream)
    assert bucket.most == {"orders_stats": 200, "prices": 500, "stocks": 100, "sku_stats": 500}[stream]
    assert bucket.rate.burst > bucket.most


@pytest.mark.parametrize("stream", ["orders_stats", "prices"])
def test_an_answer_costs_the_items_that_it_holds(stream: str) -> None:
    bucket, name = own_bucket("yandex_market", stream), COUNTED[stream]

    def cost(body: bytes, status: int = 200) -> int:
        return bucket.cost(answer_of(body, status=status))

    assert cost(json.dumps({"result": {name: [{"id": number} for number in range(7)]}}).encode()) == 7
    assert cost(b'{"result":{"%s":[{"odd":NaN},{}]}}' % name.encode()) == 2
    assert cost(b'{"result":{"%s":[]}}' % name.encode()) == 1, "an empty page is not free to ask for again and again"
    assert cost(b'{"status":"ERROR"}', status=420) == 1


def test_stocks_cost_each_good_once_for_each_warehouse() -> None:
    bucket = own_bucket("yandex_market", "stocks")
    warehouses = [{"warehouseId": 1, "offers": [{}, {}]}, {"warehouseId": 2, "offers": [{}]}]
    assert bucket.cost(answer_of(json.dumps({"result": {"warehouses": warehouses}}).encode())) == 3
    assert bucket.cost(answer_of(b'{"result":{"warehouses":[]}}')) == 1
    assert bucket.cost(answer_of(b'{"result":{"warehouses":[{"warehouseId":1}]}}')) == bucket.most


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"result":{}}', b'{"result":{"orders":7,"offers":7}}', b"{"])
@pytest.mark.parametrize("stream", COUNTED)
def test_an_answer_that_cannot_be_read_costs_what_was_asked_for(stream: str, body: bytes) -> None:
    bucket = own_bucket("yandex_market", stream)
    assert bucket.cost(answer_of(body)) == bucket.most


def token(acc: int) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"acc": acc}).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def test_the_type_of_token_is_that_of_the_one_which_signs_the_request() -> None:
    secret = {"token": token(3), "finance": token(1)}

    def token_type(host: str, **fields: str) -> str:
        return WILDBERRIES.token_type({**secret, **fields}, Request(method="GET", host=host, path="/"))

    assert (token_type(STATISTICS), token_type(FINANCE)) == ("personal", "base")
    assert own_bucket("wildberries", "fin_detail").rate_for(token_type(FINANCE)) == Rate(timedelta(hours=12))
    assert [token_type(FINANCE, finance=token(acc)) for acc in (2, 4, 9)] == ["test", "service", ""]
    for odd in ("", "opaque", "a.b.c", "é.é.é", "a.bnVsbA.c"):
        assert token_type(FINANCE, finance=odd) == ""


def test_a_page_of_stores_says_whose_they_are() -> None:
    body = b'{"campaigns":[{"id":1,"business":{"id":77}},{"id":2,"business":{"id":78}},{"id":3,"business":{"id":77}}]}'
    assert set(STREAMS["yandex_market"]["campaigns"].sellers(answer_of(body))) == {"77", "78"}


@pytest.mark.parametrize(
    "body", [b'{"campaigns":[{"id":1}]}', b'{"campaigns":[]}', b"{", b"", b"\xff", b'{"campaigns":[{"id":"x"}]}']
)
def test_a_page_of_stores_that_does_not_say_so_or_cannot_be_read_names_nobody(body: bytes) -> None:
    assert set(businesses(answer_of(body))) == set()

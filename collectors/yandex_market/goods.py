"""The catalogue: goods, their cards, prices and stocks, and what promotes them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collectors.fanout import by_ids
from collectors.paging import post
from collectors.stream import IdsOf, Snapshot, Stream
from collectors.windows import days, hours, minutes
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota, quota_of_items
from collectors.yandex_market.paging import page_token, paged
from collectors.yandex_market.stores import EACH_STORE, EACH_WAREHOUSE


class _Offer(msgspec.Struct):
    offerId: str  # noqa: N815 - the vendor's spelling


class _Offers(msgspec.Struct):
    offers: list[_Offer]


class _OfferPage(msgspec.Struct):
    result: _Offers


def offer_ids(body: bytes) -> Iterable[str]:
    """Read the ids of the goods that a page of `campaign_offers` lists."""
    return [offer.offerId for offer in msgspec.json.decode(body, type=_OfferPage).result.offers]


OFFERS = Stream(
    marketplace=YANDEX_MARKET,
    name="offers",
    about="the catalogue and its cards on the Market, in the archive or not",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/business-offer-mappings/getOfferMappings",
    slices=("archived=false", "archived=true"),
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/offer-mappings",
            lambda walk, _: {"archived": walk.slice == "archived=true"},
            query=page_token(100),
        ),
        rows="result.offerMappings",
    ),
    buckets=(quota("offers", amount=100, per=minutes(1)),),
    every=hours(12),
    needs="offers-and-cards-management",
)

CAMPAIGN_OFFERS = Stream(
    marketplace=YANDEX_MARKET,
    name="campaign_offers",
    about="goods in each store: status and the store's own price",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/offers/getCampaignOffers",
    slices=EACH_STORE,
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/offers",
            lambda _, __: {},  # the body is required, all its filters are not
            query=page_token(200),
        ),
        rows="result.offers",
    ),
    buckets=(quota("campaign_offers", amount=1000, per=minutes(1)),),
    every=hours(6),
    needs="offers-and-cards-management",
    priority=2,
)

SKU_STATS = Stream(
    marketplace=YANDEX_MARKET,
    name="sku_stats",
    about="goods in each store: what they weigh, where they are stored, what the Market takes for them",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/goods-stats/getGoodsStats",
    slices=EACH_STORE,
    progress=Snapshot(),
    ids=IdsOf(streams=("campaign_offers",), read=offer_ids, of_slice=True),
    paging="ids of the store's campaign_offers, 500 at a time",
    pages=by_ids(
        post(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/stats/skus",
            lambda _, at: {"shopSkus": at["ids"]},
        ),
        rows="result.shopSkus",
        size=500,
    ),
    buckets=(quota_of_items("sku_stats", amount=2000, per=minutes(1), page=500, rows="result.shopSkus"),),
    every=hours(12),
    needs="offers-and-cards-management",
    priority=3,
)

OFFER_CARDS = Stream(
    marketplace=YANDEX_MARKET,
    name="offer_cards",
    about="state of each card's content: rating, characteristics, errors",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/content/getOfferCardsContentStatus",
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/offer-cards",
            lambda _, __: {},
            query=page_token(200),
        ),
        rows="result.offerCards",
    ),
    buckets=(quota("offer_cards", amount=100, per=minutes(1)),),
    every=days(1),
    needs="offers-and-cards-management",
    priority=3,
)

PRICES = Stream(
    marketplace=YANDEX_MARKET,
    name="prices",
    about="prices of the whole catalogue",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/prices/getDefaultPrices",
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/offer-prices",
            lambda _, __: {"archived": False},
            query=page_token(500),
        ),
        rows="result.offers",
    ),
    buckets=(quota_of_items("prices", amount=5000, per=minutes(1), page=500, rows="result.offers"),),
    every=hours(6),
    needs="pricing",
)

STOCKS = Stream(
    marketplace=YANDEX_MARKET,
    name="stocks",
    about="stocks of each store; for FBS, DBS and Express where the cabinet has groups of warehouses",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/stocks/getStocks",
    slices=EACH_STORE,
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/campaigns/{walk.slice}/offers/stocks",
            lambda _, __: {},
            query=page_token(100),
        ),
        rows="result.warehouses",
    ),
    buckets=(
        quota_of_items("stocks", amount=100_000, per=minutes(1), page=100, rows="result.warehouses", within="offers"),
    ),
    every=hours(1),
    needs="offers-and-cards-management",
)

STOCKS_V3 = Stream(
    marketplace=YANDEX_MARKET,
    name="stocks_v3",
    about="stocks of each of the seller's warehouses, of a cabinet without groups of them",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/stocks/getStocksOnPartnerWarehouses",
    slices=EACH_WAREHOUSE,
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v3/businesses/{walk.seller}/offers/stocks",
            lambda walk, _: {"partnerWarehouseId": int(walk.slice)},
            query=page_token(100),
        ),
        rows="result.offers",
    ),
    buckets=(quota("stocks_v3", amount=500, per=minutes(1)),),
    every=hours(1),
    needs="offers-and-cards-management",
)

PROMOS = Stream(
    marketplace=YANDEX_MARKET,
    name="promos",
    about="the Market's promos that the seller is in or may join",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/promos/getPromos",
    progress=Snapshot(),
    paging="all at once",
    pages=paged(
        post(PARTNER, lambda walk, _: f"/v2/businesses/{walk.seller}/promos", lambda _, __: {}),
        rows="result.promos",
    ),
    buckets=(quota("promos", amount=1000, per=hours(1)),),
    every=hours(12),
    needs="promotion or pricing",
    priority=3,
)

BIDS = Stream(
    marketplace=YANDEX_MARKET,
    name="bids",
    about="bids of goods that are set through the API",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/bids/getBidsInfoForBusiness",
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/bids/info",
            lambda _, __: {},
            query=page_token(500),
        ),
        rows="result.bids",
    ),
    buckets=(quota("bids", amount=500, per=minutes(1)),),
    every=hours(12),
    needs="promotion or pricing",
    priority=3,
)

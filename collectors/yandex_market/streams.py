"""The streams of Yandex Market. The seller is the business (cabinet); its stores are campaigns."""

from __future__ import annotations

from collectors.yandex_market.goods import (
    BIDS,
    CAMPAIGN_OFFERS,
    OFFER_CARDS,
    OFFERS,
    PRICES,
    PROMOS,
    SKU_STATS,
    STOCKS,
    STOCKS_V3,
)
from collectors.yandex_market.opinions import FEEDBACK, QUESTIONS
from collectors.yandex_market.orders import ORDERS, ORDERS_STATS, RETURNS, SUPPLY_REQUESTS
from collectors.yandex_market.reports import (
    SHOWS_SALES,
    UNITED_MARKETPLACE_SERVICES,
    UNITED_NETTING,
    UNITED_ORDERS,
    UNITED_RETURNS,
)
from collectors.yandex_market.stores import CAMPAIGNS, FBY_WAREHOUSES, QUALITY, WAREHOUSES

STREAMS = (
    CAMPAIGNS,
    ORDERS_STATS,
    ORDERS,
    RETURNS,
    SUPPLY_REQUESTS,
    OFFERS,
    CAMPAIGN_OFFERS,
    SKU_STATS,
    OFFER_CARDS,
    PRICES,
    STOCKS,
    WAREHOUSES,
    STOCKS_V3,
    FBY_WAREHOUSES,
    PROMOS,
    BIDS,
    FEEDBACK,
    QUESTIONS,
    QUALITY,
    UNITED_NETTING,
    UNITED_MARKETPLACE_SERVICES,
    UNITED_ORDERS,
    UNITED_RETURNS,
    SHOWS_SALES,
)

"""The stores of a business, its warehouses and those of the Market."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collectors.paging import get, post
from collectors.stream import Answer, ListedBy, Snapshot, Stream, Windows
from collectors.windows import MOSCOW, days, hours
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota
from collectors.yandex_market.paging import moscow_day, page_token, paged


class _Business(msgspec.Struct):
    id: int


class _Campaign(msgspec.Struct):
    id: int
    business: _Business | None = None


class _Campaigns(msgspec.Struct):
    campaigns: list[_Campaign]


class _Warehouse(msgspec.Struct):
    id: int


class _Listed(msgspec.Struct):
    warehouses: list[_Warehouse]


class _Warehouses(msgspec.Struct):
    result: _Listed


def campaign_ids(body: bytes) -> Iterable[str]:
    """Read the names of the slices that a page of `campaigns` lists."""
    return [str(campaign.id) for campaign in msgspec.json.decode(body, type=_Campaigns).campaigns]


def warehouse_ids(body: bytes) -> Iterable[str]:
    """Read the names of the slices that a page of `warehouses` lists."""
    return [str(warehouse.id) for warehouse in msgspec.json.decode(body, type=_Warehouses).result.warehouses]


def businesses(answer: Answer) -> Iterable[str]:
    """Read whose stores a page of `campaigns` lists. One that does not say so, or cannot be read, names nobody."""
    try:
        campaigns = msgspec.json.decode(answer.body, type=_Campaigns).campaigns
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    return {str(campaign.business.id) for campaign in campaigns if campaign.business is not None}


EACH_STORE = ListedBy(stream="campaigns", read=campaign_ids)
EACH_WAREHOUSE = ListedBy(stream="warehouses", read=warehouse_ids)

CAMPAIGNS = Stream(
    marketplace=YANDEX_MARKET,
    name="campaigns",
    about="stores of the key",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/campaigns/getCampaigns",
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(get(PARTNER, "/v2/campaigns", page_token(100)), rows="campaigns"),
    buckets=(quota("campaigns", amount=1000, per=hours(1)),),
    sellers=businesses,  # no other answer of ours has the id of the business in it
    every=hours(6),
)

WAREHOUSES = Stream(
    marketplace=YANDEX_MARKET,
    name="warehouses",
    about="the seller's own warehouses, of a cabinet without groups of them",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/warehouses/getPartnerWarehouses",
    progress=Snapshot(),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v3/businesses/{walk.seller}/warehouses",
            lambda _, __: {"components": ["ADDRESS"]},
            query=page_token(30),
        ),
        rows="result.warehouses",
    ),
    buckets=(quota("warehouses", amount=100, per=hours(1)),),
    every=hours(12),
    needs="inventory-and-order-processing",
    priority=2,
)

FBY_WAREHOUSES = Stream(
    marketplace=YANDEX_MARKET,
    name="fby_warehouses",
    about="the Market's own warehouses",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/warehouses/getFulfillmentWarehouses",
    progress=Snapshot(),
    paging="all at once",
    pages=paged(get(PARTNER, "/v2/warehouses", lambda _, __: {}), rows="result.warehouses"),
    buckets=(quota("fby_warehouses", amount=100, per=hours(1)),),
    every=days(1),
    priority=3,
)

QUALITY = Stream(
    marketplace=YANDEX_MARKET,
    name="quality",
    about="quality index of each store, day by day",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/ratings/getQualityRatings",
    slices=EACH_STORE,
    progress=Windows(longest=days(30), grain=days(1), zone=MOSCOW, since=days(28), kept=days(30), lag=hours(12)),
    paging="all days of a window at once",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/ratings/quality",
            lambda walk, _: {
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive, as where this API says so for days
                "campaignIds": [int(walk.slice)],
            },
        ),
        rows="result.campaignRatings",
    ),
    buckets=(quota("quality", amount=500, per=hours(1)),),
    every=days(1),
    needs="inventory-and-order-processing or settings-management",
    priority=3,
)

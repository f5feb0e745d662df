"""What streams of Wildberries list for others: campaigns, the cards in them, cards, assembly tasks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collectors.stream import IdsOf
from collectors.windows import days

_HAVE_RUN = frozenset({7, 9, 11})  # over, active, paused: others have no statistics


class _Advert(msgspec.Struct):
    advertId: int  # noqa: N815 - the vendor's spelling


class _Group(msgspec.Struct):
    status: int
    advert_list: list[_Advert] | None = None


class _Campaigns(msgspec.Struct):
    adverts: list[_Group] | None = None  # null where there are none


class _Goods(msgspec.Struct):
    nm_id: int


class _Campaign(msgspec.Struct):
    id: int
    status: int
    nm_settings: list[_Goods] | None = None


class _Settings(msgspec.Struct):
    adverts: list[_Campaign]


class _Card(msgspec.Struct):
    nmId: int  # noqa: N815 - the vendor's spelling


class _Seen(msgspec.Struct):
    product: _Card


class _Funnel(msgspec.Struct):
    products: list[_Seen]


class _FunnelPage(msgspec.Struct):
    data: _Funnel


class _Task(msgspec.Struct):
    id: int


class _Tasks(msgspec.Struct):
    orders: list[_Task]


def campaign_ids(body: bytes) -> Iterable[int]:
    """Read the campaigns that have statistics from a page of `campaigns`."""
    groups = msgspec.json.decode(body, type=_Campaigns).adverts or ()
    return [one.advertId for group in groups if group.status in _HAVE_RUN for one in group.advert_list or ()]


def campaigns_with_goods(body: bytes) -> Iterable[str]:
    """Read "campaign/card" of each card in a campaign that has statistics from a page of `campaign_info`."""
    campaigns = msgspec.json.decode(body, type=_Settings).adverts
    return [
        f"{campaign.id}/{goods.nm_id}"
        for campaign in campaigns
        if campaign.status in _HAVE_RUN
        for goods in campaign.nm_settings or ()
    ]


def pair(name: str) -> dict[str, int]:
    """Make what is asked for of "campaign/card"."""
    campaign, _, card = name.partition("/")
    return {"advertId": int(campaign), "nmId": int(card)}


def cards_seen(body: bytes) -> Iterable[int]:
    return [seen.product.nmId for seen in msgspec.json.decode(body, type=_FunnelPage).data.products]


def task_ids(body: bytes) -> Iterable[int]:
    return [task.id for task in msgspec.json.decode(body, type=_Tasks).orders]


CAMPAIGN_IDS = IdsOf(streams=("campaigns",), read=campaign_ids)
CAMPAIGNS_WITH_GOODS = IdsOf(streams=("campaign_info",), read=campaigns_with_goods, example="1/1")
# The funnel needs the same token as those who ask for its cards, and has no card that nobody can have searched for.
CARDS_SEEN = IdsOf(streams=("sales_funnel",), read=cards_seen, within=days(8))
TASK_IDS = IdsOf(streams=("fbs_orders",), read=task_ids, within=days(30))

"""Streams of Wildberries: advertising."""

from __future__ import annotations

from collectors.fanout import by_ids
from collectors.paging import at_once, by_offset, get, post
from collectors.stream import Snapshot, Stream, Walk, Windows
from collectors.wildberries.api import ADVERT, CALENDAR, WILDBERRIES, limit
from collectors.wildberries.listed import CAMPAIGN_IDS, CAMPAIGNS_WITH_GOODS, pair
from collectors.wildberries.times import moscow_day
from collectors.windows import MOSCOW, days, hours, minutes, seconds


def _period(walk: Walk, _: object) -> dict[str, str]:
    return {"from": moscow_day(walk.span.start), "to": moscow_day(walk.span.end - days(1))}  # inclusive


CAMPAIGNS = Stream(
    marketplace=WILDBERRIES,
    name="campaigns",
    about="ids of advertising campaigns, by type and status",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/campaigns",
    progress=Snapshot(),
    paging="one answer",
    pages=at_once(get(ADVERT, "/adv/v1/promotion/count"), rows="adverts", count="all"),
    buckets=(limit("campaigns", every=seconds(0.2), burst=5, base=minutes(15)),),
    every=hours(3),
    needs="promotion",
)

CAMPAIGN_INFO = Stream(
    marketplace=WILDBERRIES,
    name="campaign_info",
    about="settings and bids of all advertising campaigns",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/campaigns",
    progress=Snapshot(),
    paging="one answer",
    pages=at_once(get(ADVERT, "/api/advert/v2/adverts"), rows="adverts"),  # ids, statuses are filters: none is all
    buckets=(limit("campaign_info", every=seconds(0.2), burst=5, base=hours(1)),),
    every=hours(6),
    needs="promotion",
)

# Clicks are checked, and orders of the days before still come in.
_STATISTICS = Windows(
    longest=days(7),  # at most 31
    grain=days(1),
    zone=MOSCOW,
    since=days(28),
    lag=hours(1),
    restated=((days(7), days(1)), (days(28), days(7))),
)

ADV_STATS = Stream(
    marketplace=WILDBERRIES,
    name="adv_stats",
    about="views, clicks and orders of each campaign by day, platform and card",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/statistics",
    progress=_STATISTICS,
    ids=CAMPAIGN_IDS,
    paging="ids of campaigns, 50 at a time",
    pages=by_ids(
        get(
            ADVERT,
            "/adv/v3/fullstats",
            lambda walk, at: {
                "ids": ",".join(map(str, at["ids"])),
                "beginDate": moscow_day(walk.span.start),
                "endDate": moscow_day(walk.span.end - days(1)),  # inclusive
            },
        ),
        rows="",
        size=50,
    ),
    buckets=(limit("adv_stats", every=seconds(20), burst=1, base=hours(1)),),
    every=hours(6),
    needs="promotion",
)

ADV_CLUSTERS = Stream(
    marketplace=WILDBERRIES,
    name="adv_clusters",
    about="views, clicks and orders of each card in a campaign by day and cluster of searches",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/statistics",
    progress=_STATISTICS,
    ids=CAMPAIGNS_WITH_GOODS,
    paging="campaigns and cards of campaign_info, 100 at a time",
    pages=by_ids(
        post(
            ADVERT,
            "/adv/v1/normquery/stats",
            lambda walk, at: {**_period(walk, at), "items": [pair(one) for one in at["ids"]]},
        ),
        rows="items",
        size=100,
    ),
    buckets=(limit("adv_clusters", every=seconds(6), burst=20, base=minutes(30)),),
    every=hours(12),
    needs="promotion",
    priority=2,
)

ADV_SPEND = Stream(
    marketplace=WILDBERRIES,
    name="adv_spend",
    about="what advertising campaigns were charged",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/finances",
    progress=Windows(
        longest=days(28),  # at most 31
        grain=days(1),
        zone=MOSCOW,
        since=days(90),
        lag=hours(1),
        restated=((days(7), hours(6)),),  # updTime is null until a campaign is charged
    ),
    paging="one answer",
    pages=at_once(get(ADVERT, "/adv/v1/upd", _period), rows=""),
    buckets=(limit("adv_spend", every=seconds(1), burst=5, base=hours(1)),),
    every=hours(6),
    needs="promotion",
)

ADV_PAYMENTS = Stream(
    marketplace=WILDBERRIES,
    name="adv_payments",
    about="payments into the advertising account",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/finances",
    progress=Windows(
        longest=days(28), grain=days(1), zone=MOSCOW, since=days(84), lag=hours(1), restated=((days(7), days(1)),)
    ),
    paging="one answer",
    pages=at_once(get(ADVERT, "/adv/v1/payments", _period), rows=""),
    buckets=(limit("adv_payments", every=seconds(1), burst=5, base=hours(1)),),
    every=days(1),
    needs="promotion",
    priority=3,
)

PROMOTIONS = Stream(
    marketplace=WILDBERRIES,
    name="promotions",
    about="the calendar of the marketplace's promotions, a month back and three ahead",
    docs="https://dev.wildberries.ru/openapi/promotion#tag/promoCalendar",
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(
        get(
            CALENDAR,
            "/api/v1/calendar/promotions",
            lambda walk, at: {
                "startDateTime": f"{moscow_day(walk.now - days(30))}T00:00:00Z",
                "endDateTime": f"{moscow_day(walk.now + days(90))}T00:00:00Z",
                "allPromo": "true",
                **at,
            },
        ),
        rows="data.promotions",
        size=1000,
    ),
    buckets=(limit("calendar", every=seconds(0.6), burst=5, base=hours(1)),),
    every=days(1),
    needs="prices and discounts",
    priority=3,
)

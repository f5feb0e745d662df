"""Streams of Wildberries: advertising."""

from __future__ import annotations

from collectors.paging import at_once, by_offset, get
from collectors.stream import Snapshot, Stream, Walk, Windows
from collectors.wildberries.api import ADVERT, CALENDAR, WILDBERRIES, limit
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

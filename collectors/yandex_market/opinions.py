"""What buyers write: reviews and questions."""

from __future__ import annotations

from collectors.paging import post
from collectors.stream import Stream, Windows
from collectors.windows import MOSCOW, days, hours, minutes, seconds
from collectors.yandex_market.api import PARTNER, YANDEX_MARKET, quota
from collectors.yandex_market.paging import moscow_day, page_token, paged, rfc3339

FEEDBACK = Stream(
    marketplace=YANDEX_MARKET,
    name="feedback",
    about="buyers' reviews",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/goods-feedback/getGoodsFeedbacks",
    progress=Windows(
        longest=days(30),  # the API takes six months
        since=days(90),
        lag=minutes(1),
        restated=((days(7), hours(6)), (days(30), days(1)), (days(60), days(7))),  # answered, read, or withdrawn
    ),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v2/businesses/{walk.seller}/goods-feedback",
            lambda walk, _: {
                # Both ends are exclusive, and reviews are dated to the second.
                "dateTimeFrom": rfc3339(walk.span.start - seconds(1)),
                "dateTimeTo": rfc3339(walk.span.end),
            },
            query=page_token(50),
        ),
        rows="result.feedbacks",
    ),
    buckets=(quota("feedback", amount=5000, per=hours(1)),),
    every=hours(1),
    needs="communication",
    priority=2,
)

QUESTIONS = Stream(
    marketplace=YANDEX_MARKET,
    name="questions",
    about="buyers' questions, by the day they were asked",
    docs="https://yandex.ru/dev/market/partner-api/doc/ru/reference/goods-questions/getGoodsQuestions",
    progress=Windows(
        longest="month",  # and no more
        grain=days(1),
        zone=MOSCOW,
        since=days(90),
        lag=minutes(10),
        restated=((days(30), days(1)),),  # votes
    ),
    paging="pageToken",
    pages=paged(
        post(
            PARTNER,
            lambda walk, _: f"/v1/businesses/{walk.seller}/goods-questions",
            lambda walk, _: {
                "dateFrom": moscow_day(walk.span.start),
                "dateTo": moscow_day(walk.span.end - days(1)),  # inclusive, as where this API says so for days
                "sort": "CREATED_AT_ASC",  # what is asked meanwhile comes behind what was read
            },
            query=page_token(50),
        ),
        rows="result.questions",
        total="result.totalCount",
    ),
    buckets=(quota("questions", amount=1000, per=hours(1)),),
    every=hours(6),
    needs="communication",
    priority=2,
)

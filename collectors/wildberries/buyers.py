"""Streams of Wildberries: what buyers write and want back."""

from __future__ import annotations

from collectors.paging import by_offset, get
from collectors.stream import Snapshot, Stream, Windows
from collectors.wildberries.api import FEEDBACKS, RETURNS, WILDBERRIES, limit
from collectors.wildberries.times import unix_seconds
from collectors.windows import days, hours, minutes, seconds

_LETTERS_LIMIT = limit(
    "feedbacks", every=seconds(1 / 3), burst=6, base=minutes(12)
)  # of reviews and questions together

FEEDBACKS_OF_BUYERS = Stream(
    marketplace=WILDBERRIES,
    name="feedbacks",
    about="buyers' reviews, answered and not",
    docs="https://dev.wildberries.ru/openapi/user-communication#tag/Otzyvy",
    slices=("answered=true", "answered=false"),
    progress=Windows(
        longest=days(7),
        since=days(90),
        lag=minutes(1),
        restated=((days(7), hours(6)), (days(60), days(7))),  # an answer moves a review to the other slice
    ),
    paging="skip/take until empty",
    pages=by_offset(
        get(
            FEEDBACKS,
            "/api/v1/feedbacks",
            lambda walk, at: {
                "isAnswered": walk.slice.removeprefix("answered="),
                "take": at["limit"],
                "skip": at["offset"],
                "order": "dateAsc",
                **unix_seconds(walk),
            },
        ),
        rows="data.feedbacks",
        size=5000,
        deepest=199_990,
    ),
    buckets=(_LETTERS_LIMIT,),
    every=hours(1),
    needs="feedbacks and questions",
)

QUESTIONS = Stream(
    marketplace=WILDBERRIES,
    name="questions",
    about="buyers' questions, answered and not",
    docs="https://dev.wildberries.ru/openapi/user-communication#tag/questions",
    slices=("answered=true", "answered=false"),
    progress=Windows(
        longest=days(28),
        since=days(90),
        lag=minutes(1),
        restated=((days(7), hours(6)), (days(60), days(7))),  # an answer moves a question to the other slice
    ),
    paging="skip/take until empty",
    pages=by_offset(
        get(
            FEEDBACKS,
            "/api/v1/questions",
            lambda walk, at: {
                "isAnswered": walk.slice.removeprefix("answered="),
                "take": at["limit"],
                "skip": at["offset"],
                "order": "dateAsc",
                **unix_seconds(walk),
            },
        ),
        rows="data.questions",
        size=1000,
        deepest=9000,  # take + skip may be 10,000
    ),
    buckets=(_LETTERS_LIMIT,),
    every=hours(1),
    needs="feedbacks and questions",
    priority=2,
)

CLAIMS = Stream(
    marketplace=WILDBERRIES,
    name="claims",
    about="buyers' claims of the last 14 days to return goods, open and decided",
    docs="https://dev.wildberries.ru/openapi/user-communication#tag/buyersReturns",
    slices=("archive=false", "archive=true"),
    progress=Snapshot(),
    paging="offset until empty",
    pages=by_offset(
        get(
            RETURNS,
            "/api/v1/claims",
            lambda walk, at: {"is_archive": walk.slice.removeprefix("archive="), **at},
        ),
        rows="claims",
        total="total",
        size=200,
    ),
    buckets=(limit("claims", every=seconds(3), burst=10, base=hours(1)),),
    every=hours(4),  # so that a base token, which has 24 requests a day, can keep up
    needs="returns by buyers",
    priority=2,
)

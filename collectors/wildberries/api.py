"""How Wildberries is spoken to: hosts, signing, limits, and what its refusals mean.

https://dev.wildberries.ru/openapi/api-information: token types and the token bucket that every limit is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial

import msgspec

from collectors.envelope import Envelope
from collectors.errors import Later, RateLimited, SplitWindow, StreamUnavailable
from collectors.keys import Knowledge, Preflight
from collectors.refusals import judge_status, read_refusal, retry_after, said, units_left
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Secret, Stream, Told
from collectors.wildberries.tokens import claims_of

STATISTICS = "statistics-api.wildberries.ru"
CONTENT = "content-api.wildberries.ru"
PRICES = "discounts-prices-api.wildberries.ru"
FINANCE = "finance-api.wildberries.ru"
ANALYTICS = "seller-analytics-api.wildberries.ru"
FEEDBACKS = "feedbacks-api.wildberries.ru"
ADVERT = "advert-api.wildberries.ru"
MARKET = "marketplace-api.wildberries.ru"
SUPPLIES = "supplies-api.wildberries.ru"
RETURNS = "returns-api.wildberries.ru"
DOCUMENTS = "documents-api.wildberries.ru"
CALENDAR = "dp-calendar-api.wildberries.ru"
COMMON = "common-api.wildberries.ru"

# A token is good for some categories, and each host is one: a secret may hold a token for each beside "token".
_CATEGORIES = {
    STATISTICS: "statistics",
    CONTENT: "content",
    PRICES: "prices",
    FINANCE: "finance",
    ANALYTICS: "analytics",
    FEEDBACKS: "feedbacks",
    ADVERT: "promotion",
    MARKET: "marketplace",
    SUPPLIES: "supplies",
    RETURNS: "returns",
    DOCUMENTS: "documents",
    CALENDAR: "prices",
    COMMON: "token",  # a token of any category is good here
}

_TOO_LONG = re.compile(r"less or equal \d+ days|max date range", re.IGNORECASE)  # a 400 of the report hosts


_SELLER = Envelope(sid=("sid", str))

NOT_BY_BASE = "by a personal or service token"  # what the vendor's `x-token-types` say of a stream


class _Refusal(msgspec.Struct):
    """The fields of the several shapes of error that the hosts have."""

    title: object = ""
    detail: object = ""
    message: object = ""
    errorText: object = ""  # noqa: N815 - the vendor's spelling
    errors: object = ""
    error: object = False  # a flag, and on one host the text
    code: object = ""

    def words(self) -> str:
        texts = (self.detail, self.errorText, self.message, self.errors, self.error, self.code, self.title)
        return next((str(text) for text in texts if text and text is not True), "")


def limit(name: str, *, every: timedelta, burst: int, base: timedelta | None = None) -> Bucket:
    """Make a bucket of one seller: one request `every`; with a base token one per `base`, where that differs."""
    return Bucket(name=name, rate=Rate(every, burst), by_token={} if base is None else {"base": Rate(base)})


SELLER_INFO_LIMIT = limit("seller_info", every=timedelta(minutes=1), burst=10, base=timedelta(days=1))


def market_limit(name: str) -> Bucket:
    """Make a bucket of the marketplace host: 300 requests a minute, and "one request with a 4XX counts as 10"."""
    return Bucket(name=name, rate=Rate(timedelta(seconds=0.2), 20), cost=_refusals_count_ten)


def _refusals_count_ten(answer: Answer) -> int:
    return 10 if 400 <= answer.status < 500 else 1


def sign(secret: Secret, request: Request) -> Mapping[str, str]:
    return {"Authorization": _token(secret, request)}


def token_type(secret: Secret, request: Request) -> str:
    """Read the type of the token that signs this request from its payload, which needs no key; "" if there is none."""
    return claims_of(_signing(secret, request)).kind


def knows(secret: Secret) -> Knowledge:
    """Read all tokens of the secret: what each may do is told by its payload."""
    tokens = [claims_of(token) for token in secret.values()]
    return Knowledge(
        kind="; ".join(sorted({claims.described() for claims in tokens} - {""})),
        sellers=frozenset(claims.sid for claims in tokens if claims.sid),
        expires_at=min((at for claims in tokens if (at := claims.expires_at)), default=None),
        lacks=partial(_lacks, secret),
    )


def _lacks(secret: Secret, stream: Stream, request: Request) -> str:
    claims, category = claims_of(_signing(secret, request)), _CATEGORIES.get(request.host, "")
    if claims.kind == "test":
        return "a test token is good for the vendor's sandbox only: make a personal or service one"
    if claims.kind == "base" and stream.needs.endswith(NOT_BY_BASE):
        return "a base token cannot have this stream: make a personal or service one"
    if not claims.may(category):
        return f"the token lacks the category {category}: make one that has it"
    return ""


def _signing(secret: Secret, request: Request) -> str:
    return secret.get(_CATEGORIES.get(request.host, ""), secret.get("token", ""))


def told_of_seller(answer: Answer) -> Knowledge:
    """Read whose the token is, as the marketplace says."""
    return Knowledge(sellers=frozenset({_SELLER.read(answer)["sid"]}))


def _token(secret: Secret, request: Request) -> str:
    """Take the token of the host's category, or the one for all."""
    return secret.get(_CATEGORIES.get(request.host, ""), secret["token"])


def judge(answer: Answer) -> None:
    refusal = read_refusal(answer, _Refusal)
    text = refusal.words()
    words = said(answer, text)
    match answer.status:
        case 200 if refusal.error:  # the prices host says so with status 200
            raise Later(words, answer=answer)
        case 400 if _TOO_LONG.search(text):
            raise SplitWindow(words)
        case 401 if "scope" in text:  # the key is good, for other categories; a 403 is about rights too, never the key
            raise StreamUnavailable(words)
        case 404 if "/tasks/" in answer.request.path:  # a report that is not there, or no longer
            raise Later(words, answer=answer)
        case 404 if "disabled" in text or refusal.title == "path not found":
            raise StreamUnavailable(f"switched off by the vendor ({words})")
        case 429:
            raise RateLimited(words, wait=_retry(answer) or timedelta(minutes=1))
    judge_status(answer, text)


def told(answer: Answer) -> Iterable[Told]:
    """Read the limit's headers: what is left, or on 429, when there is one again. Which limit it is, they never say."""
    left = 0 if answer.status == 429 else units_left(answer, "x-ratelimit-remaining")
    opens = _retry(answer) if answer.status == 429 else None
    return () if left is None else (Told(left=left, opens=opens),)


def _retry(answer: Answer) -> timedelta | None:
    return retry_after(answer, "x-ratelimit-retry", "x-ratelimit-reset")  # seconds to one unit, and to the whole burst


WILDBERRIES = Marketplace(
    name="wildberries",
    hosts=frozenset(_CATEGORIES),
    sign=sign,
    judge=judge,
    told=told,
    token_type=token_type,
    other_fields=tuple(sorted({*_CATEGORIES.values()} - {"token"})),
    knows=knows,
    preflight=Preflight(
        request=Request(method="GET", host=COMMON, path="/api/v1/seller-info", buckets=(SELLER_INFO_LIMIT,)),
        read=told_of_seller,
        tells_more=False,  # with a base token it may be asked once a day
    ),
)

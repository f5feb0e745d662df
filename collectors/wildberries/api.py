"""How Wildberries is spoken to: hosts, signing, limits, and what its refusals mean.

https://dev.wildberries.ru/openapi/api-information: token types and the token bucket that every limit is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from collectors.errors import Later, RateLimited, StreamUnavailable
from collectors.refusals import judge_status, retry_after
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Secret

STATISTICS = "statistics-api.wildberries.ru"
CONTENT = "content-api.wildberries.ru"
PRICES = "discounts-prices-api.wildberries.ru"
FINANCE = "finance-api.wildberries.ru"
ANALYTICS = "seller-analytics-api.wildberries.ru"
FEEDBACKS = "feedbacks-api.wildberries.ru"

# A token is good for some categories, and each host is one: a secret may hold a token for each beside "token".
_CATEGORIES = {
    STATISTICS: "statistics",
    CONTENT: "content",
    PRICES: "prices",
    FINANCE: "finance",
    ANALYTICS: "analytics",
    FEEDBACKS: "feedbacks",
}

# `acc` of the token's payload: api-information, "token types".
_TOKEN_TYPES = {1: "base", 2: "test", 3: "personal", 4: "service"}


class _Claims(msgspec.Struct):
    acc: int = 0


class _Refusal(msgspec.Struct):
    """The fields of the several shapes of error that the hosts have."""

    title: object = ""
    detail: object = ""
    message: object = ""
    errorText: object = ""  # noqa: N815 - the vendor's spelling
    errors: object = ""
    error: object = False

    def words(self) -> str:
        return next(
            (str(text) for text in (self.detail, self.errorText, self.message, self.errors, self.title) if text), ""
        )


def limit(name: str, *, every: timedelta, burst: int, base: timedelta) -> Bucket:
    """Make a bucket of one seller: one request `every`, and one per `base` with a base token."""
    return Bucket(name=name, rate=Rate(every, burst), by_token={"base": Rate(base)})


def token_type(secret: Secret) -> str:
    """Read the token's type from its payload, which needs no key; "" if it is not such a token."""
    try:
        payload = secret["token"].split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="), type=_Claims)
    except (KeyError, IndexError, binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return _TOKEN_TYPES.get(claims.acc, "")


def sign(secret: Secret, request: Request) -> Mapping[str, str]:
    """Take the token of the host's category, or the one for all."""
    return {"Authorization": secret.get(_CATEGORIES.get(request.host, ""), secret["token"])}


def judge(answer: Answer) -> None:
    refusal = _refusal(answer.body)
    words = refusal.words()
    match answer.status:
        case 200 if refusal.error:  # the prices host says so with status 200
            raise Later(f"{answer.request.path}: {words}", answer=answer)
        case 401 if "scope" in words:  # the key is good, for other categories
            raise StreamUnavailable(f"{answer.request.path}: 401 {words}")
        case 403 if words:  # a firewall's page has none
            raise StreamUnavailable(f"{answer.request.path}: 403 {words}")
        case 404 if "disabled" in words or refusal.title == "path not found":
            raise StreamUnavailable(f"{answer.request.path}: switched off by the vendor: {words}")
        case 429:
            wait = retry_after(answer, "x-ratelimit-retry", "x-ratelimit-reset")
            raise RateLimited(f"{answer.request.path}: 429 {words}", wait=wait or timedelta(minutes=1))
    judge_status(answer, words)


def _refusal(body: bytes) -> _Refusal:
    if body.lstrip()[:1] != b"{":
        return _Refusal()
    try:
        return msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Refusal()


WILDBERRIES = Marketplace(
    name="wildberries",
    hosts=frozenset(_CATEGORIES),
    sign=sign,
    judge=judge,
    token_type=token_type,
)

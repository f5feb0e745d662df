"""How Yandex Market's Partner API is spoken to: signing, limits, and what its refusals mean.

https://yandex.ru/dev/market/partner-api/doc/ru/concepts/limits: a resource quota per method, and so many requests at
the same time per campaign or business. Exceeding either is a 420.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from collectors.errors import AccountRefused, Later, RateLimited, SplitWindow, StreamUnavailable
from collectors.refusals import judge_status, retry_after
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Scope, Secret

PARTNER = "api.partner.market.yandex.ru"


class _Error(msgspec.Struct):
    code: str = ""
    message: str | None = None


class _Refusal(msgspec.Struct):
    status: str = ""
    errors: list[_Error] | None = None

    def words(self) -> str:
        return "; ".join(f"{error.code} {error.message or ''}".strip() for error in self.errors or ())


def quota(name: str, *, amount: int, per: timedelta) -> Bucket:
    """Make a bucket of `amount` per `per`, spread evenly but for a burst of a tenth."""
    burst = max(1, amount // 10)
    return Bucket(name=name, rate=Rate(per / max(1, amount - burst + 1), burst))


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Api-Key": secret["token"]}


def judge(answer: Answer) -> None:
    refusal = _refusal(answer)
    words = f"{answer.request.path}: {answer.status} {refusal.words()}"
    match answer.status:
        case 200 if refusal.status == "ERROR":
            raise Later(words, answer=answer)
        case 400 if "PERIOD" in words.upper() and "LONG" in words.upper():
            raise SplitWindow(words)
        case 401:
            raise AccountRefused(words)
        case 403 if "api-key" in refusal.words().lower():  # 403 is also for a key that is wrong
            raise AccountRefused(words)
        case 403 if refusal.errors:
            raise StreamUnavailable(words)
        case 404 if "/reports/info/" in answer.request.path:
            raise Later(words, answer=answer)
        case 420 if "parallel" in words:  # a slot is free as soon as another request ends
            raise RateLimited(words, wait=timedelta(seconds=1), bucket="parallel")
        case 420:
            wait = retry_after(answer, "x-ratelimit-resource-until")
            raise RateLimited(words, wait=wait or timedelta(minutes=1))
        case 423:
            raise StreamUnavailable(words)
    judge_status(answer, refusal.words())


def _refusal(answer: Answer) -> _Refusal:
    if answer.body.lstrip()[:1] != b"{" or not answer.request.signed:
        return _Refusal()
    try:
        return msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Refusal()


YANDEX_MARKET = Marketplace(
    name="yandex_market",
    hosts=frozenset({PARTNER}),
    sign=sign,
    judge=judge,
    file_hosts=(".yandex.ru", ".yandex.net"),
    # Requests at the same time: 4 for one campaign or business, counted here for the whole seller. An entry is given
    # back when its request ends; one that a killed worker held is free after `every`.
    buckets=(Bucket(name="parallel", scope=Scope.SLOTS, rate=Rate(timedelta(seconds=30), burst=4)),),
)

"""How Ozon's Seller API is spoken to: signing, limits, and what its refusals mean.

https://docs.ozon.ru/api/seller/: every method may be called 50 times a second by one Client-Id, all methods together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from collectors.errors import AccountRefused, RateLimited, SplitWindow, StreamUnavailable
from collectors.refusals import judge_status, retry_after
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Secret

SELLER = "api-seller.ozon.ru"


class _Refusal(msgspec.Struct):
    code: int = 0  # of google.rpc
    message: str = ""


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Client-Id": secret["client_id"], "Api-Key": secret["api_key"]}


def judge(answer: Answer) -> None:
    refusal = _refusal(answer)
    words = f"{answer.request.path}: {answer.status} {refusal.message}"
    match answer.status, refusal.code:
        case 400, 9:  # a retired method, sometimes before its announced day
            raise StreamUnavailable(words)
        case 400, _ if "PERIOD_IS_TOO_LONG" in refusal.message:
            raise SplitWindow(words)
        case (401, _) | (403, 16):  # 16: unauthenticated
            raise AccountRefused(words)
        case 403, 7 if "api-key" in refusal.message.lower():  # [live] the same code for a key that is wrong
            raise AccountRefused(words)
        case 403, _ if refusal.message:  # 7, permission denied: no subscription or scope; the key itself is good
            raise StreamUnavailable(words)
        case (429, _) | (_, 8):  # 8: exhausted
            raise RateLimited(words, wait=retry_after(answer) or timedelta(seconds=2))
    judge_status(answer, refusal.message)


def _refusal(answer: Answer) -> _Refusal:
    if answer.status < 400:
        return _Refusal()
    try:
        return msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Refusal()


OZON = Marketplace(
    name="ozon",
    hosts=frozenset({SELLER}),
    sign=sign,
    judge=judge,
    file_hosts=(".ozone.ru", ".ozon.ru"),
    secret_fields=("client_id", "api_key"),
    buckets=(Bucket(name="all", rate=Rate(timedelta(seconds=1 / 50), burst=10)),),
)

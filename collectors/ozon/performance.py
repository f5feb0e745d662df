"""How Ozon's Performance API, which tells of advertising, is spoken to: its login, limits and refusals.

https://docs.ozon.ru/api/performance/: a key of its own is exchanged for a token of half an hour. 100,000 requests a
day; of reports one at a time for an account; of campaigns reported 2,000 in 24 hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from collectors.envelope import Envelope
from collectors.errors import Later, RateLimited
from collectors.login import ACCESS_TOKEN, Login, Token
from collectors.refusals import judge_status, key_refused, read_refusal, retry_after, said
from collectors.stream import Answer, Bucket, Rate, Request, Scope, Secret

PERFORMANCE = "api-performance.ozon.ru"
REPORT = "/api/client/statistics"  # the report's own path is below it

MOST_CAMPAIGNS = 10  # in a report; each of them is an export

REQUESTS = Bucket(name="performance", rate=Rate(timedelta(seconds=1), burst=10))  # 86,410 a day
# Whose place it is, they say of an "account": we take it for the seller. It is free again 15 minutes after the last
# poll, if there is none that says how the report ended.
PLACES = Bucket(name="performance_reports", scope=Scope.PLACES, rate=Rate(timedelta(minutes=15), burst=1))
# Whenever the vendor's day begins: no 24 hours have more than 1,000 + 1,000.
EXPORTS = Bucket(
    name="performance_exports",
    rate=Rate(timedelta(days=1) / 1000, burst=1000),
    most=MOST_CAMPAIGNS,
    cost=lambda answer: len(answer.request.body["campaigns"]),
)

_TOKEN_PATH = "/api/client/token"  # noqa: S105 - a path
_TOKEN = Envelope(value=("access_token", str), seconds=("expires_in", int))
_OCCUPIED = timedelta(minutes=1)  # until another report may be under way: by somebody else, or one that we lost
_HASTE = timedelta(seconds=30)


class _Refusal(msgspec.Struct):
    error: object = ""


def _token(answer: Answer) -> Token:
    read = _TOKEN.read(answer)
    return Token(read["value"], timedelta(seconds=read["seconds"]))


def _keys(secret: Secret) -> dict[str, str]:
    return {
        "client_id": secret["perf_client_id"],
        "client_secret": secret["perf_client_secret"],
        "grant_type": "client_credentials",
    }


LOGIN = Login(
    request=Request(method="POST", host=PERFORMANCE, path=_TOKEN_PATH, buckets=(REQUESTS,)),
    body=_keys,
    token=_token,
    fields=("perf_client_id", "perf_client_secret"),
)


def sign(secret: Secret) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret[ACCESS_TOKEN]}"}


def judge(answer: Answer) -> None:
    text = "" if answer.status < 400 else str(read_refusal(answer, _Refusal).error)
    words = said(answer, text)
    match answer.status:
        case 400 | 403 if text and answer.request.path == _TOKEN_PATH:  # nothing else in it can be wrong
            raise key_refused(answer, text)
        case 404 if answer.request.path.startswith(REPORT):  # a report that is not there, or no longer
            raise Later(words, answer=answer)
        case 429 if "активн" in text.lower():  # [live] "the limit of active requests is exceeded, 1 at most"
            raise RateLimited(words, wait=retry_after(answer) or _OCCUPIED, bucket=PLACES.name)
        case 429:  # it says nothing of the Seller API's limits
            raise RateLimited(words, wait=retry_after(answer) or _HASTE, bucket=REQUESTS.name)
    judge_status(answer, text)

"""How Yandex Market's Partner API is spoken to: signing, limits, and what its refusals mean.

https://yandex.ru/dev/market/partner-api/doc/ru/concepts/limits: a resource quota per method, and so many requests at
the same time per campaign or business. Exceeding either is a 420.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import msgspec

from collectors.envelope import Envelope, Rows
from collectors.errors import Later, Malformed, RateLimited, SplitWindow, StreamUnavailable
from collectors.keys import Knowledge, Preflight
from collectors.refusals import judge_status, key_refused, read_refusal, retry_after, said, units_left
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Scope, Secret, Stream, Told

PARTNER = "api.partner.market.yandex.ru"


class _Error(msgspec.Struct):
    code: object = ""
    message: object = ""


class _Refusal(msgspec.Struct):
    status: str = ""
    errors: list[_Error] | None = None

    def words(self) -> str:
        return "; ".join(f"{error.code} {error.message or ''}".strip() for error in self.errors or ())


_KEY = Envelope(scopes=("result.apiKey.authScopes", list[str]))


def quota(name: str, *, amount: int, per: timedelta) -> Bucket:
    """Make a bucket of `amount` requests per `per`, spread evenly but for a burst of a tenth."""
    return Bucket(name=name, rate=_spread(amount, per, burst=max(1, amount // 10)))


def quota_of_items(
    name: str, *, amount: int, per: timedelta, page: int, rows: str, within: str | None = None
) -> Bucket:
    """Make a bucket of `amount` returned items per `per`. `page` is how many one request asks for, `rows` their path.

    With `within` the items are not the rows but the lists of that name in them. An answer costs as many units as it has
    items, and at least one; one that cannot be read, as many as were asked for.
    """
    envelope = Envelope(rows)

    def items(found: Rows) -> int:
        return len(found) if within is None else sum(len(found.value(at, within, list)) for at in range(len(found)))

    def cost(answer: Answer) -> int:
        if answer.status != 200:
            return 1
        try:
            return max(1, items(envelope.read(answer).rows))
        except Malformed:
            return page

    # Room for two pages at once, or the one that is booked would wait for the one that just went.
    return Bucket(name=name, rate=_spread(amount, per, burst=max(2 * page, amount // 10)), most=page, cost=cost)


def _spread(amount: int, per: timedelta, *, burst: int) -> Rate:
    # In no stretch of `per` are there more than `amount`: the burst, less the unit that the limiter spares, and these.
    return Rate(per / max(1, amount - burst + 1), burst)


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Api-Key": secret["token"]}


def told_of_scopes(answer: Answer) -> Knowledge:
    """Read what the key may do. A stream needs one of the scopes that it names, and of each, reading will do."""
    told: list[str] = _KEY.read(answer)["scopes"]
    scopes = {scope.lower().replace("_read_only", "").replace("_", "-") for scope in told}

    def lacks(stream: Stream, _: Request) -> str:
        wanted = {scope.removesuffix(":read-only") for scope in stream.needs.split(" or ")}
        if not stream.needs or "all-methods" in scopes or wanted & scopes:
            return ""
        return f"the key lacks the access {stream.needs}: make one that has it"

    return Knowledge(kind=", ".join(sorted(scopes)), lacks=lacks)


def judge(answer: Answer) -> None:
    refusal = read_refusal(answer, _Refusal)
    text = refusal.words()
    words = said(answer, text)
    match answer.status:
        case 200 if refusal.status == "ERROR":
            raise Later(words, answer=answer)
        case 400 if "PERIOD" in text.upper() and "LONG" in text.upper():
            raise SplitWindow(words)
        case 403 if "api-key" in text.lower() and "scope" not in text.lower():  # 403 is also for a key that is wrong
            raise key_refused(answer, text)
        case 404 if "/reports/info/" in answer.request.path:  # a report that is not there, or no longer
            raise Later(words, answer=answer)
        case 420 if "parallel" in text:  # a slot is free as soon as another request ends
            raise RateLimited(words, wait=timedelta(seconds=0.5), bucket=PARALLEL.name)
        case 420:
            raise RateLimited(words, wait=_until(answer) or timedelta(minutes=1))
        case 423:
            raise StreamUnavailable(words)
    judge_status(answer, text)


def told(answer: Answer) -> Iterable[Told]:
    """Read what is left of the method's quota, and when none is left, until when. It is the stream's own bucket."""
    left = units_left(answer, "x-ratelimit-resource-remaining")
    return () if left is None else (Told(left=left, opens=None if left else _until(answer)),)


def _until(answer: Answer) -> timedelta | None:
    return retry_after(answer, "x-ratelimit-resource-until")


# Requests at the same time: 4 for one campaign or business, counted here for the whole seller. A slot is held as long
# as its request runs; one that a killed worker held is free after `every`.
PARALLEL = Bucket(name="parallel", scope=Scope.SLOTS, rate=Rate(timedelta(seconds=30), burst=4))

YANDEX_MARKET = Marketplace(
    name="yandex_market",
    hosts=frozenset({PARTNER}),
    sign=sign,
    judge=judge,
    told=told,
    file_hosts=(".yandex.ru", ".yandex.net"),
    buckets=(PARALLEL,),
    other_fields=(),
    preflight=Preflight(
        request=Request(
            method="POST",
            host=PARTNER,
            path="/v2/auth/token",
            buckets=(quota("auth_token", amount=100, per=timedelta(hours=1)),),
        ),
        read=told_of_scopes,
    ),
)

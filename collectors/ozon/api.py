"""How Ozon is spoken to: the Seller API's signing, limits, and what its refusals mean; see also performance.py.

https://docs.ozon.ru/api/seller/: every method may be called 50 times a second by one Client-Id, all methods together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from collectors.envelope import Envelope
from collectors.errors import Later, PutOff, RateLimited, SplitWindow, StreamUnavailable
from collectors.keys import Knowledge, Preflight
from collectors.ozon import performance
from collectors.ozon.performance import PERFORMANCE
from collectors.refusals import judge_status, key_refused, read_refusal, retry_after, said, units_left
from collectors.stream import Answer, Bucket, Marketplace, Rate, Request, Secret, Stream, Told

SELLER = "api-seller.ozon.ru"

_LONGEST_REFUSAL = 4096  # bytes: a longer body with status 200 is data, and is not read here
_BROKEN_CIRCUIT = timedelta(minutes=3)  # "within several minutes", the vendor's page of errors


class _Refusal(msgspec.Struct):
    code: object = 0  # of google.rpc; a few methods write its name instead
    message: object = ""

    def words(self) -> str:
        return str(self.message)

    def concerns_key(self) -> bool:
        words = self.words().lower()
        return "api-key" in words and "role" not in words  # without the role for one method, a key is still good


class _Role(msgspec.Struct):
    name: str = ""
    methods: list[str] = []


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_ROLES = Envelope(roles=("roles", list[_Role]), expires_at=("expires_at", _Moment | None))


def sign(secret: Secret, request: Request) -> Mapping[str, str]:
    if request.host == PERFORMANCE:
        return performance.sign(secret)
    return {"Client-Id": secret["client_id"], "Api-Key": secret["api_key"]}


def judge(answer: Answer) -> None:
    if answer.request.host == PERFORMANCE:
        performance.judge(answer)
        return
    refusal = _refusal(answer)
    text = refusal.words()
    words = said(answer, text)
    match answer.status, refusal.code:
        case _ if text.startswith("Circle is open"):  # too many failed, so the method is shut for everybody for a while
            raise PutOff(words, wait=_BROKEN_CIRCUIT)
        case ((200 | 400), 9):  # a retired method, sometimes before its announced day
            raise StreamUnavailable(f"switched off by the vendor ({words})")
        case 400, _ if "PERIOD_IS_TOO_LONG" in text:
            raise SplitWindow(words)
        case ((200 | 403), 16):  # unauthenticated
            raise key_refused(answer, text)
        case ((200 | 403), _) if refusal.concerns_key():  # [live] with the code 7 of a subscription that is missing
            raise key_refused(answer, text)
        case 200, 7:
            raise StreamUnavailable(words)
        case 404, 5 if answer.request.path == "/v1/report/info":  # a report that is not there, or no longer
            raise Later(words, answer=answer)
        case (429, _) | (_, 8):  # 8: exhausted
            raise RateLimited(words, wait=retry_after(answer) or timedelta(seconds=2))
        case 200, code if code:
            raise Later(words, answer=answer)
    judge_status(answer, text)


def told(answer: Answer) -> Iterable[Told]:
    """Read the limit's headers. Which limit it is, they do not say: methods have their own beside the common one."""
    if answer.request.host == PERFORMANCE:
        return ()
    if answer.status == 429:
        return (Told(left=0, opens=retry_after(answer)),)
    left = units_left(answer, "ratelimit-remaining")
    return () if left is None else (Told(left=left),)


def knows(secret: Secret) -> Knowledge:
    """Read what the secret says: whose the key is."""
    return Knowledge(sellers=frozenset({secret["client_id"]} if "client_id" in secret else ()))


def told_of_roles(answer: Answer) -> Knowledge:
    """Read until when the key is good and which methods its roles may call.

    An administrator's role may call them all, those too that its list does not name yet.
    """
    found = _ROLES.read(answer)
    roles: list[_Role] = found["roles"]
    methods = {method for role in roles for method in role.methods}
    may_all = not methods or any(role.name.startswith("Admin") for role in roles)

    def lacks(_: Stream, request: Request) -> str:
        if may_all or request.host != SELLER or request.path in methods:  # of other hosts the roles say nothing
            return ""
        return f"no role of the key may call {request.path}: make a key with one that may"

    return Knowledge(kind=", ".join(role.name for role in roles), expires_at=found["expires_at"], lacks=lacks)


def _refusal(answer: Answer) -> _Refusal:
    if answer.status == 200 and len(answer.body) > _LONGEST_REFUSAL:
        return _Refusal()
    found = read_refusal(answer, _Refusal)
    if answer.status == 200 and not (isinstance(found.code, int) and found.message):  # data
        return _Refusal()
    return found


OZON = Marketplace(
    name="ozon",
    hosts=frozenset({SELLER, PERFORMANCE}),
    sign=sign,
    judge=judge,
    told=told,
    file_hosts=(".ozone.ru", ".ozon.ru"),
    secret_fields=("client_id", "api_key"),
    other_fields=(),
    logins={PERFORMANCE: performance.LOGIN},
    buckets=(Bucket(name="all", rate=Rate(timedelta(seconds=1 / 50), burst=10)),),
    knows=knows,
    preflight=Preflight(request=Request(method="POST", host=SELLER, path="/v1/roles", body={}), read=told_of_roles),
)

"""Ozon Seller API: keys, limits, refusals, and what its methods answer (specification of October 2026)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil

from sandbox import ozon_adverts as adverts
from sandbox import ozon_goods as goods
from sandbox import ozon_money as money
from sandbox import ozon_named as named
from sandbox import ozon_orders as orders
from sandbox.credentials import BadCredentialError, Issuer
from sandbox.data_ozon import OzonData
from sandbox.limits import PointQuota, TokenBucket
from sandbox.marketplace import Admission, Stream
from sandbox.ozon_adverts import PERFORMANCE, Adverts
from sandbox.ozon_reports import FILE_HOST, Reports
from sandbox.records import World
from sandbox.wire import Call, Endpoint, Refused, Reply, reply

NAME = "ozon"
HOST = "api-seller.ozon.ru"

REQUESTS_PER_SECOND = 50
ONE_A_MINUTE = ("analytics", "turnover", "discounted_report/create")
A_DAY: Mapping[str, int] = {"analytics": 50, "placement_by_products/create": 5, "placement_by_supplies/create": 5}
"""Requests in 24 hours, of a seller without Premium Plus."""

# gRPC code and message for a bad day.
FAILURES: Mapping[int, tuple[int, str]] = {
    400: (9, "obsolete method cannot be used"),
    401: (16, "Client-Id and Api-Key headers are required"),
    403: (7, "Method is not available with existing subscription"),
    404: (5, "Not found"),
    429: (8, "You have reached request rate limit per second"),
    500: (13, "the sandbox was told to fail"),
    503: (14, "the sandbox was told to fail"),
}


class Ozon:
    name = NAME

    def __init__(self, world: World, issuer: Issuer, rate_scale: float, report_polls: int = 2) -> None:
        data = OzonData(world)
        answers = goods.methods(data) | orders.methods(data) | money.methods(data) | named.methods(data)
        paths = goods.PATHS | orders.PATHS | money.PATHS | named.PATHS
        reports = Reports(data, NAME, HOST, polls=report_polls)
        self.adverts = Adverts(world, issuer, rate_scale, polls=report_polls)
        self.endpoints: tuple[Endpoint, ...] = (
            *(Endpoint(NAME, name, "POST", HOST, path, answers[name]) for name, path in paths.items()),
            *reports.endpoints,
            *self.adverts.endpoints,
            Endpoint(NAME, "obsolete", "POST", HOST, "/v3/posting/fbs/list", obsolete),
            Endpoint(NAME, "obsolete", "POST", HOST, "/v3/finance/transaction/list", obsolete),
        )
        self.streams: Mapping[str, Stream] = {
            **goods.streams(data),
            **orders.streams(data),
            **money.streams(data),
            **named.streams(data),
            **reports.streams,
            **self.adverts.streams,
        }
        self._issuer = issuer
        self._bucket = TokenBucket(1 / REQUESTS_PER_SECOND / rate_scale, REQUESTS_PER_SECOND)
        self._minutes = {name: TokenBucket(60 / rate_scale, 1) for name in ONE_A_MINUTE}
        self._days = {name: PointQuota(amount, 86_400 / rate_scale) for name, amount in A_DAY.items()}

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        if endpoint.host == PERFORMANCE:
            return self.adverts.seller(endpoint, headers, now)
        if endpoint.host == FILE_HOST:
            if "Api-Key" in headers or "Client-Id" in headers:
                raise Refused(refusal(400, 3, "A report's link needs no credential, and must not be given one"))
            return ""
        client_id, api_key = headers.get("Client-Id", ""), headers.get("Api-Key", "")
        if not client_id or not api_key:
            raise Refused(refusal(403, 16, "Client-Id and Api-Key headers are required"))
        try:
            return self._issuer.read_ozon(client_id, api_key)
        except BadCredentialError as error:
            raise Refused(refusal(403, 7, str(error))) from None

    @contextmanager
    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> Iterator[Admission]:
        del path
        if endpoint.host == FILE_HOST:
            yield Admission("", None, lambda answer: answer)
            return
        if endpoint.host == PERFORMANCE:
            bucket, refused = self.adverts.over(endpoint, seller) or ("", None)
            yield Admission(bucket, refused, lambda answer: answer)
            return
        taken = self._bucket.take(seller)
        headers = {"Ratelimit-Remaining": str(taken.remaining)}
        over = self._over(endpoint.name, seller) if taken.given else (f"all:{seller}", taken.retry)
        if over is None:
            yield Admission(f"all:{seller}", None, lambda answer: answer.with_headers(headers))
        else:
            refused = self.failure(endpoint, 429, datetime.now(UTC), ceil(over[1]))
            yield Admission(over[0], refused, lambda answer: answer)

    def _over(self, name: str, seller: str) -> tuple[str, float] | None:
        """The limit of its own that a method is over, and the seconds until it is not."""
        bucket = f"{name}:{seller}"
        taken = self._minutes[name].take(seller) if name in self._minutes else None
        if taken is not None and not taken.given:
            return bucket, taken.retry
        if name in self._days:
            if self._days[name].left(seller) == 0:
                return bucket, self._days[name].ends_in(seller)
            self._days[name].pay(seller, 1)
        return None

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        return adverts.refusal(400, message) if endpoint.host == PERFORMANCE else refusal(400, 3, message)

    def failure(self, endpoint: Endpoint, status: int, now: datetime, retry: int) -> Reply:
        del now
        code, message = FAILURES.get(status, FAILURES[500])
        is_advert = endpoint.host == PERFORMANCE
        answer = adverts.refusal(status, message) if is_advert else refusal(status, code, message)
        return answer.with_headers({"Retry-After": str(retry)}) if status == 429 else answer

    def no_such_path(self, now: datetime) -> Reply:
        del now
        return refusal(404, 5, "Not found")


def refusal(status: int, code: int, message: str) -> Reply:
    return reply({"code": code, "message": message, "details": []}, status)


def obsolete(call: Call) -> Reply:
    """A method that was switched off answers this to whatever it is asked."""
    del call
    return reply({"code": 9, "message": "obsolete method cannot be used"}, 400)

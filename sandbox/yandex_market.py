"""Yandex Market: keys, quotas and refusals. What its methods answer is in yandex_market_methods.py."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from math import ceil

from sandbox.credentials import BadCredentialError, Issuer
from sandbox.data_yandex_market import YandexMarketData
from sandbox.data_yandex_market_dealings import Dealings
from sandbox.data_yandex_market_goods import Goods
from sandbox.limits import PointQuota, Slots
from sandbox.marketplace import Admission
from sandbox.records import World
from sandbox.wire import Endpoint, Refused, Reply, reply
from sandbox.yandex_market_listing import NAME
from sandbox.yandex_market_methods import FILE_HOST, endpoints, streams
from sandbox.yandex_market_reports import Reports

# Points, seconds, and whether points are the records returned (else requests).
QUOTAS: Mapping[str, tuple[int, float, bool]] = {
    "campaigns": (1000, 3600, False),
    "orders_stats": (10_000, 3600, True),
    # The vendor's machine-readable limit says "resp": requests, unlike that of orders_stats.
    "orders": (10_000, 3600, False),
    "prices": (5000, 60, True),
    "returns": (5000, 3600, False),
    "supply_requests": (1000, 3600, False),
    "offers": (100, 60, False),
    "campaign_offers": (1000, 60, False),
    "sku_stats": (2000, 60, True),
    "offer_cards": (100, 60, False),
    "stocks": (100_000, 60, True),
    "stocks_v3": (500, 60, False),
    "warehouses": (100, 3600, False),
    "fby_warehouses": (100, 3600, False),
    "promos": (1000, 3600, False),
    "bids": (500, 60, False),
    "feedback": (5000, 3600, False),
    "questions": (1000, 3600, False),
    "quality": (500, 3600, False),
    "campaigns/key": (100, 3600, False),
    "united_netting/create": (1, 120, False),
    "united_marketplace_services/create": (1, 120, False),
    "united_orders/create": (1, 120, False),
    "united_returns/create": (1, 120, False),
    "shows_sales/create": (1, 600, False),
    "united_netting/info": (100, 60, False),
}

PARALLEL = 4
PARALLEL_OF: Mapping[str, int] = {"orders": 6}

FAILURES: Mapping[int, tuple[str, str]] = {
    401: ("UNAUTHORIZED", "OAuth credentials are not specified"),
    403: ("FORBIDDEN", "Access denied"),
    404: ("NOT_FOUND", "Not found"),
    420: ("LIMIT", "Hit rate limit of the sandbox"),
    423: ("LOCKED", "Method is locked for this campaign"),
    500: ("INTERNAL_SERVER_ERROR", "the sandbox was told to fail"),
    503: ("SERVICE_UNAVAILABLE", "the sandbox was told to fail"),
}


class YandexMarket:
    """Reports are ready after `report_polls` polls that say "not yet", or when the clock has passed their estimate."""

    name = NAME

    def __init__(self, world: World, issuer: Issuer, rate_scale: float, report_polls: int = 2) -> None:
        data = YandexMarketData(world)
        reports = Reports(data, polls=report_polls)
        goods, dealings = Goods(world, data), Dealings(world, data)
        self.endpoints = endpoints(data, goods, dealings, reports)
        self.streams = streams(data, goods, dealings)
        self._data = data
        self._issuer = issuer
        self._slots = Slots()
        self._quotas = {name: PointQuota(amount, period / rate_scale) for name, (amount, period, _) in QUOTAS.items()}

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        del now
        secret = headers.get("Api-Key", "")
        if endpoint.host == FILE_HOST:
            if secret or "Authorization" in headers:
                raise Refused(
                    refusal(400, "BAD_REQUEST", "A report's link needs no credential, and must not be given one")
                )
            return ""
        if not secret:
            raise Refused(refusal(401, "UNAUTHORIZED", "Api-Key header is not specified"))
        try:
            return self._issuer.read_yandex_market(secret)
        except BadCredentialError as error:
            raise Refused(refusal(403, "FORBIDDEN", str(error))) from None

    @contextmanager
    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> Iterator[Admission]:
        if endpoint.host == FILE_HOST:
            yield Admission("", None, lambda answer: answer)
            return
        self._check_owner(seller, path)
        scope = _scope(seller, path)
        limit = PARALLEL_OF.get(endpoint.name, PARALLEL)
        with self._slots.one(f"{endpoint.name} {scope}" if endpoint.name in PARALLEL_OF else scope, limit) as free:
            quota = self._quotas[endpoint.name]
            settle = partial(self._settle, endpoint, scope)
            if not free:
                refused = refusal(420, "LIMIT", f"Hit rate limit of {limit} parallel requests for {scope}")
                yield Admission(f"parallel:{scope}", settle(refused), lambda answer: answer)
            elif quota.left(scope) == 0:
                amount, seconds, _ = QUOTAS[endpoint.name]
                message = f"Hit rate limit of {amount} points per {seconds / 60:g} minutes for resource {endpoint.path}"
                yield Admission(
                    f"{endpoint.name}:{scope}", settle(refusal(420, "LIMIT", message)), lambda answer: answer
                )
            else:
                if not QUOTAS[endpoint.name][2]:
                    quota.pay(scope, 1)
                yield Admission(f"{endpoint.name}:{scope}", None, settle)

    def _check_owner(self, seller: str, path: Mapping[str, str]) -> None:
        if path.get("businessId", seller) != seller:
            raise Refused(refusal(403, "FORBIDDEN", f"Access to business {path['businessId']} denied"))
        if "campaignId" in path and path["campaignId"] not in self._data.campaign_ids(seller):
            raise Refused(refusal(403, "FORBIDDEN", f"Access to campaign {path['campaignId']} denied"))

    def _settle(self, endpoint: Endpoint, scope: str, answer: Reply) -> Reply:
        quota = self._quotas[endpoint.name]
        if QUOTAS[endpoint.name][2]:
            quota.pay(scope, answer.records)
        until = datetime.now(UTC) + timedelta(seconds=ceil(quota.ends_in(scope)))
        headers = {
            "X-RateLimit-Resource-Limit": str(quota.amount),
            "X-RateLimit-Resource-Remaining": str(quota.left(scope)),
            "X-RateLimit-Resource-Until": format_datetime(until, usegmt=True),
        }
        return answer.with_headers(headers)

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        del endpoint
        return refusal(400, "BAD_REQUEST", message)

    def failure(self, endpoint: Endpoint, status: int, now: datetime, retry: int) -> Reply:
        del endpoint, now, retry
        known = 420 if status == 429 else status
        return refusal(known, *FAILURES.get(known, FAILURES[500]))

    def no_such_path(self, now: datetime) -> Reply:
        del now
        return refusal(404, "NOT_FOUND", "No such path")


def refusal(status: int, code: str, message: str) -> Reply:
    return reply({"status": "ERROR", "errors": [{"code": code, "message": message}]}, status)


def _scope(seller: str, path: Mapping[str, str]) -> str:
    if "campaignId" in path:
        return f"campaignId {path['campaignId']}"
    return f"businessId {seller}"

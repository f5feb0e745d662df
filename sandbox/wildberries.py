"""Wildberries: keys, limits and refusals. What its methods answer is in wildberries_methods.py."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from math import ceil
from typing import Literal

from sandbox.credentials import BadCredentialError, Issuer
from sandbox.data_wildberries import WildberriesData
from sandbox.limits import Taken, TokenBucket
from sandbox.marketplace import Admission, Stream
from sandbox.records import World, zulu
from sandbox.wildberries_adverts import ADVERT, Adverts
from sandbox.wildberries_buyers import RETURNS, Buyers
from sandbox.wildberries_csv import CsvReports
from sandbox.wildberries_goods import SUPPLIES, Goods
from sandbox.wildberries_methods import HOSTS, endpoints, streams
from sandbox.wildberries_money import Money
from sandbox.wildberries_named import Named
from sandbox.wildberries_sales import MARKET, Sales
from sandbox.wildberries_shop import CALENDAR, DOCUMENTS, Shop
from sandbox.wildberries_tasks import Tasks
from sandbox.wire import JSON, PROBLEM, Endpoint, Refused, Reply, reply

NAME = "wildberries"

# Seconds between requests and burst, of a personal token; the vendor counts per seller.
LIMITS: Mapping[str, tuple[float, int]] = {
    "orders": (60, 10),
    "sales": (60, 1),
    "order_feed": (60, 1),
    "sales_funnel": (20, 3),
    "fbs": (0.2, 20),
    "item_returns": (60, 10),
    "cards": (0.6, 5),
    "prices": (0.6, 5),
    "stocks_wb": (20, 1),
    "stocks_seller": (20, 1),
    "warehouse_remains/create": (60, 5),
    "warehouse_remains/status": (5, 5),
    "warehouse_remains/file": (60, 1),
    "paid_storage/create": (60, 5),
    "paid_storage/status": (5, 5),
    "paid_storage/file": (60, 1),
    "acceptance/create": (60, 1),
    "acceptance/status": (5, 1),
    "acceptance/file": (60, 1),
    "seller_warehouses": (0.2, 20),
    "fbw_supplies": (2, 10),
    "tariffs_commission": (60, 2),
    "tariffs_box": (1, 5),
    "tariffs_pallet": (1, 5),
    "tariffs_return": (1, 5),
    "fin_detail": (60, 1),
    "fin_reports": (60, 1),
    "fin_detail_by_id": (60, 1),
    "campaigns": (0.2, 5),
    "campaign_info": (0.2, 5),
    "adv_stats": (20, 1),
    "adv_clusters": (6, 20),
    "sales_funnel_history": (20, 3),
    "search_texts": (20, 3),
    "nm_report/create": (20, 3),
    "nm_report/status": (20, 3),
    "nm_report/file": (20, 3),
    "adv_spend": (1, 5),
    "feedbacks": (1 / 3, 6),
    "claims": (3, 10),
    "acquiring": (60, 1),
    "balance": (60, 1),
    "deductions": (60, 1),
    "measurement_penalties": (60, 1),
    "documents": (10, 5),
    "adv_payments": (1, 5),
    "promotions": (0.6, 5),
    "seller_info": (60, 10),
}

# Of whom shares a limit, its name.
SHARED: Mapping[str, str] = {
    "questions": "feedbacks",
    "fbs_orders": "fbs",
    "fbs_order_status": "fbs",
    "fbs_supplies": "fbs",
    "cards_trash": "cards",
}

# The bit of the token's scope that opens a host; a host that is not here is open to all.
CATEGORIES: Mapping[str, int] = {
    HOSTS["cards"]: 1,
    HOSTS["order_feed"]: 2,
    HOSTS["prices"]: 3,
    HOSTS["orders"]: 5,
    MARKET: 4,
    ADVERT: 6,
    HOSTS["feedbacks"]: 7,
    SUPPLIES: 10,
    RETURNS: 11,
    DOCUMENTS: 12,
    CALENDAR: 3,
    HOSTS["fin_detail"]: 13,
}

# The gateway's title, detail and status text for a bad day.
PROBLEMS: Mapping[int, tuple[str, str, str]] = {
    401: ("unauthorized", "token problem; token was withdrawn", "Unauthorized"),
    402: ("payment required", "the service has insufficient funds on its balance", "Payment Required"),
    403: ("forbidden", "token is not allowed for this path", "Forbidden"),
    404: ("path not found", "This method is temporarily disabled", "Not Found"),
    429: ("too many requests", "limited by the sandbox", "Too Many Requests"),
    500: ("internal error", "the sandbox was told to fail", "Internal Server Error"),
    503: ("service unavailable", "the sandbox was told to fail", "Service Unavailable"),
}


class Wildberries:
    """`orders_end` is how a walk over orders ends: on `[]`, or by repeating the boundary rows for ever.

    `report_polls` is how often the status of a report is not done yet.
    """

    name = NAME

    def __init__(
        self,
        world: World,
        issuer: Issuer,
        rate_scale: float,
        orders_end: Literal["empty", "repeat"] = "empty",
        report_polls: int = 2,
    ) -> None:
        data = WildberriesData(world)
        repeat = orders_end == "repeat"
        tasks = Tasks(world, _no_task, polls=report_polls)
        sales, adverts = Sales(world, repeat_boundary=repeat), Adverts(world)
        others = (
            sales,
            Goods(world),
            Money(world, data),
            adverts,
            Named(adverts, sales),
            Buyers(world),
            Shop(world),
            tasks,
            CsvReports(sales, _no_task, polls=report_polls),
        )
        self.endpoints = (
            *endpoints(data, repeat_boundary=repeat),
            *(endpoint for other in others for endpoint in other.endpoints()),
        )
        self.streams: Mapping[str, Stream] = {
            **streams(data),
            **{name: stream for other in others for name, stream in other.streams().items()},
        }
        self._issuer = issuer
        self._buckets = {name: TokenBucket(every / rate_scale, burst) for name, (every, burst) in LIMITS.items()}

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        secret = headers.get("Authorization", "")
        if not secret:
            raise Refused(problem(401, now, "empty Authorization header"))
        try:
            token = self._issuer.read_wildberries(secret)
        except BadCredentialError as error:
            raise Refused(problem(401, now, str(error))) from None
        if token.expires <= now:
            raise Refused(problem(401, now, "token problem; token is expired"))
        category = CATEGORIES.get(endpoint.host)
        if category is not None and not token.categories >> category & 1:
            raise Refused(problem(401, now, "token scope not allowed for this route"))
        return token.seller

    @contextmanager
    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> Iterator[Admission]:
        del path
        name = SHARED.get(endpoint.name, endpoint.name)
        bucket = self._buckets[name]
        taken = bucket.take(seller)

        def settle(answer: Reply) -> Reply:
            if endpoint.host == MARKET and 400 <= answer.status < 500:
                bucket.charge(seller, 9)  # one that is refused counts as ten
            left = str(taken.remaining)
            return answer if answer.status == 429 else answer.with_headers({"X-Ratelimit-Remaining": left})

        if taken.given:
            yield Admission(f"{name}:{seller}", None, settle)
        else:
            yield Admission(f"{name}:{seller}", _too_many(taken), lambda answer: answer)

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        """Each host has a shape of its own."""
        match endpoint.stream:
            case "orders" | "sales":
                return reply({"errors": [message]}, 400)
            case "fbs_orders" | "fbs_order_status" | "fbs_supplies":
                return reply({"code": "IncorrectParameter", "message": message}, 400)
            case "adv_spend":
                return Reply(400, message.encode(), "text/plain; charset=utf-8")
            case "cards" | "cards_trash" | "prices" | "feedbacks" | "questions":
                return reply({"data": None, "error": True, "errorText": message, "additionalErrors": None}, 400)
            case _:
                body = {"title": "bad request", "detail": message, "requestId": _id(message), "origin": "sandbox"}
                return reply(body, 400, content_type=PROBLEM)

    def failure(self, endpoint: Endpoint, status: int, now: datetime, retry: int) -> Reply:
        del endpoint
        answer = problem(status, now)
        if status == 429:
            return answer.with_headers(_retry_headers(retry=retry, limit=1, reset=retry))
        return answer

    def no_such_path(self, now: datetime) -> Reply:
        return problem(404, now, "path not found")


def problem(status: int, now: datetime, detail: str | None = None) -> Reply:
    title, usual, status_text = PROBLEMS.get(status, PROBLEMS[500])
    body = {
        "title": title,
        "detail": detail or usual,
        "code": "sandbox",
        "requestId": _id(f"{now}{detail}"),
        "origin": "s2s-api-auth-sandbox",
        "status": status,
        "statusText": status_text,
        "timestamp": zulu(now.replace(microsecond=0)),
    }
    if status == 402:
        # The one that comes from billing, which has a shorter form.
        body = {"title": title, "detail": detail or usual}
    return reply(body, status, content_type=JSON if status == 402 else PROBLEM)


def _no_task(now: datetime) -> Refused:
    return Refused(problem(404, now, "there is no such task"))


def _too_many(taken: Taken) -> Reply:
    answer = problem(429, datetime.now().astimezone())
    return answer.with_headers(
        _retry_headers(retry=ceil(taken.retry), limit=taken.burst, reset=ceil(taken.reset)),
    )


def _retry_headers(*, retry: int, limit: int, reset: int) -> dict[str, str]:
    return {"X-Ratelimit-Retry": str(retry), "X-Ratelimit-Limit": str(limit), "X-Ratelimit-Reset": str(reset)}


def _id(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]

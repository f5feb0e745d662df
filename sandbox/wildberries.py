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
from sandbox.marketplace import Admission
from sandbox.records import World, zulu
from sandbox.wildberries_methods import HOSTS, endpoints, streams
from sandbox.wire import JSON, PROBLEM, Endpoint, Refused, Reply, reply

NAME = "wildberries"

# Seconds between requests and burst, of a personal token; the vendor counts per seller.
LIMITS: Mapping[str, tuple[float, int]] = {
    "orders": (60, 10),
    "cards": (0.6, 5),
    "prices": (0.6, 5),
    "fin_detail": (60, 1),
    "order_feed": (60, 1),
    "feedbacks": (1 / 3, 6),
}

# The bit of the token's scope that opens a host.
CATEGORIES: Mapping[str, int] = {
    HOSTS["cards"]: 1,
    HOSTS["order_feed"]: 2,
    HOSTS["prices"]: 3,
    HOSTS["orders"]: 5,
    HOSTS["feedbacks"]: 7,
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
    """`orders_end` is how a walk over orders ends: on `[]`, or by repeating the boundary rows for ever."""

    name = NAME

    def __init__(
        self, world: World, issuer: Issuer, rate_scale: float, orders_end: Literal["empty", "repeat"] = "empty"
    ) -> None:
        data = WildberriesData(world)
        self.endpoints = endpoints(data, repeat_boundary=orders_end == "repeat")
        self.streams = streams(data)
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
        if not token.categories >> CATEGORIES[endpoint.host] & 1:
            raise Refused(problem(401, now, "token scope not allowed for this route"))
        return token.seller

    @contextmanager
    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> Iterator[Admission]:
        del path
        taken = self._buckets[endpoint.stream].take(seller)
        bucket = f"{endpoint.stream}:{seller}"
        if taken.given:
            headers = {"X-Ratelimit-Remaining": str(taken.remaining)}
            yield Admission(
                bucket, None, lambda answer: answer if answer.status == 429 else answer.with_headers(headers)
            )
        else:
            yield Admission(bucket, _too_many(taken), lambda answer: answer)

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        """Each host has a shape of its own."""
        match endpoint.stream:
            case "orders":
                return reply({"errors": [message]}, 400)
            case "cards" | "prices" | "feedbacks":
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


def _too_many(taken: Taken) -> Reply:
    answer = problem(429, datetime.now().astimezone())
    return answer.with_headers(
        _retry_headers(retry=ceil(taken.retry), limit=taken.burst, reset=ceil(taken.reset)),
    )


def _retry_headers(*, retry: int, limit: int, reset: int) -> dict[str, str]:
    return {"X-Ratelimit-Retry": str(retry), "X-Ratelimit-Limit": str(limit), "X-Ratelimit-Reset": str(reset)}


def _id(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]

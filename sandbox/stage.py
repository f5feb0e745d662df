"""One request to a marketplace, from the Host header to the reply."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.clock import Clock
from sandbox.ledger import Ledger
from sandbox.marketplace import Marketplace
from sandbox.wire import Call, Endpoint, Fields, Invalid, Refused, Reply, parse_body


@dataclass(frozen=True)
class Incoming:
    """A request as it came. Names in `headers` are case-insensitive."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes


class Stage:
    """Plays the marketplaces: key, limit, planned failure, answer, in this order. `latency` is in real seconds."""

    def __init__(
        self,
        marketplaces: Mapping[str, Marketplace],
        ledger: Ledger,
        clock: Clock,
        *,
        page_limits: Mapping[str, int],
        latency: float,
    ) -> None:
        self._marketplaces = marketplaces
        self._ledger = ledger
        self._clock = clock
        self._page_limits = page_limits
        self._latency = latency
        self._by_host: dict[str, list[Endpoint]] = {}
        for endpoint in (endpoint for marketplace in marketplaces.values() for endpoint in marketplace.endpoints):
            self._by_host.setdefault(endpoint.host, []).append(endpoint)
        known = {_stream(endpoint) for endpoints in self._by_host.values() for endpoint in endpoints}
        for name in page_limits:
            if name not in known:
                raise ValueError(f"There is no stream {name}: page limits are named like {min(known)}.")

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._by_host)

    async def play(self, incoming: Incoming) -> Reply:
        endpoints = self._by_host[incoming.host]
        marketplace = self._marketplaces[endpoints[0].marketplace]
        for endpoint in endpoints:
            path = endpoint.match(incoming.method, incoming.path)
            if path is not None:
                return await self._perform(marketplace, endpoint, path, incoming)
        return marketplace.no_such_path(self._clock.now())

    async def _perform(
        self, marketplace: Marketplace, endpoint: Endpoint, path: Mapping[str, str], incoming: Incoming
    ) -> Reply:
        self._ledger.request(endpoint)
        try:
            seller = marketplace.seller(endpoint, incoming.headers, self._clock.now())
        except Refused as refused:
            self._ledger.refused[marketplace.name] += 1
            return refused.reply
        try:
            with marketplace.admit(endpoint, seller, path) as admission:
                if admission.refusal is not None:
                    self._ledger.violation(endpoint, seller, admission.bucket, self._clock.now())
                    return admission.refusal
                if self._latency:
                    await asyncio.sleep(self._latency)
                answer = admission.settle(self._answer(marketplace, endpoint, seller, path, incoming))
        except Refused as refused:
            return refused.reply
        self._ledger.serve(endpoint, seller, answer, self._clock.now())
        return answer

    def _answer(
        self, marketplace: Marketplace, endpoint: Endpoint, seller: str, path: Mapping[str, str], incoming: Incoming
    ) -> Reply:
        now = self._clock.now()
        failure = self._ledger.next_failure(endpoint, seller)
        if failure is not None and failure.body is not None:
            return Reply(failure.status, failure.body.encode(), failure.content_type)
        if failure is not None:
            return marketplace.failure(endpoint, failure.status, now, failure.retry)
        try:
            return endpoint.answer(
                Call(
                    seller=seller,
                    path=path,
                    query=Fields(incoming.query, texts=True),
                    body=parse_body(incoming.raw),
                    now=now,
                    cap=self._page_limits.get(_stream(endpoint)),
                )
            )
        except Invalid as invalid:
            return marketplace.invalid(endpoint, str(invalid))
        except Refused as refused:
            return refused.reply


def _stream(endpoint: Endpoint) -> str:
    return f"{endpoint.marketplace}/{endpoint.stream}"

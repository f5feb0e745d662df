"""The sandbox: three marketplaces, told apart by the Host header, behind one TLS port on this machine."""

import asyncio
import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from sandbox import control, oracle
from sandbox.authority import authority
from sandbox.clock import Clock
from sandbox.credentials import EVERY_CATEGORY, Issuer
from sandbox.ledger import Failure, Ledger, Served, Violation
from sandbox.marketplace import Marketplace
from sandbox.ozon import Ozon
from sandbox.records import World, encode
from sandbox.stage import Incoming, Stage
from sandbox.wildberries import Wildberries
from sandbox.wire import JSON, PROBLEM, Reply, reply
from sandbox.yandex_market import YandexMarket

EGRESS = "api.ipify.org"  # answers with the address that it is asked from
_TEXTS = (JSON, PROBLEM)
TOKEN_LIVES = timedelta(days=180)


@dataclass(frozen=True)
class Play:
    """How the marketplaces behave, beyond what the vendors fix.

    `epoch` is where history is counted from (default: remembered in the home since its first use); `latency` is in real
    seconds; see World for the volumes, Wildberries for `orders_end`, each marketplace for `report_polls`.
    """

    epoch: datetime | None = None
    history_days: int = 95
    scale: float = 1.0
    volumes: Mapping[str, float] = field(default_factory=dict)
    nasty: bool = False
    orders_end: Literal["empty", "repeat"] = "empty"
    report_polls: int = 2
    latency: float = 0.0


class Sandbox:
    """Use as an async context manager; `url` and `hosts` are known inside it.

    `page_limits` cuts pages below the vendor's ("wildberries/orders": 50), silently. `rate_scale` makes every limit
    that many times faster (1 is the vendor's own). Port 0 takes a free one.
    """

    def __init__(
        self,
        home: Path,
        *,
        seed: int = 1,
        clock: Clock | None = None,
        page_limits: Mapping[str, int] | None = None,
        rate_scale: float = 1.0,
        port: int = 0,
        play: Play | None = None,
    ) -> None:
        play = play or Play()
        self.clock: Clock = clock or Clock()
        self.ledger: Ledger = Ledger()
        self.authority = authority(home)
        self.ca_file = self.authority.ca_file
        self.epoch = play.epoch or _epoch(home, self.clock.now())
        self._issuer = Issuer(seed)
        self._port = port
        world = World(seed, self.epoch, play.history_days, play.scale, play.volumes, play.nasty)
        self.marketplaces: dict[str, Marketplace] = {
            "wildberries": Wildberries(world, self._issuer, rate_scale, play.orders_end, play.report_polls),
            "ozon": Ozon(world, self._issuer, rate_scale, play.report_polls),
            "yandex_market": YandexMarket(world, self._issuer, rate_scale, play.report_polls),
        }
        self._stage = Stage(
            self.marketplaces, self.ledger, self.clock, page_limits=page_limits or {}, latency=play.latency
        )
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._respond), shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self.authority.server_context())
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def hosts(self) -> dict[str, str]:
        """The vendors' hosts and EGRESS, each with the address that plays it."""
        return dict.fromkeys((*self._stage.hosts, EGRESS), self.url)

    def seller(self, marketplace: str, n: int) -> str:
        """The id of the n-th seller of a marketplace. Any other id that a credential is made for is as good."""
        return self._issuer.seller(marketplace, n)

    def credentials(
        self,
        marketplace: str,
        seller: str,
        *,
        expires: datetime | None = None,
        categories: int = EVERY_CATEGORY,
    ) -> str:
        """The secret's text as `file:` and `env:` secrets hold it. Lifetime and categories are Wildberries' only."""
        match marketplace:
            case "wildberries":
                # Good by the data clock and by real time, whichever is later.
                lives = max(self.clock.now(), datetime.now().astimezone()) + TOKEN_LIVES
                return self._issuer.wildberries(seller, expires or lives, categories)
            case "ozon":
                return encode(self._issuer.ozon(seller)).decode()
            case "yandex_market":
                return self._issuer.yandex_market(seller)
            case _:
                raise ValueError(f"There is no marketplace {marketplace!r}.")

    def revoke(self, marketplace: str, seller: str) -> None:
        """Refuse the seller's credentials from now on; `credentials` makes others, which are good."""
        self._issuer.revoke(marketplace, seller)

    def records(
        self,
        marketplace: str,
        seller: str,
        stream: str,
        *,
        slice_: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        by: str | None = None,
    ) -> list[str]:
        """The oracle; see oracle.record_keys."""
        return oracle.record_keys(
            self.marketplaces,
            self.clock.now(),
            marketplace=marketplace,
            seller=seller,
            stream=stream,
            slice_=slice_,
            start=start,
            end=end,
            by=by,
        )

    def served(self) -> list[Served]:
        return list(self.ledger.served)

    def violations(self) -> list[Violation]:
        return list(self.ledger.violations)

    def requests(self) -> dict[str, int]:
        """How many of each: "wildberries/orders", "yandex_market/united_netting/create"."""
        return dict(self.ledger.requests)

    def refused(self) -> dict[str, int]:
        """How many requests of each marketplace were refused for their credentials."""
        return dict(self.ledger.refused)

    def fail(
        self, marketplace: str, stream: str, status: int = 500, count: int = 1, *, body: str | None = None
    ) -> None:
        """Answer the next `count` requests of a stream with the vendor's body for `status`, or with `body`."""
        self.ledger.plan(Failure(marketplace, stream, count, status, body))

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        host = request.host.partition(":")[0]
        if host == control.HOST:
            return _response(request, control.answer(self, request.method, request.path, request.query, raw))
        if host == EGRESS:
            return _response(request, Reply(200, (request.remote or "").encode(), "text/plain"))
        if host not in self._stage.hosts:
            return _response(request, reply({"error": f"This server does not answer for {host}."}, 421))
        incoming = Incoming(request.method, host, request.path, request.headers, request.query, raw)
        return _response(request, await self._stage.play(incoming))


def _response(request: web.BaseRequest, answer: Reply) -> web.Response:
    headers = {**answer.headers}
    body = answer.body
    if body:
        headers["Content-Type"] = answer.content_type
        if "gzip" in request.headers.get("Accept-Encoding", "") and answer.content_type in _TEXTS:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
    return web.Response(status=answer.status, body=body, headers=headers)


def _epoch(home: Path, now: datetime) -> datetime:
    """The midnight before the home's first use, so that the data of a home never shifts."""
    file = home / "epoch"
    if not file.exists():
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(now.replace(hour=0, minute=0, second=0, microsecond=0).isoformat())
        draft.rename(file)
    return datetime.fromisoformat(file.read_text().strip())


async def serve(box: Sandbox) -> None:
    """Run until cancelled."""
    async with box:
        await asyncio.Event().wait()

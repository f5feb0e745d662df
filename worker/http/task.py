"""One request on its way, over all its attempts: whose fault each failure was, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from collectors.errors import Blame, Later, OtherProxy, TryAgain
from collectors.stream import Request
from worker.http.health import Health
from worker.http.hosts import Hosts
from worker.http.proxies import Proxy
from worker.http.targets import Target

log = structlog.get_logger(__name__)


@dataclass(kw_only=True)
class Task:
    """A request, and what its attempts have shown so far."""

    request: Request
    target: Target
    known: Hosts
    health: Health
    account_id: str
    marketplace: str
    waited_before: float  # seconds, by the run
    token: str = field(default="", repr=False)  # that signs it, where keys are exchanged for one
    is_renewed: bool = False  # … because the one before was refused
    passed_over: list[Proxy] = field(default_factory=list)  # that failed it
    failure: TryAgain | None = None  # of the last attempt
    is_spent: bool = False  # no other attempt may help: no proxy is usable, or no token is to be had
    _suspected: list[tuple[Proxy, OtherProxy]] = field(default_factory=list)  # it may have been the API as well
    _lost_on_the_way: int = 0  # attempts

    async def failed_by(self, proxy: Proxy | None, error: TryAgain, *, alone: bool) -> None:
        """Tell whose fault it was, and see that the next attempt avoids it; `alone`: there is no other proxy."""
        log.info("attempt failed", error=str(error), blame=error.blame, proxy=None if proxy is None else proxy.name)
        self.failure = error
        match error:
            case OtherProxy() if proxy is not None:
                self.passed_over.append(proxy)
                if error.blame is Blame.PROXY:
                    await self.health.fault(proxy, points=error.points, lasting=error.lasting)
                else:
                    self._suspected.append((proxy, error))
                    suspects = [suspect for suspect, _ in self._suspected]
                    self.health.doubt(suspects, account_id=self.account_id, marketplace=self.marketplace)
            case OtherProxy() | Later(blame=Blame.API):  # without a proxy, a firewall's page is the host's
                self.known.fault(self.request.host)
            case Later(blame=Blame.PATH):
                await self._lost(proxy, error, alone=alone)

    async def answered_through(self, proxy: Proxy | None) -> None:
        """The API itself answered through this proxy; so what others got before was not the API's."""
        if proxy is None:
            return
        await self.health.ok(proxy, self.marketplace)
        suspected, self._suspected = self._suspected, []
        for suspect, failure in suspected:
            if failure.blame is Blame.PAIR:
                await self.health.ban(suspect, self.marketplace)
            else:
                await self.health.fault(suspect, points=failure.points, lasting=failure.lasting)

    async def _lost(self, proxy: Proxy | None, error: Later, *, alone: bool) -> None:
        self._lost_on_the_way += 1
        self.known.fault(self.request.host, 0.5)
        if error.answer is not None:  # it came and could not be unpacked: perhaps it can be had as it is
            self.target = replace(self.target, headers={**self.target.headers, "Accept-Encoding": "identity"})
        if proxy is not None:
            await self.health.fault(proxy, points=0.5)
            if self._lost_on_the_way > 1 and not alone:
                self.passed_over.append(proxy)

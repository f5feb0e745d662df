"""Trying a proxy as a person does: the address that it goes out by, how long that takes, and whom it brings us to.

Nothing of an account goes along, so neither the proxy nor whoever tells the address can learn a secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from collectors.errors import Blame, CollectError, OtherProxy, TryAgain
from collectors.refusals import judge_status
from collectors.stream import Answer, Request
from worker.http.phases import Attempt
from worker.http.pools import Pools
from worker.http.proxies import Proxy
from worker.http.targets import USER_AGENT

_LONGEST = 256  # bytes of an answer that are looked at; an address is shorter


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was seen. `refusals`: marketplace → why it does not answer; without one it does.

    `banned`: those of them that do not let this address in, or a firewall before them.
    """

    egress: str | None = None
    seconds: float | None = None  # until the address was told, with a new connection
    problem: str | None = None  # why there is no address
    refusals: Mapping[str, str]
    banned: Collection[str] = frozenset()

    @property
    def works(self) -> bool:
        return self.egress is not None and not self.refusals


class Prober:
    """Asks through proxies. `hosts`: a vendor's host → the https address where it really is."""

    def __init__(self, pools: Pools, *, egress_url: str, hosts: Mapping[str, str]) -> None:
        self._pools = pools
        self._egress_url = egress_url
        self._hosts = hosts

    async def probe(self, proxy: Proxy | None, marketplaces: Mapping[str, Iterable[str]]) -> Probe:
        """Ask for the address, and every host of the marketplaces. None: directly."""
        egress = problem = None
        began = time.monotonic()
        try:
            egress = await self._egress(proxy)
        except (TryAgain, ValueError) as error:
            problem = str(error)
        seconds = time.monotonic() - began
        answers = await asyncio.gather(*(self._refusal(proxy, hosts) for hosts in marketplaces.values()))
        refused = {name: error for name, error in zip(marketplaces, answers, strict=True) if error}
        return Probe(
            egress=egress,
            seconds=seconds if egress else None,
            problem=problem,
            refusals={name: str(error) for name, error in refused.items()},
            banned={name for name, error in refused.items() if error.blame is Blame.PAIR},
        )

    async def _egress(self, proxy: Proxy | None) -> str:
        answer = await self._get(proxy, self._egress_url)
        try:
            return str(ip_address(answer.body.decode("ascii").strip()))
        except ValueError:
            raise ValueError(
                f"{answer.request.host} answered {answer.status} and no address: "
                "set COLLECTOR_EGRESS_URL to one that does"
            ) from None

    async def _refusal(self, proxy: Proxy | None, hosts: Iterable[str]) -> TryAgain | None:
        """Say why a marketplace does not answer: the first of its hosts that does not."""
        try:
            for host in hosts:
                _refuse_ban(await self._get(proxy, f"https://{host}/"))
        except TryAgain as error:
            return error
        return None

    async def _get(self, proxy: Proxy | None, url: str) -> Answer:
        parts = urlsplit(url)
        path = parts.path or "/"
        base = self._hosts.get(parts.hostname or "", f"https://{parts.netloc}")
        attempt = Attempt(f"GET {parts.netloc}{path}", proxy)
        sending = self._pools.stream(
            proxy,
            "GET",
            f"{base}{path}",
            params=parts.query,
            headers={
                "Host": parts.netloc,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "keep-alive",
                "User-Agent": USER_AGENT,
            },
            trace=attempt.trace,
        )
        body = b""
        async with attempt.watched(), sending as response:
            attempt.has_answered = True
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _LONGEST:
                    break
        return Answer(
            request=Request(method="GET", host=parts.hostname or "", path=path),
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body[:_LONGEST],
            fetched_at=datetime.now(UTC),
        )


def _refuse_ban(answer: Answer) -> None:
    """Raise OtherProxy for what a run would take for a ban. Any other refusal is the marketplace's own answer."""
    try:
        judge_status(answer)
    except OtherProxy as error:
        raise OtherProxy(f"{answer.request.host} refuses its address: {error}", answer=answer) from None
    except CollectError:
        return

"""Trying a proxy as a person does: the address that it goes out by, how long that takes, and whom it brings us to.

Nothing of an account goes along, so neither the proxy nor whoever tells the address can learn a secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from collectors.errors import TryAgain
from worker.http.phases import Attempt
from worker.http.pools import Pools
from worker.http.proxies import Proxy

_LONGEST = 256  # bytes of an answer that are looked at; an address is shorter


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was seen. `refusals`: marketplace → why it does not answer; without one it does."""

    egress: str | None = None
    seconds: float | None = None  # until the address was told, with a new connection
    problem: str | None = None  # why there is no address
    refusals: Mapping[str, str]

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
        refusals = {name: refusal for name, refusal in zip(marketplaces, answers, strict=True) if refusal}
        return Probe(egress=egress, seconds=seconds if egress else None, problem=problem, refusals=refusals)

    async def _egress(self, proxy: Proxy | None) -> str:
        status, body = await self._get(proxy, self._egress_url)
        try:
            return str(ip_address(body.decode("ascii").strip()))
        except ValueError:
            host = urlsplit(self._egress_url).hostname
            raise ValueError(
                f"{host} answered {status} and no address: set COLLECTOR_EGRESS_URL to one that does"
            ) from None

    async def _refusal(self, proxy: Proxy | None, hosts: Iterable[str]) -> str | None:
        """Say why a marketplace does not answer: the first of its hosts that does not."""
        try:
            for host in hosts:
                await self._get(proxy, f"https://{host}/")
        except TryAgain as error:
            return str(error)
        return None

    async def _get(self, proxy: Proxy | None, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        path = parts.path or "/"
        base = self._hosts.get(parts.hostname or "", f"https://{parts.netloc}")
        attempt = Attempt(f"GET {parts.netloc}{path}", proxy)
        sending = self._pools.client(proxy).stream(
            "GET",
            f"{base}{path}",
            params=parts.query or None,
            headers={"Host": parts.netloc, "Accept-Encoding": "identity"},
            extensions={"trace": attempt.trace},
        )
        body = b""
        async with attempt.watched(), sending as response:
            attempt.has_answered = True
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _LONGEST:
                    break
        return response.status_code, body[:_LONGEST]

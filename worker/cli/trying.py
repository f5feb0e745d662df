"""What `collector proxy test` finds out of each proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collectors.registry import STREAMS, find_marketplace
from worker.db.administration import Row
from worker.http.pools import Pools, trusted
from worker.http.probe import Probe, Prober
from worker.http.proxies import Proxy
from worker.infisical import secrets_of
from worker.secrets import Resolve, SecretUnavailable
from worker.settings import Settings

_AT_ONCE = 20  # proxies


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One proxy and what was seen."""

    name: str
    group: str
    probe: Probe
    marketplaces: tuple[str, ...]
    warnings: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Sentences; every one names the proxy."""
        found = [self.probe.problem or "", *self.probe.refusals.values()]
        return [f"{self.name}: {words}" for words in dict.fromkeys(found) if words]

    def answer_of(self, marketplace: str) -> str:
        """Say in a word what came of a marketplace."""
        if marketplace in self.probe.banned:
            return "refused"
        return "no" if marketplace in self.probe.refusals else "yes"

    def as_fields(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "group": self.group,
            "works": self.probe.works,
            "egress": self.probe.egress,
            "seconds": self.probe.seconds,
            "marketplaces": {name: name not in self.probe.refusals for name in self.marketplaces},
            "problems": self.problems,
            "warnings": self.warnings,
        }


async def try_proxies(settings: Settings, rows: Sequence[Row], *, others: Sequence[Row]) -> list[Tried]:
    """Try these proxies. `others`: all there are, whose addresses none of them should share."""
    hosts = {name: sorted(find_marketplace(name).hosts) for name in STREAMS}
    pools = Pools(trusted(settings.ca_file))
    prober = Prober(pools, egress_url=settings.egress_url, hosts=settings.hosts)
    room = asyncio.Semaphore(_AT_ONCE)

    async def attempt(row: Row, resolve: Resolve) -> Tried:
        async with room:
            probe = await _probe(prober, row, hosts, resolve)
        return Tried(name=row["name"], group=row["group"], probe=probe, marketplaces=tuple(hosts))

    try:
        with secrets_of(settings) as resolve:
            direct, tried = await asyncio.gather(
                prober.probe(None, {}), asyncio.gather(*(attempt(row, resolve) for row in rows))
            )
    finally:
        await pools.aclose()
    addresses = {row["name"]: row["egress"] for row in others} | {one.name: one.probe.egress for one in tried}
    for one in tried:
        one.warnings.extend(_warnings(one, direct.egress, addresses))
    return tried


async def _probe(prober: Prober, row: Row, hosts: Mapping[str, Iterable[str]], resolve: Resolve) -> Probe:
    credentials = None
    if row["secret_ref"] is not None:
        try:
            secret = await resolve(row["secret_ref"], ("user", "password"))
        except SecretUnavailable as error:
            return Probe(problem=str(error), refusals=dict.fromkeys(hosts, ""))
        credentials = (secret["user"], secret["password"])
    proxy = Proxy(name=row["name"], group=row["group"], url=row["url"], credentials=credentials)
    return await prober.probe(proxy, hosts)


def _warnings(one: Tried, direct: str | None, addresses: Mapping[str, str | None]) -> list[str]:
    egress = one.probe.egress
    if egress is None:
        return []
    found = []
    if egress == direct:
        found.append(f"{one.name} goes out by {egress}, which is this machine's own address")
    if same := [name for name, address in addresses.items() if address == egress and name != one.name]:
        found.append(f"{one.name} goes out by {egress}, as {', '.join(same)} does: they share its room for accounts")
    return found

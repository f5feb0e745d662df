"""Where a case is played: a database, a Valkey, an API and three proxies; and what was seen of it afterwards."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from structlog.testing import capture_logs

from collectors.stream import Secret
from sandbox.faults.answers import Reply
from sandbox.faults.api import FaultApi
from sandbox.faults.case import Case, Play, Tunnels
from sandbox.faults.certificates import Certificates
from sandbox.faults.proxies import WORDS, FaultProxy
from tests.faults.scenes import FILES, HOSTS, SECRETS
from tests.servers import Database
from worker.db.progress import AccountId, SliceKey
from worker.db.reconcile import reconcile_account
from worker.db.tenancy import OrganizationId, tenant_transaction
from worker.http.hosts import Hosts
from worker.http.pools import Pools
from worker.http.proxies import Proxy, ranked
from worker.jobs import collect_slice
from worker.resources import Resources

GOOD = {
    "/reports/create": Reply(body=b'{"report": "7"}'),
    "/reports/info/7": Reply(body=b'{"state": "ready", "file": "https://%s/files/7.csv"}' % FILES.encode()),
    "/files/7.csv": Reply(body=b"id\r\n1\r\n", headers={"Content-Type": "text/csv"}),
}
_numbers = itertools.count(1)


class NotedPools(Pools):
    """The real ones, which note in `log` who is sent through."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground.context)
        self._ground = ground

    def transport(self, proxy: Proxy | None) -> Any:
        ground = self._ground
        ground.log.append(Sent(None if proxy is None else proxy.name, len(ground.api.seen)))
        return super().transport(proxy)


async def keys(_: str, names: tuple[str, ...], *, fresh: bool = False) -> Secret:
    """Return the key of any account, or the password of any proxy."""
    del fresh
    if "user" in names:
        return {"user": WORDS[0], "password": WORDS[1]}
    return next(secret for secret in SECRETS.values() if set(names) <= set(secret))


@dataclass(frozen=True)
class Sent:
    """An attempt began."""

    proxy: str | None
    number: int  # of the request at the API, if it arrives


@dataclass(frozen=True)
class Slept:
    """A pause was asked for; it is over at once."""

    seconds: float


@dataclass
class Seller:
    """An account of a case, and who plays the proxies of its group."""

    key: SliceKey
    external_id: str
    players: dict[Proxy, FaultProxy] = field(default_factory=dict)
    known: Hosts = field(default_factory=Hosts)  # what its worker has seen of the hosts: nothing of another case
    addresses: dict[Proxy, str] = field(default_factory=dict)  # where it is not the player's own

    @property
    def own(self) -> Proxy:
        """The proxy that the account uses while nothing is wrong."""
        return ranked(list(self.players), str(self.key.account_id))[0]

    def bad(self, *, lasting: bool) -> list[Proxy]:
        """Return who misbehaves: all of them if it lasts, so that no other one helps, or else the account's own."""
        return list(self.players) if lasting else [self.own]


@dataclass
class Ground:
    """Everything that the cases share. Each has sellers, proxies and clients of its own."""

    resources: Resources
    database: Database
    api: FaultApi
    certificates: Certificates
    context: ssl.SSLContext

    log: list[object]
    is_stopping: bool = False  # the worker

    async def seller(self, case: Case, *, group: str | None = None) -> Seller:
        """Make an account of a seller of its own."""
        number = next(_numbers)
        return await self._account(case.marketplace, case.scene.name.lower(), f"{1000 + number}", group)

    async def neighbour(self, seller: Seller) -> Seller:
        """Make another account of the same seller."""
        return await self._account(seller.key.marketplace, seller.key.stream, seller.external_id, None)

    async def _account(self, marketplace: str, stream: str, external_id: str, group: str | None) -> Seller:
        name = f"account {next(_numbers)}"
        async with self.database.connect("collector_admin") as admin:
            organization: UUID = await admin.fetchval(
                "INSERT INTO core.organization (name) VALUES ($1) RETURNING id", name
            )
            account: UUID = await admin.fetchval(
                "INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref,"
                " proxy_group) VALUES ($1, $2, $3, $4, 'file:/not/read', $5) RETURNING id",
                organization,
                marketplace,
                name,
                external_id,
                group,
            )
        key = SliceKey(
            organization_id=OrganizationId(organization),
            account_id=AccountId(account),
            marketplace=marketplace,
            stream=stream,
            slice="",
            lane="live",
        )
        async with tenant_transaction(self.resources.sessions, key.organization_id) as session:
            streams = self.resources.streams[marketplace]
            now = self.resources.clock.now()
            await reconcile_account(session, key.organization_id, key.account_id, streams, now)
        return Seller(key, external_id)

    @asynccontextmanager
    async def group(self, case: Case, play: Play | None = None, *, size: int = 3) -> AsyncIterator[Seller]:
        """Make an account whose group has proxies of the play's kind; without a group if the case goes out directly."""
        if case.direct:
            yield await self.seller(case)
            return
        tunnels = play if isinstance(play, Tunnels) else Tunnels()
        name = f"group {next(_numbers)}"
        seller = await self.seller(case, group=name)
        async with AsyncExitStack() as stack:
            for letter in "abc"[:size]:
                player = FaultProxy(self.certificates, tunnels.kind)
                await stack.enter_async_context(player.serving())
                proxy = Proxy(name=f"{name} {letter}", group=name, url=player.url)
                seller.players[proxy] = player
            yield seller

    async def run(
        self, seller: Seller, *, hosts: Mapping[str, str], fetching: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> list[str]:
        """Collect the seller's slice once, as the job would; return the alarms that were raised.

        `hosts` are elsewhere than at the API, `fetching` and `changes` in the fetcher and in the resources otherwise.
        """
        await self._write_proxies(seller)
        hosts = {**dict.fromkeys([*HOSTS.values(), FILES], self.api.url), **hosts}
        own = {"pools": NotedPools(self), "sleep": self.sleep, "hosts": hosts, "known": seller.known, **fetching}
        fetcher = replace(self.resources.fetcher, **own)
        resources = replace(self.resources, **{"fetcher": fetcher, "secret": keys, **changes})
        try:
            with capture_logs() as logs:
                await collect_slice(resources, seller.key, stopping=lambda: self.is_stopping)
        finally:
            await fetcher.aclose()
        return [entry["event"] for entry in logs if entry["log_level"] in {"error", "critical"}]

    async def _write_proxies(self, seller: Seller) -> None:
        async with self.database.connect("collector_admin") as admin:
            for proxy in seller.players:
                await admin.execute(
                    "INSERT INTO core.proxy (name, proxy_group, url, secret_ref) VALUES ($1, $2, $3, 'file:/not/read')"
                    " ON CONFLICT (name) DO NOTHING",
                    proxy.name,
                    proxy.group,
                    seller.addresses.get(proxy, proxy.url),
                )

    async def sleep(self, seconds: float) -> None:
        self.log.append(Slept(seconds))
        await asyncio.sleep(0)

    async def row(self, sql: str, seller: Seller) -> Any:
        """Ask for one row about the seller's account, $1."""
        async with self.database.connect("collector_reader_all") as reader:
            return await reader.fetchrow(sql, seller.key.account_id)

    async def pass_waits(self) -> None:
        async with self.database.connect("collector_admin") as admin:
            await admin.execute("UPDATE collect.stream_state SET not_before = NULL")

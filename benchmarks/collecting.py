"""The collector at work for a benchmark: a worker in a process of its own, and its two halves alone in this one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec

from benchmarks.ground import Ground
from benchmarks.keeping import keep_pages
from benchmarks.own_marketplace import GOODS, HOST, SHOP, STREAMS, installed
from benchmarks.server import Site
from collectors.registry import by_name
from collectors.stream import Page, Walk
from worker import schedule
from worker.client import Client
from worker.collect import collect
from worker.db.progress import AccountId, Lease, SliceKey, take_lease
from worker.db.tenancy import OrganizationId, tenant_driver
from worker.http.fetch import AccountFetch
from worker.http.proxies import Proxy
from worker.jobs import collect_slice
from worker.keeping import Tally
from worker.main import open_resources
from worker.resources import Resources
from worker.settings import load

_DONE_WITHIN = 60.0  # seconds
_RATE_SCALE = 1e9  # limits are asked about, and never met
_SECRET = {"token": "no-secret"}
_CLEAN = "TRUNCATE raw.payload, collect.walk, collect.run, collect.request"
_UNDONE = "SELECT count(*) FROM collect.request WHERE done_at IS NULL"
_DUE = """
UPDATE collect.stream_state SET next_due_at = now(), not_before = NULL, lease_until = NULL, lease_token = NULL
"""
_ACCOUNT = """
INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)
VALUES ($1, $2, $3, $3, $4) RETURNING id
"""
_FOUND = """
SELECT count(*), sum((one ->> 'amount')::bigint) FROM raw.page p, json_array_elements(p.payload -> 'items') one
"""


@dataclass
class Collector:
    """One organization with an account of each seller of the site."""

    site: Site
    admin: asyncpg.Connection[asyncpg.Record]
    resources: Resources
    environment: dict[str, str]  # of a worker
    organization: OrganizationId
    accounts: Sequence[AccountId]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def ask(self) -> None:
        """Forget what was collected, and enqueue the collection of every account as `collector enqueue` does."""
        await self.clean()
        client = Client(self.resources.sessions, self.resources.redis, self.resources.streams)
        for account in self.accounts:
            await client.request(self.organization, account, GOODS.name, asked_by="benchmark")

    async def work(self, url: str, *, processes: int) -> None:
        """Start a worker that finds the shop there, and return when it has done what was asked."""
        log = self.site.home / "worker.log"
        hosts = {"COLLECTOR_HOSTS": msgspec.json.encode({HOST: url}).decode()}
        with log.open("wb") as file:
            command = [sys.executable, "-m", "worker.cli", "worker", "--processes", str(processes)]
            self.workers.append(subprocess.Popen(command, env=self.environment | hosts, stdout=file, stderr=file))  # noqa: ASYNC220
        until = time.monotonic() + _DONE_WITHIN
        while await self.admin.fetchval(_UNDONE):
            if time.monotonic() > until:
                raise TimeoutError(f"the worker did not collect within {_DONE_WITHIN:.0f} s: {log.read_text()[-2000:]}")
            await asyncio.sleep(0.01)

    async def dismiss(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.terminate()
        while self.workers:
            await asyncio.to_thread(self.workers.pop().wait)

    async def found(self) -> tuple[int, int]:
        """Return how many records a reader finds, and what their amounts add up to."""
        found = await self.admin.fetchrow(_FOUND)
        assert found is not None
        return found[0], int(found[1] or 0)

    async def fetch(self, url: str, proxies: Sequence[Proxy] = ()) -> list[list[Page]]:
        """Do what runs do to get their pages, all sellers at the same time, and keep nothing."""
        return await asyncio.gather(*(_walk(self._fetch(seller, url, proxies)) for seller in self.site.sellers))

    async def collect(self, url: str, proxies: Sequence[Proxy] = ()) -> None:
        """Do what runs do, all sellers at the same time; they are due."""

        async def one(seller: int) -> None:
            lease, fetch = await self._lease(self.accounts[seller]), self._fetch(seller, url, proxies)
            tally = Tally(without_keys=lambda answer: answer)
            await collect(
                self.resources, lease, stream=GOODS, seller=fetch.seller, fetch=fetch, tally=tally, enough=lambda: False
            )

        await asyncio.gather(*(one(seller) for seller in self.site.sellers))

    async def run(self, url: str) -> None:
        """Do whole runs, from the lease to the record of the run, all sellers at the same time; they are due."""
        resources = replace(self.resources, fetcher=replace(self.resources.fetcher, hosts={HOST: url}))
        await asyncio.gather(
            *(collect_slice(resources, self._key(account), stopping=lambda: False) for account in self.accounts)
        )

    async def leases(self) -> list[Lease]:
        """Forget what was collected, and take each account's lease."""
        await self.clean()
        return [await self._lease(account) for account in self.accounts]

    async def keep(self, leases: Sequence[Lease], pages: Sequence[Sequence[Page]]) -> None:
        """Do what runs do with their pages, all at the same time."""
        await asyncio.gather(
            *(
                keep_pages(self.resources, lease, GOODS, of_seller)
                for lease, of_seller in zip(leases, pages, strict=True)
            )
        )

    async def clean(self) -> None:
        """Forget what was collected, and let everything be due."""
        await self.admin.execute(_CLEAN)
        await self.admin.execute(_DUE)  # what was kept in this process left its lease behind

    def _fetch(self, seller: int, url: str, proxies: Sequence[Proxy]) -> AccountFetch:
        """Let a seller's account go through its own one of these proxies, if there are any."""

        async def secret() -> dict[str, str]:
            return _SECRET

        return AccountFetch(
            fetcher=replace(self.resources.fetcher, hosts={HOST: url}),
            stream=GOODS,
            seller=str(seller),
            account_id=str(self.accounts[seller]),
            secret=_SECRET,
            resolve=secret,
            proxy_group=proxies[0].group if proxies else None,
            proxies=proxies,
        )

    async def _lease(self, account: AccountId) -> Lease:
        async with tenant_driver(self.resources.sessions, self.organization) as driver:
            lease = await take_lease(driver, self._key(account))
        assert lease is not None
        return lease

    def _key(self, account: AccountId) -> SliceKey:
        return SliceKey(
            organization_id=self.organization,
            account_id=account,
            marketplace=SHOP.name,
            stream=GOODS.name,
            slice="",
            lane="live",
        )


async def _walk(fetch: AccountFetch) -> list[Page]:
    now = datetime.now(UTC)
    pages = []
    async for step in GOODS.pages(fetch, Walk(seller=fetch.seller, since=now, now=now)):
        assert isinstance(step, Page)
        pages.append(step)
        fetch.release()
    return pages


@asynccontextmanager
async def collecting(ground: Ground, site: Site) -> AsyncIterator[Collector]:
    """Make the accounts, and everything that a worker needs to know of."""
    urls = {
        "COLLECTOR_DATABASE_URL": ground.servers.worker_url,
        "COLLECTOR_REDIS_URL": ground.servers.redis_url,
        "COLLECTOR_CA_FILE": str(site.tls.ca_file),
        "COLLECTOR_RATE_SCALE": str(_RATE_SCALE),
        "COLLECTOR_HEALTH_FILE": str(site.home / "alive"),
    }
    secret = site.home / "secret"
    secret.write_text(_SECRET["token"])
    settings = load(
        database_url=ground.servers.worker_url,
        redis_url=ground.servers.redis_url,
        ca_file=site.tls.ca_file,
        rate_scale=_RATE_SCALE,
    )
    async with ground.admin() as admin, open_resources(settings, streams=by_name(STREAMS)) as resources:
        organization = await admin.fetchval("INSERT INTO core.organization (name) VALUES ('bench') RETURNING id")
        accounts = [
            AccountId(await admin.fetchval(_ACCOUNT, organization, SHOP.name, str(seller), f"file:{secret}"))
            for seller in site.sellers
        ]
        await schedule.keep_partitions_ahead(resources)
        await schedule.reconcile(resources)
        with installed() as package:
            paths = {"PYTHONPATH": f"{package}{os.pathsep}{Path.cwd()}"}
            yield Collector(
                site=site,
                admin=admin,
                resources=resources,
                environment={**os.environ, **urls, **paths},  # noqa: TID251 - a child needs PATH
                organization=OrganizationId(organization),
                accounts=accounts,
            )

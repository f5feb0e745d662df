"""The whole stage for a test: sandbox marketplaces, tenants with accounts, and a worker to run on it.

A pytest plugin. The database is entered as the restricted role; only setting the stage uses the owner's.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from collectors.registry import STREAMS
from collectors.stream import ListedBy, Stream, Window, Windows
from collectors.windows import days, missing
from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.servers import Database
from worker import schedule
from worker.client import Client
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId, tenant_transaction
from worker.jobs import collect_slice
from worker.main import open_resources
from worker.resources import Resources
from worker.settings import Settings, load

PAGE_LIMITS = {
    "wildberries/orders": 40,
    "wildberries/cards": 25,
    "wildberries/prices": 7,
    "wildberries/fin_detail": 40,
    "wildberries/order_feed": 40,
    "wildberries/feedbacks": 7,
    "wildberries/sales": 60,
    "wildberries/sales_funnel": 2,
    "wildberries/fbs_orders": 8,
    "wildberries/item_returns": 4,
    "wildberries/stocks_wb": 8,
    "wildberries/stocks_seller": 8,
    "wildberries/fbw_supplies": 30,
    "wildberries/fin_reports": 20,
    "wildberries/fin_detail_by_id": 40,
    "wildberries/questions": 5,
    "wildberries/claims": 7,
    "ozon/products": 25,
    "ozon/fbs_postings": 8,
    "ozon/accruals_by_day": 12,
    "ozon/prices": 25,
    "ozon/stocks_fbs": 20,
    "ozon/stocks_fbo_wh": 25,
    "ozon/fbo_postings": 2,
    "ozon/returns": 8,
    "ozon/analytics": 8,
    "ozon/product_attributes": 25,
    "ozon/warehouses": 2,
    "ozon/supply_orders": 8,
    "ozon/reviews": 5,
    "ozon/questions": 5,
    "ozon/returns_rfbs": 5,
    "ozon/turnover": 20,
    "ozon/perf_campaigns": 2,
    "yandex_market/campaigns": 2,
    "yandex_market/orders_stats": 10,
    "yandex_market/orders": 20,
    "yandex_market/prices": 30,
    "yandex_market/returns": 10,
    "yandex_market/offers": 20,
    "yandex_market/campaign_offers": 10,
    "yandex_market/warehouses": 2,
}

# One stream for each way of paging: what a test collects that is not about the catalogue.
FEW = {
    "wildberries": ("cards", "feedbacks", "fin_detail", "order_feed", "orders", "prices"),
    "ozon": ("accruals_by_day", "fbs_postings", "products"),
    "yandex_market": ("campaigns", "orders", "orders_stats", "prices", "united_netting"),
}


@dataclass(frozen=True)
class Account:
    organization_id: OrganizationId
    id: AccountId
    marketplace: str
    seller: str

    def key(self, stream: str, slice_name: str = "", lane: str = "live") -> SliceKey:
        return SliceKey(
            organization_id=self.organization_id,
            account_id=self.id,
            marketplace=self.marketplace,
            stream=stream,
            slice=slice_name,
            lane=lane,
        )


@dataclass
class Stage:
    """A sandbox, a database, a queue and the accounts on it."""

    box: Sandbox
    database: Database
    settings: Settings
    secrets: Path
    accounts: list[Account] = field(default_factory=list)

    async def add_organization(self, name: str) -> OrganizationId:
        async with self.database.connect("collector_admin") as admin:
            return OrganizationId(
                await admin.fetchval("INSERT INTO core.organization (name) VALUES ($1) RETURNING id", name)
            )

    async def add_account(
        self,
        organization_id: OrganizationId,
        marketplace: str,
        *,
        number: int = 1,
        proxy_group: str | None = None,
        streams: Sequence[str] | None = None,
    ) -> Account:
        """Add an account that collects these streams only, or all there are."""
        seller = self.box.seller(marketplace, number)
        secret = self.secrets / f"{marketplace}-{number}"
        secret.write_text(self.box.credentials(marketplace, seller))
        async with self.database.connect("collector_admin") as admin:
            account_id: UUID = await admin.fetchval(
                "INSERT INTO core.marketplace_account"
                " (organization_id, marketplace, name, external_id, secret_ref, proxy_group, streams)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
                organization_id,
                marketplace,
                f"{marketplace} {number}",
                seller,
                f"file:{secret}",
                proxy_group,
                streams,
            )
        account = Account(organization_id, AccountId(account_id), marketplace, seller)
        self.accounts.append(account)
        return account

    @asynccontextmanager
    async def resources(self, **options: Any) -> AsyncIterator[Resources]:
        """What a worker would have, with the rows of every account made."""
        async with open_resources(self.settings, **options) as resources:
            await schedule.reconcile(resources)
            yield resources

    def client(self, resources: Resources) -> Client:
        return Client(resources.sessions, resources.redis, resources.streams)

    def environment(self) -> dict[str, str]:
        """The environment of a worker in a process of its own."""
        redis_url = self.settings.redis_url
        assert redis_url is not None
        return {
            **os.environ,  # noqa: TID251 - a child needs PATH
            "COLLECTOR_DATABASE_URL": self.database.worker_url,
            "COLLECTOR_OWNER_DATABASE_URL": self.database.owner_url,
            "COLLECTOR_REDIS_URL": redis_url.get_secret_value(),
            "COLLECTOR_HOSTS": json.dumps(dict(self.box.hosts)),
            "COLLECTOR_CA_FILE": str(self.box.ca_file),
            "COLLECTOR_RATE_SCALE": str(self.settings.rate_scale),
            "COLLECTOR_HOME": str(self.secrets),
            "COLLECTOR_HEALTH_FILE": str(self.secrets / "alive"),
            "COLLECTOR_LOG_FORMAT": "json",
        }

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        """Ask the database as the role that may read every tenant."""
        async with self.database.connect("collector_reader_all") as reader:
            return list(await reader.fetch(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return (await self.rows(sql, *arguments))[0][0]

    async def change(self, sql: str, *arguments: Any) -> None:
        """Change rows of any tenant, as an administrator or as time would."""
        async with self.database.connect("collector_admin") as admin:
            await admin.execute(sql, *arguments)

    async def pass_waits(self) -> None:
        """Let every wait that was written down be over."""
        await self.change("UPDATE collect.stream_state SET not_before = NULL")

    async def make_due(self) -> None:
        """Let every live slice be due."""
        await self.change("UPDATE collect.stream_state SET next_due_at = now(), not_before = NULL")


async def _no_sleep(_: float) -> None:
    await asyncio.sleep(0)


def hasty(resources: Resources) -> Resources:
    """The same, but pauses between two attempts take no time."""
    return replace(resources, fetcher=replace(resources.fetcher, sleep=_no_sleep))


async def run_all(
    resources: Resources, account: Account, stream: str, *, stopping: Callable[[], bool] = lambda: False
) -> None:
    """Run every live slice of a stream once, as the job would."""
    async with tenant_transaction(resources.sessions, account.organization_id) as session:
        found = await session.execute(
            text(
                "SELECT slice FROM collect.stream_state WHERE marketplace_account_id = :account"
                " AND stream = :stream AND lane = 'live' AND state <> 'retired' ORDER BY slice"
            ),
            {"account": account.id, "stream": stream},
        )
        slices = found.scalars().all()
    assert slices, f"{stream} has no slices"
    for name in slices:
        await collect_slice(resources, account.key(stream, name), stopping=stopping)


@pytest.fixture
async def stage(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A fresh stage whose data stand still, without limits on the rate: a test about limits makes its own."""
    async with Sandbox(
        tmp_path / "sandbox",
        clock=Clock.frozen(datetime.now(UTC)),
        page_limits=PAGE_LIMITS,
        rate_scale=math.inf,
        play=Play(scale=0.3, report_polls=1),
    ) as box:
        yield Stage(box, database, stage_settings(box, database, redis_url), tmp_path)


def stage_settings(box: Sandbox, database: Database, redis_url: str, *, rate_scale: float = 1e6) -> Settings:
    return load(
        database_url=database.worker_url,
        owner_database_url=database.owner_url,
        redis_url=redis_url,
        hosts=dict(box.hosts),
        ca_file=box.ca_file,
        rate_scale=rate_scale,
        pool_size=5,
    )


def reports(marketplace: str) -> set[str]:
    """Return the streams that are reports: each of their runs ends by waiting, and they bring files."""
    return {name for name, stream in STREAMS[marketplace].items() if stream.paging.startswith("report")}


def silent(marketplace: str) -> set[str]:
    """Return the streams that have nothing to ask for at this hour, however much is missing.

    Ozon tells of a product's advertising on a day until the next day is over: around midnight in Moscow the last one
    cannot safely be asked for any more, and the new one not yet.
    """
    now = datetime.now(UTC)
    ever = [Window(now - days(30), now)]
    return {
        name
        for name, stream in STREAMS[marketplace].items()
        if isinstance(stream.progress, Windows) and not missing(stream.progress, ever, now)
    }


def every_stream(marketplace: str) -> list[str]:
    """Every stream, behind those that list its slices and those that bring its ids."""
    streams = STREAMS[marketplace]
    return list(TopologicalSorter({name: brought_by(streams[name]) for name in sorted(streams)}).static_order())


def brought_by(stream: Stream) -> set[str]:
    """Return the streams that a stream needs first."""
    lists = {stream.slices.stream} if isinstance(stream.slices, ListedBy) else set()
    return lists | set(stream.ids.streams if stream.ids else ())

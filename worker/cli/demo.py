"""`collector demo`: the main job on this machine, from empty servers to a summary that can be checked."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import text

from collectors.registry import STREAMS
from collectors.stream import ListedBy
from sandbox.proxies import Proxies
from sandbox.server import Play, Sandbox
from worker import logs, schedule
from worker.cli.demo_summary import Scene, summarize
from worker.cli.demo_tenants import DemoAccount, settle
from worker.cli.errors import Refused
from worker.cli.opening import as_admin, using
from worker.cli.tables import console
from worker.cli.words import number
from worker.client import Client
from worker.db.migrate import upgrade
from worker.db.requests import RequestId
from worker.db.tenancy import OrganizationId, tenant_transaction
from worker.embedded import Embedded, remove, start
from worker.main import build_worker, open_resources
from worker.resources import Resources
from worker.runtime import run
from worker.settings import Settings

RATE_SCALE = 6000.0  # a minute of the vendors' is ten milliseconds, half a day seven seconds
GIVE_UP_AFTER = 300.0  # seconds; a busy machine takes several times as long as an idle one
_LOOK_EVERY = 0.25

# Well below the vendors', so that a shop's three months are many pages.
PAGE_LIMITS = {
    "wildberries/orders": 200,
    "wildberries/cards": 10,
    "wildberries/prices": 10,
    "wildberries/fin_detail": 120,
    "wildberries/order_feed": 100,
    "wildberries/feedbacks": 60,
    "wildberries/sales": 300,
    "wildberries/stocks_wb": 20,
    "wildberries/stocks_seller": 20,
    "wildberries/fbw_supplies": 50,
    "wildberries/claims": 25,
    "ozon/products": 25,
    "ozon/fbs_postings": 24,
    "ozon/accruals_by_day": 24,
    "ozon/prices": 50,
    "ozon/stocks_fbs": 50,
    "ozon/stocks_fbo_wh": 50,
    "ozon/product_attributes": 50,
    "ozon/supply_orders": 20,
    "ozon/turnover": 50,
    "yandex_market/campaigns": 2,
    "yandex_market/orders_stats": 120,
    "yandex_market/orders": 120,
    "yandex_market/prices": 25,
}

_COUNTS = text("""
SELECT (SELECT count(*) FROM collect.request WHERE id = ANY(:ids) AND done_at IS NOT NULL) AS done,
       count(*) AS pages, coalesce(sum(record_count), 0) AS records
FROM raw.payload WHERE fetched_at >= :since
""")
_DONE = text("SELECT id FROM collect.request WHERE id = ANY(:ids) AND done_at IS NOT NULL")
_STILL = text("""
SELECT s.stream, s.state, s.last_error FROM collect.stream_state s
WHERE s.last_error IS NOT NULL ORDER BY s.stream LIMIT 1
""")


def show(settings: Settings, *, fresh: bool) -> None:
    """Run the demo. Leaves nothing running, however it ends. Raises what main() explains."""
    home = settings.home
    if fresh:
        _forget(home)
    home.mkdir(parents=True, exist_ok=True)
    out, notes = console(), console(stderr=True)
    with (home / "demo.log").open("a", encoding="utf-8") as log:
        logs.configure("json", settings.log_level, stream=log)
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # the sandbox's side of every request
        with _step(notes, "PostgreSQL 18 and Valkey run on this machine"):
            running = start(home)
        with running:
            with _step(notes, "the database is migrated"):
                upgrade(running.servers.owner_url)
            proxies = Proxies(home / "sandbox", 2)
            with _step(notes, "two forward proxies answer over TLS"):
                proxies.__enter__()
            try:
                asyncio.run(_show(settings, running, proxies, out, notes))
            finally:
                proxies.__exit__(None, None, None)


async def _show(settings: Settings, running: Embedded, proxies: Proxies, out: Console, notes: Console) -> None:
    play = Play(scale=0.5, report_polls=0)
    place = settings.home / "sandbox"
    async with Sandbox(place, page_limits=PAGE_LIMITS, rate_scale=RATE_SCALE, play=play) as box:
        ready = using(settings, running.servers).model_copy(
            update={"hosts": box.hosts, "ca_file": box.ca_file.resolve(), "rate_scale": RATE_SCALE}
        )
        with _step(notes, "the marketplaces answer; two organizations have an account in each"):
            async with as_admin(ready) as session:
                accounts = await settle(session, box, proxies, settings.home / "secrets")
        async with open_resources(ready) as resources:
            job = _Job(resources, accounts, resources.clock.now())
            with _step(notes, "every stream of every account is asked for"):
                await schedule.keep_partitions_ahead(resources)
                await schedule.reconcile(resources)
                await job.ask()
            began = time.monotonic()
            async with _working(ready, resources):
                await _collect(job, notes)
            scene = Scene(
                home=settings.home,
                servers=running.servers,
                accounts=accounts,
                since=job.since,
                seconds=time.monotonic() - began,
                served=frozenset(one.sha256 for one in box.served()),
                violations=len(box.violations()),
                tunnels=proxies.connects,
            )
            await summarize(scene, resources.sessions, out)


@asynccontextmanager
async def _working(settings: Settings, resources: Resources) -> AsyncIterator[None]:
    """Run a worker in this process. If it ends by itself, so does what is inside."""
    worker = build_worker(settings, resources, handle_signals=False)
    task = asyncio.create_task(run(worker))
    try:
        yield
        if task.done():
            task.result()
    finally:
        worker.stopping.set()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class _Job:
    """What the demo asked for, and what of it must wait for the list of its slices."""

    resources: Resources
    accounts: Sequence[DemoAccount]
    since: datetime
    asked: dict[OrganizationId, list[RequestId]] = field(default_factory=dict)
    lists: dict[tuple[DemoAccount, str], RequestId] = field(default_factory=dict)

    async def ask(self) -> None:
        for account in self.accounts:
            streams = STREAMS[account.marketplace].values()
            listing = {stream.slices.stream for stream in streams if isinstance(stream.slices, ListedBy)}
            for stream in streams:
                if isinstance(stream.slices, ListedBy):
                    continue
                requests = await self._request(account, stream.name)
                if stream.name in listing:
                    self.lists[account, stream.name] = requests[0]

    async def ask_listed(self) -> None:
        """Ask for the streams whose slices have been listed by now."""
        for (account, listing), request in list(self.lists.items()):
            async with tenant_transaction(self.resources.sessions, account.organization_id) as session:
                done = (await session.execute(_DONE, {"ids": [request]})).first()
            if done is None:
                continue
            del self.lists[account, listing]
            for stream in STREAMS[account.marketplace].values():
                if isinstance(stream.slices, ListedBy) and stream.slices.stream == listing:
                    await self._request(account, stream.name)

    async def counts(self) -> tuple[int, int, int]:
        """Requests done, pages and records so far."""
        done = pages = records = 0
        for organization, requests in self.asked.items():
            async with tenant_transaction(self.resources.sessions, organization) as session:
                row = (await session.execute(_COUNTS, {"ids": requests, "since": self.since})).one()
            done, pages, records = done + row.done, pages + row.pages, records + row.records
        return done, pages, records

    @property
    def total(self) -> int:
        return sum(len(requests) for requests in self.asked.values())

    async def _request(self, account: DemoAccount, stream: str) -> list[RequestId]:
        client = Client(self.resources.sessions, self.resources.redis, self.resources.streams)
        requests = await client.request(account.organization_id, account.id, stream, asked_by="demo")
        self.asked.setdefault(account.organization_id, []).extend(requests)
        return requests


async def _collect(job: _Job, notes: Console) -> None:
    columns = (
        TextColumn("collecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests, {task.fields[brought]}"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + GIVE_UP_AFTER
    with Progress(*columns, console=notes) as progress:
        bar = progress.add_task("", total=job.total, brought="0 pages")
        while True:
            await job.ask_listed()
            done, pages, records = await job.counts()
            brought = f"{number(pages)} pages, {number(records)} records"
            progress.update(bar, total=job.total, completed=done, brought=brought)
            if done == job.total and not job.lists:
                return
            if time.monotonic() > deadline:
                raise Refused(await _why_not(job, job.total - done))
            await asyncio.sleep(_LOOK_EVERY)


async def _why_not(job: _Job, still: int) -> str:
    async with tenant_transaction(job.resources.sessions, job.accounts[0].organization_id) as session:
        row = (await session.execute(_STILL)).one_or_none()
    why = "" if row is None else f" ({row.stream}: {row.last_error})"
    return f"{still} requests are still open after {GIVE_UP_AFTER:.0f} s{why}: demo.log in the home tells more"


@contextmanager
def _step(notes: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    with notes.status(f"{what} …"):
        yield
    notes.print(f"✓ {what} ({time.monotonic() - began:.1f} s)", markup=False)


def _forget(home: Path) -> None:
    """Delete what a demo made in its home, and nothing else."""
    remove(home)
    for name in ("sandbox", "secrets"):
        shutil.rmtree(home / name, ignore_errors=True)
    (home / "demo.log").unlink(missing_ok=True)

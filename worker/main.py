"""The composition root: opens what a process needs, checks that it may run, and closes it again."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from arq import cron, func
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from collectors.registry import STREAMS
from collectors.stream import Stream
from worker import client, jobs, schedule
from worker.clock import TOO_FAR, Clock
from worker.db.engine import UnsafeRole, make_engine, make_sessions, refuse_unsafe_role
from worker.db.migrate import NotMigrated, require_current
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId, system_transaction
from worker.http.fetch import Fetcher
from worker.queue import QueueUnavailable, make_redis, ping
from worker.resources import Resources
from worker.runtime import CollectorWorker, run, worker_options
from worker.secrets import resolve
from worker.settings import Settings, redis_parts

log = structlog.get_logger(__name__)

START_WITHIN = timedelta(seconds=30)  # how long a start waits for PostgreSQL and Redis

Catalogue = Mapping[str, Mapping[str, Stream]]

_NOW = text("SELECT clock_timestamp()")
_WAITS = text("SELECT key, not_before FROM collect.bucket_waits()")
_PUT_OFF = text("SELECT collect.bucket_put_off(:key, :until)")


class CannotStart(Exception):
    """The process cannot run as it is set up. The message is one sentence: what is wrong, what to do."""


@asynccontextmanager
async def open_resources(
    settings: Settings, *, streams: Catalogue = STREAMS, clock: Clock | None = None, within: timedelta = START_WITHIN
) -> AsyncIterator[Resources]:
    """Open everything, refuse what must not run, and close it all on leaving. Raises CannotStart or SettingsError."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings.worker_postgres(), pool_size=settings.pool_size)
        stack.push_async_callback(engine.dispose)
        redis = make_redis(settings.redis(), ca_file=settings.ca_file)
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        await _wait_for_database(engine, within)
        await _refuse_unfit(engine)
        try:
            await ping(redis, within)
        except QueueUnavailable as error:
            raise CannotStart(str(error)) from error
        sessions = make_sessions(engine)
        clock = clock or Clock()

        async def write_long_wait(key: str, until: datetime) -> None:
            async with system_transaction(sessions) as session:
                await session.execute(_PUT_OFF, {"key": key, "until": until})

        fetcher = Fetcher(
            redis,
            hosts=settings.hosts,
            ca_file=settings.ca_file,
            rate_scale=settings.rate_scale,
            body_budget=settings.body_budget_mb << 20,
            now=clock.now,
            on_long_wait=write_long_wait,
        )
        stack.push_async_callback(fetcher.aclose)
        resources = Resources(
            sessions=sessions,
            redis=redis,
            fetcher=fetcher,
            secret=resolve,
            streams=streams,
            clock=clock,
            partitions_ahead=settings.partitions_ahead,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )
        await correct_clock(resources)
        async with system_transaction(sessions) as session:
            waits = {row.key: row.not_before for row in await session.execute(_WAITS)}
        await fetcher.limits.restore(waits)
        yield resources


async def run_worker(settings: Settings) -> None:
    """Run a worker until it is told to stop. Raises CannotStart or SettingsError."""
    async with open_resources(settings) as resources:
        await schedule.keep_partitions_ahead(resources)
        await schedule.reconcile(resources)
        await run(build_worker(settings, resources))


def build_worker(settings: Settings, resources: Resources) -> CollectorWorker:
    """Put the worker together. Call it inside the running loop."""
    worker = CollectorWorker(
        **worker_options(
            redis=resources.redis,
            functions=[
                func(_guarded(collect_job), name="collect"),
                func(_guarded(request_collection), name="request_collection"),
            ],
            cron_jobs=[
                _cron(tick_job, second=set(range(0, 60, 10)), timeout=8, run_at_startup=True),
                _cron(partitions_job, minute={7}, second=0, timeout=30),
                _cron(reconcile_job, minute=set(range(0, 60, 5)), second=3, timeout=30),
                _cron(clock_job, second={30}, timeout=10),
            ],
            max_jobs=settings.max_jobs,
            health_file=settings.health_file,
        )
    )
    worker.ctx.update(resources=resources, stopping=lambda: worker.is_stopping)
    return worker


async def collect_job(ctx: dict[str, Any], *args: str) -> None:
    organization, account, marketplace, stream, slice_name, lane = args
    key = SliceKey(
        organization_id=OrganizationId(UUID(organization)),
        account_id=AccountId(UUID(account)),
        marketplace=marketplace,
        stream=stream,
        slice=slice_name,
        lane=lane,
    )
    await jobs.collect_slice(ctx["resources"], key, stopping=ctx["stopping"])


async def request_collection(  # the arguments are the interface of the job, for clients in any language
    ctx: dict[str, Any],
    organization_id: str,
    account_id: str,
    stream: str,
    since: str | None = None,
    until: str | None = None,
    slice: str | None = None,  # noqa: A002
) -> None:
    """Write a request down that a plain arq client enqueued by name, and make it due."""
    resources: Resources = ctx["resources"]
    window = client.parse_window(since, until, resources.clock.now())
    asker = client.Client(resources.sessions, resources.redis, resources.streams)
    await asker.request(organization_id, account_id, stream, slice=slice, window=window, asked_by="arq")


async def tick_job(ctx: dict[str, Any]) -> None:
    await schedule.tick(ctx["resources"])


async def partitions_job(ctx: dict[str, Any]) -> None:
    await schedule.keep_partitions_ahead(ctx["resources"])


async def reconcile_job(ctx: dict[str, Any]) -> None:
    await schedule.reconcile(ctx["resources"])


async def clock_job(ctx: dict[str, Any]) -> None:
    await correct_clock(ctx["resources"])


async def correct_clock(resources: Resources) -> None:
    """Take the database's time as the truth, and say so when ours is far from it."""
    async with system_transaction(resources.sessions) as session:
        now = (await session.execute(_NOW)).scalar_one()
    if not resources.clock.correct(now):
        log.error("the clock is wrong", skew=str(resources.clock.skew), alarm_over=str(TOO_FAR))


def _cron(job: Callable[[dict[str, Any]], Any], **when: Any) -> Any:
    # keep_result: a worker that lags must not run the same tick again a minute later.
    return cron(_guarded(job), name=f"cron:{job.__name__}", keep_result=300, max_tries=1, **when)


def _guarded(job: Callable[..., Any]) -> Callable[..., Any]:
    """Keep arq from seeing an error: it would be final there, and PostgreSQL offers the work again anyway."""

    async def guarded(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        try:
            await job(ctx, *args, **kwargs)
        except (DBAPIError, RedisError, OSError) as error:
            log.warning("a server failed", job=job.__name__, error=str(error).partition("\n")[0])
        except (ValueError, LookupError) as error:
            log.warning("refused", job=job.__name__, why=str(error))
        except Exception:
            log.exception("a mistake of ours", job=job.__name__)

    guarded.__qualname__ = job.__qualname__
    return guarded


async def _wait_for_database(engine: AsyncEngine, within: timedelta) -> None:
    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((OSError, DBAPIError)),
            stop=stop_after_delay(within),
            wait=wait_fixed(0.5),
            reraise=True,
        ):
            with attempt:
                async with engine.connect() as connection:
                    await connection.execute(_NOW)
    except (OSError, DBAPIError) as error:
        where = f"{engine.url.host}:{engine.url.port or 5432}/{engine.url.database}"
        raise CannotStart(
            f"PostgreSQL at {where} cannot be used: {str(getattr(error, 'orig', None) or error).splitlines()[0]}; "
            "check that it runs and that COLLECTOR_DATABASE_URL is right"
        ) from error


async def _refuse_unfit(engine: AsyncEngine) -> None:
    try:
        await refuse_unsafe_role(engine)
        async with engine.connect() as connection:
            await require_current(connection)
    except (UnsafeRole, NotMigrated) as error:
        raise CannotStart(str(error)) from error

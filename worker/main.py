"""The composition root: opens what a process needs, checks that it may run, and closes it again."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential

from collectors.errors import PutOff
from collectors.registry import STREAMS
from collectors.stream import Stream
from worker import keys, schedule
from worker.clock import Clock
from worker.db.driver import sqlstate
from worker.db.engine import UnsafeRole, make_engine, make_sessions, refuse_unsafe_role
from worker.db.migrate import NotMigrated, require_current
from worker.db.slow import log_slow_queries
from worker.db.tenancy import system_transaction
from worker.db.waits import Waits
from worker.functions import FUNCTIONS, cron_jobs
from worker.http.body import ByteBudget
from worker.http.fetch import Fetcher
from worker.http.health import Health
from worker.http.limits import Limits
from worker.http.pools import Pools, trusted
from worker.http.valkey import Calls
from worker.infisical import secrets_of
from worker.logs import remember_secret
from worker.memory import look_for_garbage_less_often, memory_given_back
from worker.metrics import Metrics
from worker.port import PortUnavailable
from worker.queue import QueueRefusesUs, QueueUnavailable, make_redis, ping
from worker.resources import Resources
from worker.runtime import CollectorWorker, run, worker_options
from worker.settings import Settings
from worker.traces import TracesUnavailable, tracing
from worker.vitals import Vitals, shown

log = structlog.get_logger(__name__)

START_WITHIN = timedelta(seconds=30)  # how long a start waits for PostgreSQL and Redis

Catalogue = Mapping[str, Mapping[str, Stream]]


class CannotStart(Exception):
    """The process cannot run as it is set up. The message is one sentence: what is wrong, what to do."""


class ServerWentAway(CannotStart):
    """It may well be back in a moment."""


_NOW = text("SELECT clock_timestamp()")

# The last two are what SQLAlchemy raises if its first connection is lost while it gets to know the server.
_AWAY = (OSError, DBAPIError, ServerWentAway, ResourceClosedError, NotImplementedError)


@asynccontextmanager
async def open_resources(
    settings: Settings, *, streams: Catalogue = STREAMS, clock: Clock | None = None, within: timedelta = START_WITHIN
) -> AsyncIterator[Resources]:
    """Open everything, refuse what must not run, and close it all on leaving. Raises CannotStart or SettingsError."""
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        engine = make_engine(settings.worker_postgres(), pool_size=settings.pool_size, pgbouncer=settings.pgbouncer)
        stack.push_async_callback(engine.dispose)
        if settings.slow_query_seconds:
            log_slow_queries(engine, over=settings.slow_query_seconds, noticed=metrics.slow_queries.inc)
        redis = make_redis(settings.redis(), ca_file=settings.ca_file)
        for password in (engine.url.password, settings.redis().password):
            remember_secret(password or "")  # a driver may quote it in a complaint
        stack.push_async_callback(redis.aclose, close_connection_pool=True)
        await _wait_for_database(engine, within)
        await _refuse_unfit(engine)
        try:
            async for attempt in _patiently(within):
                with attempt:
                    await ping(redis, within)
        except QueueUnavailable as error:
            raise CannotStart(str(error)) from error
        await _warn_of_eviction(redis)
        try:
            context = trusted(settings.ca_file)
        except ssl.SSLError as error:
            raise CannotStart(f"{settings.ca_file} holds no certificates: COLLECTOR_CA_FILE must be PEM") from error
        sessions = make_sessions(engine)
        clock = clock or Clock()
        try:
            traces = await stack.enter_async_context(tracing(settings.otel_url))
        except TracesUnavailable as error:
            raise CannotStart(str(error)) from error

        calls = Calls(redis)
        stack.push_async_callback(calls.drain)
        fetcher = Fetcher(
            pools=Pools(context),
            limits=Limits(redis, scale=settings.rate_scale, keep=Waits(sessions), calls=calls),
            budget=ByteBudget(settings.body_budget_mb << 20),
            health=Health(redis, calls=calls),
            hosts=settings.hosts,
            now=clock.now,
            metrics=metrics,
            traces=traces,
        )
        stack.push_async_callback(fetcher.aclose)
        resources = Resources(
            engine=engine,
            sessions=sessions,
            redis=redis,
            fetcher=fetcher,
            secret=stack.enter_context(secrets_of(settings)),
            streams=streams,
            clock=clock,
            metrics=metrics,
            traces=traces,
            partitions_ahead=settings.partitions_ahead,
            organization_jobs=settings.organization_jobs,
            account_jobs=settings.account_jobs,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )
        async with system_transaction(sessions) as session:
            asked_at = clock.wall()
            if not clock.correct((await session.execute(_NOW)).scalar_one(), asked_at):
                log.error("the worker's clock is wrong", skew=str(clock.skew))
        try:
            await fetcher.limits.restore(streams)
        except PutOff as error:
            raise ServerWentAway(f"{error}; check that PostgreSQL and Redis still run") from error
        yield resources


async def run_worker(settings: Settings, *, number: int = 0, streams: Catalogue = STREAMS) -> None:
    """Run a worker until it is told to stop. Raises CannotStart or SettingsError.

    `number`: which of several processes with these settings it is, from 0. Its HTTP port is that of the settings + it.
    """
    async with memory_given_back(), prepared(settings, number=number, streams=streams) as (resources, vitals):
        vitals.worker = build_worker(settings, resources, number=number)
        look_for_garbage_less_often()
        await run(vitals.worker)


@asynccontextmanager
async def prepared(
    settings: Settings, *, number: int = 0, streams: Catalogue = STREAMS
) -> AsyncIterator[tuple[Resources, Vitals]]:
    """Open everything and do what comes before the first job; again, if a server goes away meanwhile.

    Raises CannotStart or SettingsError, and what drivers raise if servers come and go for START_WITHIN.
    """
    async with AsyncExitStack() as stack:
        async for attempt in _patiently(START_WITHIN):
            with attempt:
                both = await stack.enter_async_context(_prepared_once(settings, number=number, streams=streams))
        yield both


@asynccontextmanager
async def _prepared_once(
    settings: Settings, *, number: int, streams: Catalogue
) -> AsyncIterator[tuple[Resources, Vitals]]:
    address = settings.http_address and settings.http_address.of_process(number)
    try:
        async with open_resources(settings, streams=streams) as resources, shown(address, resources) as vitals:
            await schedule.keep_partitions_ahead(resources)
            await schedule.reconcile(resources)
            await keys.warn_ahead(resources)
            yield resources, vitals
    except PortUnavailable as error:
        raise CannotStart(str(error)) from error


def health_file(settings: Settings, number: int) -> Path:
    """Return the file that the process of this number touches while its loop turns."""
    path = settings.health_file
    return path if number == 0 else path.with_name(f"{path.name}.{number}")


def build_worker(
    settings: Settings, resources: Resources, *, number: int = 0, handle_signals: bool = True
) -> CollectorWorker:
    """Put the worker together. Call it inside the running loop."""
    worker = CollectorWorker(
        **worker_options(
            redis=resources.redis,
            functions=FUNCTIONS,
            cron_jobs=cron_jobs(),
            max_jobs=settings.max_jobs,
            health_file=health_file(settings, number),
            handle_signals=handle_signals,
        )
    )
    worker.ctx.update(resources=resources, stopping=lambda: worker.is_stopping)
    return worker


async def _wait_for_database(engine: AsyncEngine, within: timedelta) -> None:
    try:
        async for attempt in _patiently(within):
            with attempt:
                async with engine.connect() as connection:
                    await connection.execute(_NOW)
    except _AWAY as error:
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


def _patiently(within: timedelta) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(_may_come_up),
        stop=stop_after_delay(within),
        wait=wait_exponential(multiplier=0.1, max=0.5),
        reraise=True,
    )


def _may_come_up(error: BaseException) -> bool:
    """Whether waiting may help: not against a wrong password (28…) or a database that does not exist (3D000)."""
    if isinstance(error, QueueUnavailable):
        return not isinstance(error, QueueRefusesUs)
    return isinstance(error, _AWAY) and not sqlstate(error).startswith(("28", "3D000"))


async def _warn_of_eviction(redis: ArqRedis) -> None:
    try:
        policy = (await redis.config_get("maxmemory-policy")).get("maxmemory-policy")
    except RedisError:  # managed servers do not tell
        return
    if policy != "noeviction":
        log.error("Redis may drop limits and jobs: set maxmemory-policy to noeviction", policy=policy)

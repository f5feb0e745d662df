"""The words of `collector doctor`: a check, what it finds, and what it looks at."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.db.engine import make_engine
from worker.logs import mask_text
from worker.queue import make_redis
from worker.settings import Settings


class Level(enum.StrEnum):
    OK = "ok"
    WARN = "warn"  # it runs, but not for ever, or not as it should
    FAIL = "fail"  # it cannot run, or must not


class Needs(enum.StrEnum):
    """What a check looks through, as a person calls it."""

    DATABASE = "the database"
    OWNER = "the owner's URL"
    REDIS = "Redis"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: one sentence, which says what to do unless all is well."""

    check: str
    level: Level
    words: str

    def as_fields(self) -> dict[str, str]:
        return {"check": self.check, "level": self.level.value, "words": self.words}


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is looked at. Nothing is connected before a check does."""

    settings: Settings
    processes: int
    worker: AsyncEngine | None = field(repr=False)
    redis: ArqRedis | None = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings, processes: int) -> AsyncIterator[Patient]:
        worker = redis = None
        try:
            if settings.database_url is not None:
                worker = make_engine(settings.worker_postgres(), pool_size=4, pgbouncer=settings.pgbouncer)
            if settings.redis_url is not None:
                redis = make_redis(settings.redis(), ca_file=settings.ca_file)
            yield cls(settings=settings, processes=processes, worker=worker, redis=redis)
        finally:
            if redis is not None:
                await redis.aclose(close_connection_pool=True)
            if worker is not None:
                await worker.dispose()

    @property
    def database(self) -> AsyncEngine:
        """The database as the worker's role. Raises SettingsError if it is not set."""
        if self.worker is None:
            self.settings.worker_postgres()
        assert self.worker is not None, "the line above says so otherwise"
        return self.worker

    @property
    def queue(self) -> ArqRedis:
        """Raises SettingsError if it is not set."""
        if self.redis is None:
            self.settings.redis()
        assert self.redis is not None, "the line above says so otherwise"
        return self.redis


Found = Sequence[tuple[Level, str]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to look at. `gives`: what others cannot do without if this fails, so it comes first."""

    name: str
    make: Callable[[Patient], Awaitable[Found]]
    needs: Needs | None = None
    gives: Needs | None = None

    @property
    def is_first(self) -> bool:
        return self.needs is None or self.gives is not None

    def finding(self, level: Level, words: str) -> Finding:
        return Finding(self.name, level, mask_text(" ".join(words.split())))

"""asyncpg itself, for the statements of every run: through SQLAlchemy each costs four times as much of our time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


LOST = ("08", "57P01", "57P02", "57P03")  # the connection, or the server stops, has crashed, is starting


class Statement:
    """SQL with `:named` parameters, translated once to the driver's numbered ones."""

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        self.sql = str(compiled)
        self._names: list[str] = compiled.positiontup or []

    async def execute(self, driver: Driver, values: Mapping[str, Any]) -> int:
        """Run it; `values` may hold more than it needs. Returns how many rows it wrote."""
        done = await driver.execute(self.sql, *self._in_order(values))
        return int(done.rpartition(" ")[2])  # behind the name of the command

    async def fetch(self, driver: Driver, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        return await driver.fetch(self.sql, *self._in_order(values))

    async def fetch_one(self, driver: Driver, values: Mapping[str, Any]) -> asyncpg.Record | None:
        return await driver.fetchrow(self.sql, *self._in_order(values))

    def _in_order(self, values: Mapping[str, Any]) -> Iterator[Any]:
        return (values[name] for name in self._names)


statement = lru_cache(maxsize=256)(Statement)  # of SQL that is made with a month in it: few, and the same for long


async def driver_under(connection: AsyncConnection) -> Driver:
    driver: Driver | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None, "a connection that was detached or closed"
    return driver


async def driver_of(session: AsyncSession) -> Driver:
    """Return the driver's own connection, inside the session's transaction."""
    return await driver_under(await session.connection())


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's code of an error, whether the driver raised it or SQLAlchemy; empty if it has none."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


@contextmanager
def as_from_sqlalchemy() -> Iterator[None]:
    """Let what the driver raises be the DBAPIError that its callers know."""
    try:
        yield
    except asyncpg.PostgresError as error:
        lost = sqlstate(error).startswith(LOST)
        raise DBAPIError(None, None, error, connection_invalidated=lost) from error
    except asyncpg.InterfaceError as error:
        unusable = not isinstance(error, ValueError)  # that is of a parameter that cannot be sent
        raise DBAPIError(None, None, error, connection_invalidated=unusable) from error
    except asyncpg.InternalClientError as error:  # it was cut off in the middle of something, and does not know it yet
        raise DBAPIError(None, None, error, connection_invalidated=True) from error

"""Long waits for a limit, in `collect.bucket`, where they outlive Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from collectors.errors import PutOff
from worker.db.engine import Sessions
from worker.db.tenancy import system_transaction

log = structlog.get_logger(__name__)

_UNREADABLE_WAIT = timedelta(seconds=5)

_READ = text("SELECT key, not_before FROM collect.bucket_waits()")
_PUT_OFF = text("SELECT collect.bucket_put_off(:key, :until)")
_TAKE_BACK = text("SELECT collect.bucket_take_back(:key, :until)")


@dataclass(frozen=True)
class Waits:
    """What `worker.http.scripts.Keep` asks for."""

    sessions: Sessions
    within: float = 10.0  # seconds for each, as a request whose turn has come may be waiting

    async def write(self, key: str, until: datetime) -> None:
        """Keep a wait. Never raises: Valkey knows of it too, and an answer must not be lost over it."""
        await self._change(_PUT_OFF, key, until)

    async def take_back(self, key: str, until: datetime) -> None:
        """Forget a wait, if it is the one that is kept. Never raises."""
        await self._change(_TAKE_BACK, key, until)

    async def read(self) -> Mapping[str, datetime]:
        """Return the waits that are not over. Raises PutOff: without them nothing may be fetched."""
        try:
            async with asyncio.timeout(self.within), system_transaction(self.sessions) as session:
                return {row.key: row.not_before for row in await session.execute(_READ)}
        except (DBAPIError, PoolTimeout, OSError) as error:
            why = f"the long waits cannot be read from PostgreSQL ({type(error).__name__})"
            raise PutOff(f"{why}: nothing is fetched without them", wait=_UNREADABLE_WAIT) from error

    async def _change(self, change: TextClause, key: str, until: datetime) -> None:
        try:
            async with asyncio.timeout(self.within), system_transaction(self.sessions) as session:
                await session.execute(change, {"key": key, "until": until})
        except (DBAPIError, PoolTimeout, OSError) as error:  # OSError has TimeoutError below it
            log.warning("the long waits in PostgreSQL are out of date", bucket=key, why=type(error).__name__)

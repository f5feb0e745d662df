"""The one door to tenant rows: a transaction that belongs to one organization."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NewType, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from worker.db.driver import LOST, Driver, as_from_sqlalchemy, driver_under, sqlstate
from worker.db.engine import Sessions, engine_of

OrganizationId = NewType("OrganizationId", UUID)

T = TypeVar("T")

STATEMENT_TIMEOUT = timedelta(seconds=30)
LOCK_TIMEOUT = timedelta(seconds=5)
IDLE_TIMEOUT = timedelta(seconds=60)  # nothing slow happens inside a transaction, so whoever idles in one is gone

# One statement, so one round trip; transaction-local, so it also holds behind pgbouncer in transaction mode.
_ENTER = (
    "SELECT set_config('app.organization_id', $1, true), set_config('statement_timeout', $2, true), "
    "set_config('lock_timeout', $3, true), set_config('idle_in_transaction_session_timeout', $4, true)"
)

_CONFLICTS = frozenset({"40P01", "40001"})  # deadlock, serialization failure


@asynccontextmanager
async def tenant_transaction(
    sessions: Sessions,
    organization_id: OrganizationId | UUID | str,
    *,
    statement_timeout: timedelta = STATEMENT_TIMEOUT,
    lock_timeout: timedelta = LOCK_TIMEOUT,
    idle_timeout: timedelta = IDLE_TIMEOUT,
) -> AsyncIterator[AsyncSession]:
    """A transaction that sees and writes this organization's rows only: committed on leaving, rolled back on an error.

    Raises ValueError before any SQL when `organization_id` is not a UUID or its text. Afterwards the session refuses to
    be used: without the tenant it would find nothing, and "nothing" looks like an answer.
    """
    entering = _entering(str(_parsed(organization_id)), statement_timeout, lock_timeout, idle_timeout)
    async with _transaction(sessions, entering) as session:
        yield session


@asynccontextmanager
async def tenant_driver(
    sessions: Sessions, organization_id: OrganizationId | UUID, *, statement_timeout: timedelta = STATEMENT_TIMEOUT
) -> AsyncIterator[Driver]:
    """The same, on the driver's own connection: for what runs do, which is what a worker does most.

    What it raises are SQLAlchemy's errors, as everywhere.
    """
    async with engine_of(sessions).connect() as connection:
        driver, lost = await driver_under(connection), False
        try:
            with as_from_sqlalchemy():
                async with driver.transaction():
                    await driver.execute(_ENTER, *_entering(str(organization_id), statement_timeout))
                    yield driver
        except DBAPIError as error:
            lost = error.connection_invalidated  # which the driver itself may hear a moment later
            raise
        finally:
            if lost or driver.is_closed() or driver.is_in_transaction():  # the last: cancelled while it rolled back
                await connection.invalidate()


@asynccontextmanager
async def system_transaction(
    sessions: Sessions,
    *,
    statement_timeout: timedelta = STATEMENT_TIMEOUT,
    lock_timeout: timedelta = LOCK_TIMEOUT,
) -> AsyncIterator[AsyncSession]:
    """A transaction without a tenant, for the functions that work across tenants. It sees no tenant's rows."""
    async with _transaction(sessions, _entering("", statement_timeout, lock_timeout)) as session:
        yield session


async def retry_conflicts(
    attempt: Callable[[], Awaitable[T]], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> T:
    """Run a whole transaction; again, 5 times at most, after a deadlock, a serialization failure or a lost connection.

    A connection lost during COMMIT leaves open whether it happened, so `attempt` must not do harm when it did.
    """
    async for trial in AsyncRetrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        sleep=sleep,
        reraise=True,
    ):
        with trial:
            return await attempt()
    raise AssertionError("tenacity either returns or raises")


@asynccontextmanager
async def _transaction(sessions: Sessions, entering: tuple[str, ...]) -> AsyncIterator[AsyncSession]:
    async with sessions(autobegin=False) as session, session.begin():
        await (await session.connection()).exec_driver_sql(_ENTER, entering)
        with as_from_sqlalchemy():
            yield session


def _entering(
    tenant: str,
    statement_timeout: timedelta,
    lock_timeout: timedelta = LOCK_TIMEOUT,
    idle_timeout: timedelta = IDLE_TIMEOUT,
) -> tuple[str, ...]:
    return (tenant, *map(_milliseconds, (statement_timeout, lock_timeout, idle_timeout)))


def _parsed(organization_id: object) -> UUID:
    if isinstance(organization_id, UUID):
        return organization_id
    if not isinstance(organization_id, str):
        raise ValueError(f"an organization id is a UUID, not {type(organization_id).__name__}")  # noqa: TRY004 - one error for every mistaken id
    return UUID(organization_id)


def _milliseconds(duration: timedelta) -> str:
    return str(max(1, round(duration / timedelta(milliseconds=1))))  # 0 would switch the timeout off


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, ConnectionError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    return error.connection_invalidated or state in _CONFLICTS or state.startswith(LOST)

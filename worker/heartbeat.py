"""Holding a lease while the work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.db.progress import LEASE, Lease, LeaseLost, renew_lease
from worker.db.tenancy import tenant_driver
from worker.resources import Resources

log = structlog.get_logger(__name__)


@asynccontextmanager
async def heartbeat(resources: Resources, lease: Lease) -> AsyncIterator[None]:
    """Renew the lease every third of its life. Raises LeaseLost, and stops the work, when it is no longer ours."""
    owner, lost = asyncio.current_task(), asyncio.Event()
    assert owner is not None, "a heartbeat beats for a task"

    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            try:
                async with tenant_driver(resources.sessions, lease.key.organization_id) as driver:
                    await renew_lease(driver, lease)
            except LeaseLost:
                lost.set()
                owner.cancel()
                return
            except (DBAPIError, PoolTimeout, OSError) as error:
                # The commit decides; until then the database may come back.
                log.warning("lease not renewed", slice=str(lease.key), why=type(error).__name__)

    beating = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if not lost.is_set():
            raise
        owner.uncancel()
        raise LeaseLost(f"{lease.key}: another worker holds the lease") from None
    finally:
        beating.cancel()

"""What is due, in which order, and when it is due next.

The tick is level-triggered: it offers everything that PostgreSQL says is due, with deterministic ids, so what is
queued already stays as it is and an emptied Redis is full again one tick later.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.db.partitions import ensure_months
from worker.db.progress import AccountId, SliceKey
from worker.db.reconcile import reconcile_account
from worker.db.tenancy import OrganizationId, system_transaction, tenant_transaction
from worker.queue import Job, offer, ready_count
from worker.resources import Resources

log = structlog.get_logger(__name__)

DEPTH = 3_500  # a tick's worth of jobs for a fleet that ends 350 a second: more would only age in Redis
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

_DUE = text("SELECT * FROM collect.due(:room)")
_ACCOUNTS = text("SELECT * FROM collect.accounts()")


def job_for(key: SliceKey) -> Job:
    """Return the job that collects a slice: ids only, and the same id for the same slice."""
    args = (str(key.organization_id), str(key.account_id), key.marketplace, key.stream, key.slice, key.lane)
    return Job(function="collect", args=args, id="c:" + ":".join(args[1:]))


def again(key: SliceKey, at: datetime) -> Job:
    """Return the job that goes on with a slice at `at`, offered from within its run.

    Its id differs from the running one's, or arq would take it for the same and drop it.
    """
    job = job_for(key)
    return Job(function=job.function, args=job.args, id=f"{job.id}@{at.timestamp():.1f}", at=at)


def next_slot(key: SliceKey, every: timedelta, now: datetime) -> datetime:
    """Return the next time on the slice's own grid: stable, and spread over the interval."""
    digest = hashlib.blake2b(f"{key.account_id}:{key.stream}:{key.slice}".encode(), digest_size=8).digest()
    phase = every * (int.from_bytes(digest) / 2**64)
    start = _EPOCH + phase
    return start + ((now - start) // every + 1) * every


async def tick(resources: Resources) -> int:
    """Offer what is due, as far as there is room; return how many jobs were new to Redis."""
    room = DEPTH - await ready_count(resources.redis)
    if room <= 0:
        return 0
    async with system_transaction(resources.sessions) as session:
        due = (await session.execute(_DUE, {"room": room})).mappings().all()
    keys = [
        SliceKey(
            organization_id=OrganizationId(row["organization_id"]),
            account_id=AccountId(row["marketplace_account_id"]),
            marketplace=row["marketplace"],
            stream=row["stream"],
            slice=row["slice"],
            lane=row["lane"],
        )
        for row in due
    ]
    offered = await offer(resources.redis, [job_for(key) for key in keys])
    log.debug("tick", due=len(keys), offered=offered)
    return offered


async def reconcile(resources: Resources) -> None:
    """Make the rows of every account's streams agree with the registry and with the lists of slices."""
    async with system_transaction(resources.sessions) as session:
        accounts = (await session.execute(_ACCOUNTS)).all()
    for account in accounts:
        streams = resources.streams.get(account.marketplace)
        if streams is None:
            log.warning("no such marketplace", marketplace=account.marketplace, account=str(account[1]))
            continue
        try:
            async with tenant_transaction(resources.sessions, account.organization_id) as session:
                await reconcile_account(
                    session,
                    OrganizationId(account.organization_id),
                    AccountId(account.marketplace_account_id),
                    streams,
                    resources.clock.now(),
                )
        except (DBAPIError, PoolTimeout, OSError) as error:  # its neighbours go on; the next time will do for it
            log.warning("account not reconciled", account=str(account[1]), error=type(error).__name__)


async def keep_partitions_ahead(resources: Resources) -> None:
    """Make the months that are missing ahead of time."""
    made = await ensure_months(resources.sessions, ahead=resources.partitions_ahead, now=resources.clock.now())
    if made:
        log.info("partitions made", months=made)

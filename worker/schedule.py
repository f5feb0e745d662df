"""What is due, in which order, and when it is due next.

The tick is level-triggered: it offers everything that PostgreSQL says is due, with deterministic ids, so what is
queued already stays as it is and an emptied Redis is full again one tick later.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from collectors.stream import ListedBy
from worker.db.partitions import ensure_months
from worker.db.progress import AccountId, SliceKey
from worker.db.reconcile import reconcile_account
from worker.db.requests import BACKFILL, SCHEDULED
from worker.db.tenancy import OrganizationId, system_transaction, tenant_transaction
from worker.queue import Job, offer, ready_count
from worker.resources import Resources

log = structlog.get_logger(__name__)

DEPTH = 3_500  # a tick's worth of jobs for a fleet that ends 350 a second: more would only age in Redis
_OF_BACKFILLS = DEPTH // 2  # beyond it only what comes before them is offered, however many of them are due
TICK = timedelta(seconds=10)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

# What one kind of work may overtake in the queue of another, and an organization's first job its own last.
_BAND = timedelta(seconds=60)
_A_TURN = timedelta(seconds=0.1)

_RESUME = text("SELECT collect.resume_elapsed()")
DUE = text("""
SELECT organization_id, marketplace_account_id, marketplace, stream, slice, lane, priority, turn
FROM collect.due(:room, :of_organization, :of_account)
""")
_UNRECONCILED = text("""
SELECT * FROM collect.unreconciled(CAST(:marketplaces AS text[]), CAST(:streams AS text[]), CAST(:slices AS text[]),
    CAST(:every AS interval[]), CAST(:listers AS text[]), :new_lists)
""")


def job_for(key: SliceKey, *, priority: int = SCHEDULED, turn: int = 1) -> Job:
    """Return the job that collects a slice: ids only, and the same id for the same slice.

    Interactive jobs come before scheduled ones and those before a backfill's, and the `turn` of an organization's job
    among its own says where it stands between those of others, even if they were offered some ticks earlier: what
    it overtakes was offered at most three minutes before it, so nothing waits for ever.
    """
    args = (str(key.organization_id), str(key.account_id), key.marketplace, key.stream, key.slice, key.lane)
    ahead = (BACKFILL - priority) * _BAND + max(_BAND - turn * _A_TURN, timedelta(0))
    return Job(function="collect", args=args, id="c:" + ":".join(args[1:]), ahead=ahead)


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
    """Offer what is due, as far as there is room and shares allow; return how many jobs were new to Redis."""
    async with system_transaction(resources.sessions) as session:
        resumed = (await session.execute(_RESUME)).scalar_one()
    if resumed:
        log.info("pauses are over", resumed=resumed)
    ready = await ready_count(resources.redis)
    if ready >= DEPTH:
        return 0
    shares = {"of_organization": resources.organization_jobs, "of_account": resources.account_jobs}
    async with system_transaction(resources.sessions) as session:
        due = (await session.execute(DUE, {"room": DEPTH - ready, **shares})).all()
    # Backfills come last in what is due, so what stands before one is offered as well.
    jobs = [_due_job(row) for place, row in enumerate(due, ready) if row.priority < BACKFILL or place < _OF_BACKFILLS]
    offered = await offer(resources.redis, jobs)
    log.debug("tick", due=len(due), offered=offered)
    return offered


def _due_job(row: Row[Any]) -> Job:
    key = SliceKey(
        organization_id=OrganizationId(row.organization_id),
        account_id=AccountId(row.marketplace_account_id),
        marketplace=row.marketplace,
        stream=row.stream,
        slice=row.slice,
        lane=row.lane,
    )
    return job_for(key, priority=row.priority, turn=row.turn)


async def reconcile(resources: Resources, *, new_lists: bool = True) -> None:
    """Make the rows of every account's streams agree with the registry and with the lists of slices.

    Only accounts that differ are looked at. `new_lists`: also those with a list whose stream has no rows at all.
    """
    async with system_transaction(resources.sessions) as session:
        different = (await session.execute(_UNRECONCILED, _registry(resources) | {"new_lists": new_lists})).all()
    for account in different:
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


def _registry(resources: Resources) -> dict[str, Any]:
    """Return every slice that is known without a list, and every stream that has one, as columns."""
    rows = [
        (stream.marketplace.name, stream.name, name, stream.every, lister)
        for streams in resources.streams.values()
        for stream in streams.values()
        for lister in [stream.slices.stream if isinstance(stream.slices, ListedBy) else None]
        for name in ([""] if isinstance(stream.slices, ListedBy) else stream.slices)
    ]
    names = ("marketplaces", "streams", "slices", "every", "listers")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


async def keep_partitions_ahead(resources: Resources) -> None:
    """Make the months that are missing ahead of time."""
    made = await ensure_months(resources.sessions, ahead=resources.partitions_ahead, now=resources.clock.now())
    if made:
        log.info("partitions made", months=made)

"""The functions that arq calls: thin, and none of them ever raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from arq import cron, func
from arq.cron import CronJob
from arq.worker import Function
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker import client, jobs, keys, schedule
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId
from worker.resources import Resources

log = structlog.get_logger(__name__)


async def collect_job(ctx: dict[str, Any], *args: str) -> None:
    organization, account, marketplace, stream, slice_name, lane = args
    key = SliceKey(
        organization_id=OrganizationId(UUID(organization)),
        account_id=AccountId(UUID(account)),
        marketplace=marketplace,
        stream=stream,
        slice=slice_name,
        lane=lane,
    )
    await jobs.collect_slice(ctx["resources"], key, stopping=ctx["stopping"])


async def request_collection(  # noqa: PLR0917 - the interface of the job, for clients in any language
    ctx: dict[str, Any],
    organization_id: str,
    account_id: str,
    stream: str,
    since: str | None = None,
    until: str | None = None,
    slice: str | None = None,  # noqa: A002
) -> None:
    """Write a request down that a plain arq client enqueued by name, and make it due."""
    resources: Resources = ctx["resources"]
    window = client.parse_window(since, until, resources.clock.now())
    asker = client.Client(resources.sessions, resources.redis, resources.streams)
    await asker.request(organization_id, account_id, stream, slice=slice, window=window, asked_by="arq")


async def tick_job(ctx: dict[str, Any]) -> None:
    await schedule.tick(ctx["resources"])


async def partitions_job(ctx: dict[str, Any]) -> None:
    await schedule.keep_partitions_ahead(ctx["resources"])


async def reconcile_job(ctx: dict[str, Any]) -> None:
    await schedule.reconcile(ctx["resources"], new_lists=False)  # a list that has no rows yet may well be empty


async def keys_job(ctx: dict[str, Any]) -> None:
    await keys.check_due(ctx["resources"])


def _cron(job: Callable[[dict[str, Any]], Any], **when: Any) -> CronJob:
    # keep_result: a worker that lags must not run the same tick again a minute later.
    return cron(_guarded(job), name=f"cron:{job.__name__}", keep_result=300, max_tries=1, **when)


def _guarded(job: Callable[..., Any]) -> Callable[..., Any]:
    """Keep arq from seeing an error: it would be final there, and PostgreSQL offers the work again anyway."""

    async def guarded(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        try:
            await job(ctx, *args, **kwargs)
        except (DBAPIError, PoolTimeout, RedisError, OSError) as error:
            log.warning("a server failed", job=job.__name__, error=str(error).partition("\n")[0])
        except (ValueError, LookupError) as error:
            log.warning("refused", job=job.__name__, why=str(error))
        except Exception:
            log.exception("a mistake of ours", job=job.__name__)

    guarded.__qualname__ = job.__qualname__
    return guarded


FUNCTIONS: list[Function] = [
    func(_guarded(collect_job), name="collect"),
    func(_guarded(request_collection), name="request_collection"),
]


def cron_jobs() -> list[CronJob]:
    """Make the crons of one worker; arq keeps their next run in them."""
    return [
        _cron(tick_job, second=set(range(0, 60, schedule.TICK.seconds)), timeout=8, run_at_startup=True),
        _cron(partitions_job, minute={7}, second=0, timeout=30),
        _cron(reconcile_job, minute=set(range(0, 60, 5)), second=3, timeout=240),
        _cron(keys_job, minute={17}, second=0, timeout=240, run_at_startup=True),
    ]

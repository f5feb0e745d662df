"""Asking for a collection from another service.

    async with Client.connect(load()) as client:
        await client.request(organization_id, account_id, "orders")

What is asked is a row of `collect.request` before anything else happens, so it survives whatever Redis loses. A
service that cannot import this package enqueues the arq job `request_collection` instead (docs/clients.md), which can
be lost with Redis until it has run.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from sqlalchemy import text

from collectors.registry import STREAMS, Unknown
from collectors.stream import Stream, Window
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.progress import AccountId, SliceKey
from worker.db.requests import INTERACTIVE, Asked, RequestId, RequestRefusedByUs, write_down
from worker.db.tenancy import OrganizationId, retry_conflicts, system_transaction, tenant_transaction
from worker.queue import make_redis, offer
from worker.schedule import job_for
from worker.settings import Settings

log = structlog.get_logger(__name__)

Catalogue = Mapping[str, Mapping[str, Stream]]

_LOCATE = text("SELECT collect.locate_account(:account)")
_MARKETPLACE = text("SELECT marketplace FROM core.marketplace_account WHERE id = :account")


class Client:
    """Writes requests down and wakes the workers."""

    def __init__(self, sessions: Sessions, redis: ArqRedis, streams: Catalogue = STREAMS) -> None:
        self._sessions = sessions
        self._redis = redis
        self._streams = streams

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings) -> AsyncIterator[Client]:
        """Open a client for the worker's URLs, and close it."""
        engine = make_engine(settings.worker_postgres(), pool_size=2, pgbouncer=settings.pgbouncer)
        redis = make_redis(settings.redis(), ca_file=settings.ca_file)
        try:
            yield cls(make_sessions(engine), redis)
        finally:
            await redis.aclose(close_connection_pool=True)
            await engine.dispose()

    async def request(
        self,
        organization_id: UUID | str,
        account_id: UUID | str,
        stream: str,
        *,
        slice: str | None = None,  # noqa: A002 - the glossary's word
        window: Window | None = None,
        asked_by: str,
        priority: int = INTERACTIVE,
    ) -> list[RequestId]:
        """Ask for a stream of an account now, or for a window of its past; one request per slice.

        Raises RequestRefusedByUs, WindowRefused, Unknown or ValueError (an id that is not a UUID), each one sentence;
        then nothing is written. Redis need not be there: the next tick finds what was written.
        """
        organization, account = _uuid(organization_id, "organization"), _uuid(account_id, "account")

        async def write() -> list[tuple[RequestId, SliceKey]]:
            async with tenant_transaction(self._sessions, organization) as session:
                marketplace = (await session.execute(_MARKETPLACE, {"account": account})).scalar_one_or_none()
                if marketplace is None:
                    raise RequestRefusedByUs(
                        f"account {account} does not exist in organization {organization}: "
                        "`collector account list` shows those that do"
                    )
                asked = Asked(
                    organization_id=OrganizationId(organization),
                    account_id=AccountId(account),
                    stream=self._find(marketplace, stream),
                    slice=slice,
                    window=window,
                    asked_by=asked_by,
                    priority=priority,
                )
                return await write_down(session, asked)

        written = await retry_conflicts(write)
        with contextlib.suppress(RedisError, OSError):  # a wake-up only
            await offer(self._redis, [job_for(key, priority=priority) for _, key in written])
        return [request for request, _ in written]

    async def organization_of(self, account_id: UUID | str) -> UUID:
        """Find the organization of an account. Raises RequestRefusedByUs if there is no such account."""
        account = _uuid(account_id, "account")
        async with system_transaction(self._sessions) as session:
            found = (await session.execute(_LOCATE, {"account": account})).scalar_one_or_none()
        if found is None:
            raise RequestRefusedByUs(f"no account has the id {account}: `collector account list` shows those there are")
        return UUID(str(found))

    def _find(self, marketplace: str, stream: str) -> Stream:
        if marketplace not in self._streams:
            raise Unknown(f"the account is of {marketplace!r}, which this version does not know")
        streams = self._streams[marketplace]
        name = stream.removeprefix(f"{marketplace}/")
        if name not in streams:
            raise Unknown(f"{marketplace} has no stream {stream!r}: there are {', '.join(streams)}")
        return streams[name]


def parse_window(since: str | datetime | None, until: str | datetime | None, now: datetime) -> Window | None:
    """Read --from and --to: ISO times (UTC unless they say otherwise) or days; --to is now if it is left out.

    Raises ValueError, one sentence.
    """
    if since is None:
        if until is not None:
            raise ValueError("--to needs --from: a window has a beginning")
        return None
    return Window(_time(since, "--from"), now if until is None else _time(until, "--to"))


def _time(value: str | datetime, name: str) -> datetime:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name} is not a time: write 2026-11-20 or 2026-11-20T10:30:00+03:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _uuid(value: UUID | str, what: str) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError:
        raise ValueError(f"the {what}'s id is not a UUID: {value!r}") from None

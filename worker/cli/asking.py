"""Writing a request down for a person, and waiting until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import text

from worker.cli.errors import Refused, refusing
from worker.cli.opening import as_worker
from worker.cli.tables import console
from worker.client import Client, parse_window
from worker.db.engine import Sessions
from worker.db.requests import RequestId
from worker.db.tenancy import system_transaction, tenant_transaction
from worker.queue import make_redis
from worker.settings import Settings

_LOOK_EVERY = 0.5  # seconds

_NOW = text("SELECT clock_timestamp()")
_OPEN = text("SELECT count(*) FROM collect.request WHERE id = ANY(:ids) AND done_at IS NULL")
_OUTCOMES = text("SELECT outcome, count(*) FROM collect.request WHERE id = ANY(:ids) GROUP BY outcome ORDER BY outcome")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What somebody asks for, as they wrote it."""

    account: str
    stream: str
    organization: str | None = None
    slice: str | None = None
    since: str | None = None
    until: str | None = None


def ask(settings: Settings, question: Question, *, wait: bool) -> None:
    """Write the requests down, print their ids, and wait for them if that is wanted. Raises what main() explains."""
    asyncio.run(_ask(settings, question, wait=wait))


async def _ask(settings: Settings, question: Question, *, wait: bool) -> None:
    redis = make_redis(settings.redis(), ca_file=settings.ca_file)
    try:
        async with as_worker(settings) as sessions:
            organization, requests = await _write(Client(sessions, redis), sessions, question)
            console().print("\n".join(str(request) for request in requests))
            if wait:
                await _wait(sessions, organization, requests)
    finally:
        await redis.aclose(close_connection_pool=True)


async def _write(client: Client, sessions: Sessions, question: Question) -> tuple[UUID, Sequence[RequestId]]:
    now = await _now(sessions)
    with refusing():
        window = parse_window(question.since, question.until, now)
        organization = (
            await client.organization_of(question.account)
            if question.organization is None
            else _uuid(question.organization)
        )
        return organization, await client.request(
            organization, question.account, question.stream, slice=question.slice, window=window, asked_by="cli"
        )


async def _wait(sessions: Sessions, organization: UUID, requests: Sequence[RequestId]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("requests done", total=len(requests))
        while (still := await _open(sessions, organization, requests)) > 0:
            progress.update(task, completed=len(requests) - still)
            await asyncio.sleep(_LOOK_EVERY)
        progress.update(task, completed=len(requests))
    async with tenant_transaction(sessions, organization) as session:
        outcomes = {str(row[0]): int(row[1]) for row in await session.execute(_OUTCOMES, {"ids": requests})}
    said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    if set(outcomes) != {"collected"}:
        raise Refused(f"not all could be collected ({said}): `collector status` says why")
    console(stderr=True).print(said)


async def _open(sessions: Sessions, organization: UUID, requests: Sequence[RequestId]) -> int:
    async with tenant_transaction(sessions, organization) as session:
        return int((await session.execute(_OPEN, {"ids": list(requests)})).scalar_one())


async def _now(sessions: Sessions) -> datetime:
    async with system_transaction(sessions) as session:
        now: datetime = (await session.execute(_NOW)).scalar_one()
    return now


def _uuid(organization: str) -> UUID:
    try:
        return UUID(organization)
    except ValueError:
        raise ValueError(f"--org wants an organization's id, not {organization!r}: `collector org list`") from None

"""`collector verify`: every organization in turn, with a bar that shows how far it has come."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.registry import STREAMS
from collectors.stream import Stream
from worker.cli.errors import Refused, refusing
from worker.cli.opening import as_worker
from worker.cli.tables import console
from worker.cli.whose import accounts_in, organizations_named
from worker.cli.words import number
from worker.client import parse_window
from worker.db.bronze import Range, accounts_of, reading, server_time
from worker.db.verification import count_stored, differing_pages, differing_walks
from worker.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody wants verified, as they wrote it."""

    organization: str | None
    account: UUID | None
    stream: Stream | None
    since: str
    until: str | None


def run(settings: Settings, asked: Asked) -> None:
    """Print a line for each difference and a summary. Raises Refused if there was one."""
    rows, differences = asyncio.run(_run(settings, asked))
    if differences:
        raise Refused(
            f"what is stored is not what was noted: rows read {number(rows)}, differences {number(differences)}"
        )
    console(stderr=True).print(f"Rows read: {number(rows)}. All is as it was noted.")


async def _run(settings: Settings, asked: Asked) -> tuple[int, int]:
    organizations = await organizations_named(settings, asked.organization, asked.account)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    err = console(stderr=True)
    rows = differences = 0
    async with as_worker(settings) as sessions:
        # Redirected, lines keep clear of the bar, but go where the bar goes.
        with Progress(
            *columns,
            console=err,
            transient=True,
            disable=not err.is_terminal,
            redirect_stdout=sys.stdout.isatty(),
        ) as progress:
            for count, organization in enumerate(organizations, start=1):
                async with reading(sessions, organization) as session:
                    wanted = await _wanted(session, organization, asked)
                    total = await count_stored(session, wanted)
                    task = progress.add_task(f"organization {count} of {len(organizations)}", total=total)
                    async for said in _differences(session, wanted, partial(progress.advance, task)):
                        sys.stdout.write(f"{said}\n")
                        differences += 1
                    rows += int(progress.tasks[task].completed)
    return rows, differences


async def _wanted(session: AsyncSession, organization: UUID, asked: Asked) -> Range:
    marketplace, stream = (asked.stream.marketplace.name, asked.stream.name) if asked.stream else (None, None)
    anybody = asked.organization is None and asked.account is None
    find = accounts_of if anybody else partial(accounts_in, organization=organization)
    accounts = await find(session, marketplace=marketplace, account=asked.account)
    with refusing():
        window = parse_window(asked.since, asked.until, await server_time(session))
    assert window is not None, "it has a beginning"
    return Range(accounts=accounts, stream=stream, since=window.start, until=window.end)


async def _differences(session: AsyncSession, wanted: Range, checked: Callable[[], None]) -> AsyncGenerator[str, None]:
    async with aclosing(differing_pages(session, wanted, _look_up, checked=checked)) as pages:
        async for said in pages:
            yield said
    async with aclosing(differing_walks(session, wanted)) as walks:
        async for said in walks:
            yield said


def _look_up(marketplace: str, name: str) -> Stream | None:
    return STREAMS.get(marketplace, {}).get(name)

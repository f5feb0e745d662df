"""Reading what was collected: as JSON lines, as SQL, and held against what was noted when it came."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from collectors.registry import find_stream
from collectors.stream import Stream
from worker.cli import verifying
from worker.cli.errors import Refused, refusing
from worker.cli.lines import RecordLines, page_line
from worker.cli.opening import as_worker, with_servers
from worker.cli.tables import console
from worker.cli.whose import accounts_in, organization_named
from worker.cli.words import number
from worker.client import parse_window
from worker.db.bronze import Range, Revealed, Row, horizon, reading, server_time, stored_pages
from worker.db.records_sql import records_query, records_view
from worker.settings import Settings, load

_A_MONTH = timedelta(days=31)

StreamName = Annotated[
    str, typer.Option("--stream", metavar="MARKETPLACE/STREAM", help="As `collector streams` names it.")
]
Organization = Annotated[
    str | None,
    typer.Option("--organization", "--org", metavar="NAME|ID", help="Whose; with --account it need not be said."),
]
Account = Annotated[str | None, typer.Option("--account", metavar="ID", help="Of one account only.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Fetched at or after: 2026-11-20 or with a time.")
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Fetched before; without this, until now.")]


def register(app: typer.Typer) -> None:
    app.command()(read)
    app.command()(sql)
    app.command()(verify)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    stream: Stream
    organization: str | None
    account: UUID | None
    since: str | None
    until: str | None
    since_xid: int | None
    records: bool
    all_versions: bool
    limit: int | None


def read(  # noqa: PLR0917 - all are options
    stream: StreamName,
    organization: Organization = None,
    account: Account = None,
    since: Since = None,
    until: Until = None,
    since_xid: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="XID",
            help="Only what became visible since this transaction, 0 at first; the next one to say is told at the end.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="NUMBER", help="At most so many lines.")] = None,
    *,
    records: Annotated[
        bool, typer.Option("--records", help="Print each record, as the marketplace wrote it, instead of pages.")
    ] = False,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Also pages that a later walk has read again.")
    ] = False,
) -> None:
    """Print stored pages as JSON lines, oldest first: those that are final, and not read again since.

    What is not JSON comes as base64 in `body`; a large file as a line for each part. Memory stays flat.
    """
    if since is None and since_xid is None:
        raise Refused("say from when to read: --from with a time, or --since-xid")
    if limit is not None and since_xid is not None:
        raise Refused("--limit would cut what --since-xid goes on behind: say one of them")
    found = find_named(stream)
    if records and found.records is None and not found.one_record:
        raise Refused(f"{stream} brings files, not records: leave --records out")
    asked = _Asked(
        stream=found,
        organization=organization,
        account=None if account is None else account_id(account),
        since=since,
        until=until,
        since_xid=since_xid,
        records=records,
        all_versions=all_versions,
        limit=limit,
    )
    with with_servers(load()) as settings:
        asyncio.run(_read(settings, asked))
    sys.stdout.buffer.flush()


async def _read(settings: Settings, asked: _Asked) -> None:
    organization = await organization_named(settings, asked.organization, asked.account)
    lines = RecordLines(asked.stream)
    async with as_worker(settings) as sessions, reading(sessions, organization) as session:
        accounts = await accounts_in(
            session,
            organization=organization,
            marketplace=asked.stream.marketplace.name,
            account=asked.account,
        )
        now = await server_time(session)
        with refusing():
            window = parse_window(asked.since, asked.until, now)
        # What is revealed from now on has a later transaction, so it is not this reading's but the next one's.
        revealed = None if asked.since_xid is None else Revealed(asked.since_xid, await horizon(session))
        wanted = Range(
            accounts=accounts,
            stream=asked.stream.name,
            since=window.start if window else None,
            until=window.end if window and (asked.until or not revealed) else None,
        )
        pages = stored_pages(session, wanted, revealed=revealed, all_versions=asked.all_versions)
        await _write(pages, lines if asked.records else None, asked.limit)
    err = console(stderr=True)
    if lines.skipped:
        held = "1 page holds" if lines.skipped == 1 else f"{number(lines.skipped)} pages hold"
        err.print(f"{held} no JSON that can be taken apart: without --records all is told.")
    if revealed is not None:
        err.print(f"Go on with --since-xid {revealed.before}")


async def _write(pages: AsyncGenerator[Row, None], records: RecordLines | None, limit: int | None) -> None:
    written = 0
    async with aclosing(pages):
        async for row in pages:
            lines = [page_line(row)] if records is None else records.of(row)
            lines = lines if limit is None else lines[: limit - written]
            sys.stdout.buffer.writelines(lines)
            written += len(lines)
            if written == limit:
                return


def sql(
    stream: Annotated[str, typer.Argument(metavar="MARKETPLACE/STREAM", help="As `collector streams` names it.")],
    since: Since = None,
    until: Until = None,
    *,
    view: Annotated[bool, typer.Option("--view", help="Print the statement that makes a view of it instead.")] = False,
) -> None:
    """Print a query that has a row for each record of a stream; without --from, of the last month."""
    found = find_named(stream)
    if view and (since or until):
        raise Refused("a view holds no times: leave --from and --to out, and say them in the queries that ask it")
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    with refusing():
        window = parse_window(since or (now - _A_MONTH).isoformat(), until, now)
        assert window is not None, "it has a beginning"
        sys.stdout.write(records_view(found) if view else records_query(found, window))


def verify(
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="Fetched at or after: 2026-11-20.")],
    until: Until = None,
    organization: Annotated[
        str | None,
        typer.Option("--organization", "--org", metavar="NAME|ID", help="Whose; without this, of all organizations."),
    ] = None,
    account: Account = None,
    stream: Annotated[
        str | None, typer.Option("--stream", metavar="MARKETPLACE/STREAM", help="Of one stream only.")
    ] = None,
) -> None:
    """Hash every stored body again, and hold pages and walks against what was counted and declared.

    Prints a line for each difference; the exit code is 1 if there is one.
    """
    asked = verifying.Asked(
        organization=organization,
        account=None if account is None else account_id(account),
        stream=None if stream is None else find_named(stream),
        since=since,
        until=until,
    )
    with with_servers(load()) as settings:
        verifying.run(settings, asked)


def find_named(stream: str) -> Stream:
    """Find `marketplace/stream`. Raises Refused or Unknown."""
    marketplace, slash, name = stream.partition("/")
    if not slash:
        raise Refused(f"{stream!r} names no stream: write wildberries/prices, as `collector streams` lists them")
    return find_stream(marketplace, name)


def account_id(account: str) -> UUID:
    with refusing("--account: "):
        return UUID(account)

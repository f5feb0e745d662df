"""`collector backfill`: asking for the past of a stream, and looking at how far it is, as often as one likes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from collectors.registry import find_stream
from collectors.stream import Stream, Window
from worker.cli.errors import Refused, refusing
from worker.cli.opening import as_worker, with_servers
from worker.cli.tables import console
from worker.cli.viewing import Row, View, named, viewing
from worker.cli.words import moment, number, relative
from worker.client import Client, parse_window
from worker.db.backfills import ACCOUNT, ASKED_BY, PROGRESS, SIBLINGS, UNDER_WAY, Done, how_far, is_the_same
from worker.db.requests import BACKFILL
from worker.logs import mask_text
from worker.queue import make_redis
from worker.settings import Settings, load

LOOK_EVERY = 1.0  # seconds

_GOES_ON = {"running", "due", "ok", "idle"}
# No markup: what an API said may look like some.
_COLUMNS: tuple[ProgressColumn, ...] = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    TextColumn("{task.fields[far]}"),
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What somebody asks for, as they wrote it."""

    account: str
    stream: str
    since: str
    until: str | None = None
    organization: str | None = None
    slice: str | None = None


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """Requests that were made as one, a row for each slice; any of their ids stands for all."""

    organization_id: UUID
    account_id: UUID
    stream: Stream
    ids: Sequence[UUID]

    def __str__(self) -> str:
        slices = f", {len(self.ids)} slices" if len(self.ids) > 1 else ""
        return f"{self.stream.marketplace.name}/{self.stream.name}{slices}"


def register(app: typer.Typer) -> None:
    app.command()(backfill)


def backfill(
    *,
    account: Annotated[str | None, typer.Option(metavar="NAME|ID", help="The account.")] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="The stream, as `collector streams` names it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Since when: 2026-09-01 or with a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Until when, not included; without this, until now.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option("--org", metavar="NAME|ID", help="Its organization, where the name is not enough.")
    ] = None,
    slice_name: Annotated[
        str | None, typer.Option("--slice", metavar="NAME", help="One slice of it; without this, every slice.")
    ] = None,
    follow: Annotated[
        str | None, typer.Option(metavar="ID", help="Look again at one that was asked for, instead of asking.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only ask: print the id and leave.")] = False,
) -> None:
    """Collect the past of a stream again, beside live collection and after it, and show how far it is.

    The workers go on without this command: Ctrl-C or a closed terminal stops nothing. The same command, given again
    while the backfill is under way, asks for nothing twice: it shows that one.
    """
    asked = None
    if follow is None:
        if account is None or stream is None or since is None:
            raise Refused("say --account, --stream and --from, or --follow with the id of a backfill")
        question = Question(
            account=account, stream=stream, since=since, until=until, organization=organization, slice=slice_name
        )
        asked = question
    elif any((account, stream, since, until, organization, slice_name)):
        raise Refused("--follow takes up what was asked for: leave the other options out")
    with with_servers(load()) as settings:
        try:
            asyncio.run(_run(settings, asked, follow, wait=not no_wait))
        except KeyboardInterrupt:
            console(stderr=True).print(Text("The workers go on with it."))
            raise


async def _run(settings: Settings, asked: Question | None, follow: str | None, *, wait: bool) -> None:
    async with viewing(settings) as view:
        if asked is not None:
            found, is_new = await ask(settings, view, asked)
        else:
            found, is_new = await find(view, follow or ""), False
        console().print(str(found.ids[0]))
        note = console(stderr=True)
        note.print(Text(f"{'Asked for' if is_new else 'Under way'}: {found}"))
        if not wait:
            return
        note.print(Text(f"Ctrl-C stops nothing; look again: collector backfill --follow {found.ids[0]}"))
        done = await watch(view, found)
    said = f"{number(done.windows)} of {number(done.of)} windows, {number(done.records)} records"
    if set(done.outcomes) == {"collected"}:
        note.print(Text(f"Collected: {said}."))
        return
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in done.outcomes.items())
    raise Refused(
        f"not all of it could be collected ({said}; slices: {outcomes}): "
        f"`collector coverage --account {found.account_id} --stream {found.stream.name}` shows what is missing"
    )


async def ask(settings: Settings, view: View, asked: Question) -> tuple[Backfill, bool]:
    account = await _account(view, asked)
    _, name = named(account["marketplace"], asked.stream)
    stream = find_stream(account["marketplace"], name or "")
    now = datetime.now(UTC)
    with refusing():
        window = parse_window(asked.since, asked.until, now)
    assert window is not None, "--from is there"
    whose = Backfill(organization_id=account["organization_id"], account_id=account["id"], stream=stream, ids=())
    under_way = await _under_way(view, whose, asked, window)
    if under_way:
        return replace(whose, ids=under_way), False
    redis = make_redis(settings.redis(), ca_file=settings.ca_file)
    try:
        async with as_worker(settings) as sessions:
            with refusing():
                ids = await Client(sessions, redis).request(
                    whose.organization_id,
                    whose.account_id,
                    stream.name,
                    slice=asked.slice,
                    window=window,
                    asked_by=ASKED_BY,
                    priority=BACKFILL,
                )
    finally:
        await redis.aclose(close_connection_pool=True)
    return replace(whose, ids=ids), True


async def _account(view: View, asked: Question) -> Row:
    ids = await view.accounts(asked.account, asked.organization)
    rows = await view.rows(ACCOUNT, {"accounts": ids})
    if len(rows) > 1:
        raise Refused(f"{len(rows)} accounts are called {asked.account!r}: say --org, or the id of one of them")
    return rows[0]


async def _under_way(view: View, whose: Backfill, asked: Question, window: Window) -> list[UUID]:
    """Find what this command asked for when it was given before."""
    rows = await view.of(whose.organization_id).rows(
        UNDER_WAY,
        {
            "organization_id": whose.organization_id,
            "account_id": whose.account_id,
            "stream": whose.stream.name,
            "slice": asked.slice,
            "since": window.start,
            "asked_by": ASKED_BY,
        },
    )
    until = None if asked.until is None else window.end
    same = [row for row in rows if is_the_same(whose.stream, row, until)]
    if not same or asked.slice is not None:
        return [row["id"] for row in same[:1]]
    # All slices of it, those too that are done with.
    return [row["id"] for row in await view.of(whose.organization_id).rows(SIBLINGS, {"id": same[0]["id"]})]


async def find(view: View, follow: str) -> Backfill:
    with refusing("--follow: "):
        wanted = UUID(follow)
    rows = await view.rows(SIBLINGS, {"id": wanted})
    if not rows:
        raise Refused(f"nothing with a window was asked for under the id {wanted}")
    first = rows[0]
    return Backfill(
        organization_id=first["organization_id"],
        account_id=first["marketplace_account_id"],
        stream=find_stream(first["marketplace"], first["stream"]),
        ids=[row["id"] for row in rows],
    )


async def watch(view: View, found: Backfill, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Done:
    """Show how far a backfill is until nothing of it is open."""
    of_tenant = view.of(found.organization_id)
    with Progress(*_COLUMNS, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, far="")
        while True:
            rows = await of_tenant.rows(PROGRESS, {"ids": list(found.ids)})
            done = how_far(found.stream, rows)
            far = f"{number(done.windows)}/{number(done.of)} windows · {number(done.records)} records"
            progress.update(task, total=done.of, completed=done.windows, far=far, description=_doing(rows))
            if not done.open:
                return done
            await sleep(LOOK_EVERY)


def _doing(rows: Sequence[Row]) -> str:
    """Say what its slices do now: of several, what most needs to be known."""
    now = datetime.now(UTC)
    still = [row for row in rows if row["done_at"] is None]
    if any(row["condition"] == "running" for row in still):
        return "running"
    for row in still:
        if row["condition"] in _GOES_ON:
            continue
        why = mask_text(row["reason"] or "")
        until = row["not_before"]
        at = f" until {moment(until)} UTC ({relative(until, now)})" if until is not None and until > now else ""
        return f"{row['condition']}{at}" + (f": {why}" if why else "")
    return "waits for a worker" if still else "done"

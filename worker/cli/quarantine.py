"""Answers that could not be accepted: looking at them, replaying them, letting the marketplace be asked again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from collectors.registry import STREAMS
from collectors.stream import Mark, Page
from worker.cli.admin import AsJson
from worker.cli.errors import Refused
from worker.cli.opening import as_admin, with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.words import moment, size
from worker.db.administration import find_organization
from worker.db.progress import SliceKey
from worker.db.quarantine import Row, drop, drop_all, find_quarantined, key_of, list_quarantine
from worker.logs import mask_text
from worker.replay import replay
from worker.settings import Settings, load

quarantine = typer.Typer(help="Answers that could not be accepted, with the reason, until they are dealt with.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The answer, as `collector quarantine list` names it.")]

_BEGINNING = 2000  # characters of a body that are shown


def register(app: typer.Typer) -> None:
    app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def quarantine_list(
    *,
    organization: Annotated[
        str | None, typer.Option("--org", metavar="NAME|ID", help="Those of one organization only.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Those of one account only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was replayed or dropped.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the answers in quarantine, newest first."""
    account_id = None if account is None else _uuid("--account: ", account)

    async def read(settings: Settings) -> tuple[list[Row], int]:
        async with as_admin(settings) as session:
            found = None if organization is None else await find_organization(session, organization)
            return await list_quarantine(
                session, organization_id=found, account_id=account_id, dealt_with=everything, limit=limit
            )

    with with_servers(load()) as settings:
        rows, more = asyncio.run(read(settings))
    if more:
        console(stderr=True).print(f"{more} more are not shown: say --limit", markup=False, highlight=False)
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            row["id"],
            moment(row["at"]),
            row["organization"],
            row["account"],
            key_of(row),
            row["page_number"],
            row["status"],
            size(row["size"]),
            row["times"],
            _fate(row),
            row["reason"],
        )
        for row in rows
    ]
    headings = ("id", "at (UTC)", "organization", "account", "slice", "page", "status", "size", "times", "is", "reason")
    console().print(table(headings, cells, right="page status size times"))


@quarantine.command("show")
def quarantine_show(
    id: Id,  # noqa: A002 - what it is called on the command line
    *,
    body: Annotated[
        Path | None, typer.Option("--body", metavar="FILE", help="Write all of the body, byte for byte, to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one answer: what was asked, what came, why it was refused, and how its body begins."""

    async def read(settings: Settings) -> Row:
        async with as_admin(settings) as session:
            return await find_quarantined(session, _uuid("", id))

    with with_servers(load()) as settings:
        row = asyncio.run(read(settings))
    if body is not None:
        body.write_bytes(row["body"] or b"")
    beginning = _readable(row["body"] or b"")
    if as_json:
        hidden = {"body", "position", "seller"}
        print_json([{**{name: value for name, value in row.items() if name not in hidden}, "beginning": beginning}])
        return
    lines = {
        "slice": key_of(row),
        "account": f"{row['account']} of {row['organization']} ({row['marketplace_account_id']})",
        "at": f"{moment(row['at'])} UTC" + ("" if row["times"] == 1 else f", for the {row['times']}th time"),
        "walk": "none"
        if row["walk_id"] is None
        else f"{row['walk_id']}, begun at {moment(row['walk_started_at'])} UTC",
        "page": row["page_number"],
        "request": row["request"],
        "status": row["status"],
        "type": row["content_type"],
        "size": size(row["size"]) + ("" if row["whole"] is not False else ", without the account's keys that it held"),
        "reason": row["reason"],
        "is": _fate(row),
    }
    out = console()
    out.print(table(("", ""), [(f"{name}:", value) for name, value in lines.items()]), soft_wrap=True)
    out.print(Text(beginning), soft_wrap=True)


@quarantine.command("replay")
def quarantine_replay(id: Id) -> None:  # noqa: A002
    """Put one answer through today's code, as if it had just come, and let its slice go on behind it."""

    async def again(settings: Settings) -> tuple[SliceKey, Page | Mark]:
        async with as_admin(settings) as session:
            return await replay(session, _uuid("", id), STREAMS)

    with with_servers(load()) as settings:
        key, step = asyncio.run(again(settings))
    what = "It is kept" if isinstance(step, Page) and step.worth_storing else "It is read, with nothing to keep"
    console().print(f"{what}: {key} goes on behind it.", markup=False)


@quarantine.command("drop")
def quarantine_drop(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The answers, by their ids.")] = None,
    *,
    account: Annotated[str | None, typer.Option(metavar="ID", help="With --all: those of this account.")] = None,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="With --all: those of this stream.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait of the account and the stream.")] = False,
) -> None:
    """Give answers up: their slices ask the marketplace again. The rows stay, marked as dropped."""
    _refuse_unclear(ids or [], of_some=bool(account or stream), everything=everything)
    wanted = [_uuid("", one) for one in ids or []]
    account_id = None if account is None else _uuid("--account: ", account)

    async def give_up(settings: Settings) -> list[SliceKey]:
        async with as_admin(settings) as session:
            if everything:
                return await drop_all(session, account_id=account_id, stream=stream)
            return await drop(session, wanted)

    with with_servers(load()) as settings:
        keys = asyncio.run(give_up(settings))
    what = "It is dropped" if len(keys) == 1 else f"{len(keys)} answers are dropped"
    slices = set(keys)
    who = f"{keys[0]} asks" if len(slices) == 1 else f"{len(slices)} slices ask"
    console().print(f"{what}: {who} the marketplace again.", markup=False, highlight=False)


def _refuse_unclear(ids: list[str], *, of_some: bool, everything: bool) -> None:
    """Refuse words from which it does not follow what is to be dropped."""
    if ids and (everything or of_some):
        raise Refused("give ids, or --all with --account or --stream, but not both")
    if everything and not of_some:
        raise Refused("--all wants --account or --stream: nobody means the answers of every tenant")
    if of_some and not everything:
        raise Refused("say --all to drop every answer that waits of this account or stream")
    if not ids and not everything:
        raise Refused("say which answers: `collector quarantine list` shows those there are")


def _uuid(where: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused(f"{where}{text!r} is not an id: `collector quarantine list` shows those there are") from None


def _fate(row: Row) -> str:
    for what in ("replayed", "dropped"):
        if (at := row[f"{what}_at"]) is not None:
            return f"{what} at {moment(at)}"
    return "waiting"


def _readable(body: bytes) -> str:
    """Return how a body begins. What a terminal would take for a command is written as an escape."""
    text = mask_text(body[: 8 * _BEGINNING].decode(errors="replace"))  # megabytes need not be searched for keys
    shown = "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1]
        for character in text[:_BEGINNING]
    )
    return f"{shown} …" if len(text) > _BEGINNING else shown

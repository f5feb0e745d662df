"""Asking for collections, and seeing how they stand."""

from __future__ import annotations

from typing import Annotated

import typer

from collectors.registry import STREAMS, streams_of
from worker.cli import asking, standing
from worker.cli.admin import AsJson
from worker.cli.opening import with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.words import moment
from worker.settings import load


def register(app: typer.Typer) -> None:
    app.command()(enqueue)
    app.command()(status)
    app.command()(streams)


def enqueue(  # noqa: PLR0917 - all are options
    account: Annotated[str, typer.Option(metavar="ID", help="The account, by its id.")],
    stream: Annotated[str, typer.Option(metavar="NAME", help="The stream, as `collector streams` names it.")],
    organization: Annotated[
        str | None,
        typer.Option("--org", metavar="ID", help="Its organization; refused if the account is not one of its."),
    ] = None,
    slice_name: Annotated[
        str | None, typer.Option("--slice", metavar="NAME", help="One slice of it; without this, every slice.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Collect this past again: 2026-11-20 or with a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Until when, not included; without this, until now.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Show how it goes on until a worker has done it.")] = False,
) -> None:
    """Ask for a stream of an account now, or for a part of its past; prints the ids of the requests."""
    asked = asking.Question(
        account=account, organization=organization, stream=stream, slice=slice_name, since=since, until=until
    )
    with with_servers(load()) as settings:
        asking.ask(settings, asked, wait=wait)


def status(*, as_json: AsJson = False) -> None:
    """Show how every stream of every account stands: when it was collected, when it is due, what is wrong."""
    with with_servers(load()) as settings:
        rows = standing.read(settings)
    if as_json:
        print_json(rows)
        return
    out = console()
    if not rows:
        out.print("There are no accounts yet: `collector account add` makes one.", markup=False)
    for title, of_account in standing.by_account(rows):
        cells = [
            (
                row["stream"],
                row["slice"],
                standing.state(row),
                moment(row["last_success_at"]),
                moment(row["next_due_at"]),
                moment(row["not_before"]),
                row["attempts"] or "",
                standing.saved_of([row]),
                row["last_error"],
            )
            for row in of_account
        ]
        headings = ("stream", "slice", "state", "last success", "next due", "waits until", "attempts")
        out.print(table((*headings, "not stored again", "last error"), cells, title=title, right="attempts"))
        if saved := standing.saved_of(of_account):
            out.print(f"Not stored again in the last 30 days, for it was as before: {saved}.", markup=False)
        out.print()


def streams(
    *,
    marketplace: Annotated[str | None, typer.Option(help="Those of one marketplace only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List every stream: what it is, how it is read, how often, within which limits, and what its key needs."""
    chosen = STREAMS if marketplace is None else {marketplace: streams_of(marketplace)}
    described = [standing.described(stream) for catalogue in chosen.values() for stream in catalogue.values()]
    if as_json:
        print_json(described)
        return
    headings = list(described[0])
    console().print(table(headings, [list(row.values()) for row in described]))

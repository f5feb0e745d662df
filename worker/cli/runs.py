"""What came of runs: `collector runs`, `collector run show`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from worker.cli.admin import AsJson
from worker.cli.errors import Refused, refusing
from worker.cli.opening import with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.viewing import OfAccount, OfMarketplace, OfStream, Org, Row, View, named, viewing
from worker.cli.words import moment, number, relative, since, size
from worker.db.history import RUN, RUNS, SET_ASIDE, STANDS, first_id, made_at
from worker.db.quarantine import key_of
from worker.settings import load

run = typer.Typer(help="One run: an attempt to bring a slice up to date.")

_LONGEST = timedelta(hours=1)  # far more than a run may take
_SKEW = timedelta(minutes=10)  # an id has the worker's time, started_at has the database's
_SAID = 160  # characters of an error in a table; `run show` has all of it


def register(app: typer.Typer) -> None:
    app.command()(runs)
    app.add_typer(run, name="run")


def runs(
    *,
    organization: Org = None,
    account: OfAccount = None,
    marketplace: OfMarketplace = None,
    stream: OfStream = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Those that ended so: done, 'put off', failed, quarantined …")
    ] = None,
    after: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Begun since: 24h, 7d, or a day or time.")
    ] = "24h",
    limit: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest runs and what came of them."""
    now = datetime.now(UTC)
    with refusing("--since: "):
        begin = since(after, now)
    of_marketplace, of_stream = named(marketplace, stream)
    values: dict[str, Any] = {
        "since": begin,
        "until": now + _SKEW,
        "first": first_id(begin - _SKEW),
        "marketplace": of_marketplace,
        "stream": of_stream,
        "outcome": outcome,
        "limit": limit + 1,
    }

    async def read() -> list[Row]:
        async with viewing(settings) as view:
            values["accounts"] = await view.accounts(account, organization)
            rows = await view.rows(RUNS, values)
        return sorted(rows, key=lambda row: row["started_at"], reverse=True)

    with with_servers(load()) as settings:
        found = asyncio.run(read())
    rows = found[:limit]
    if as_json:
        print_json(rows)
    elif rows:
        headings = ("id", "started", "took", "account", "stream", "outcome", "pages", "records", "requests", "error")
        console().print(table(headings, [_cells(row) for row in rows], right="took pages records requests"))
    else:
        console(stderr=True).print(Text(f"There are none since {moment(begin)} UTC: say --since for older ones."))
    if len(found) > limit:
        console(stderr=True).print(Text("There are more: say --limit."))


@run.command("show")
def run_show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The run, as `collector runs` names it.")],  # noqa: A002
    *,
    as_json: AsJson = False,
) -> None:
    """Show one run: what it brought and waited for, what it set aside, and how its slice stands now."""
    with refusing(f"{id!r} is not an id, `collector runs` shows them: "):
        wanted = UUID(id)

    async def read() -> tuple[Row, list[Row], list[Row]]:
        async with viewing(settings) as view:
            row = await _find(view, wanted)
            return row, await view.rows(SET_ASIDE, row), await view.rows(STANDS, row)

    with with_servers(load()) as settings:
        row, aside, stands = asyncio.run(read())
    if as_json:
        print_json([{**row, "quarantine": aside, "stands": next(iter(stands), None)}])
        return
    out = console()
    lines = [(f"{name}:", value) for name, value in _lines(row, stands).items() if value not in {None, ""}]
    out.print(table(("", ""), lines), soft_wrap=True)
    if aside:
        headings = ("id", "page", "status", "times", "reason")
        cells = [[one["id"], one["page_number"], one["status"], one["times"], one["reason"]] for one in aside]
        out.print(table(headings, cells, title="In quarantine (`collector quarantine show ID`)", right="page times"))


async def _find(view: View, wanted: UUID) -> Row:
    made = made_at(wanted)
    rows = []
    if made is not None:
        at = datetime.fromtimestamp(made, UTC)
        rows = await view.rows(RUN, {"id": wanted, "since": at - _LONGEST, "until": at + _SKEW})
    if not rows:
        raise Refused(f"no run has the id {wanted}: `collector runs` shows those there are")
    return rows[0]


def _cells(row: Row) -> tuple[object, ...]:
    error = row["error"] or ""
    return (
        row["id"],
        moment(row["started_at"]),
        _took(row),
        row["account"],
        key_of(row),
        row["outcome"],
        number(row["pages"]),
        number(row["records"]),
        number(row["requests"]),
        error if len(error) <= _SAID else f"{error[:_SAID]} …",
    )


def _lines(row: Row, stands: list[Row]) -> dict[str, object]:
    now = datetime.now(UTC)
    lines = {
        "run": row["id"],
        "slice": key_of(row),
        "account": f"{row['account']} of {row['organization']} ({row['marketplace_account_id']})",
        "started": f"{moment(row['started_at'])} UTC, took {_took(row)}",
        "outcome": row["outcome"],
        "error": row["error"],
        "kept": f"{number(row['pages'])} pages, {number(row['records'])} records, {size(row['bytes'])}",
        "requests": f"{number(row['requests'])}, waited {row['seconds_waited']:.1f} s for limits",
        "proxy": row["proxy"] or "none",
        "worker": row["worker"],
    }
    for one in stands:
        lines["the slice is now"] = one["state"]
        if one["not_before"] is not None and one["not_before"] > now:
            lines["waits"] = f"until {moment(one['not_before'])} UTC ({relative(one['not_before'], now)})"
        elif one["next_due_at"] is not None:
            lines["is due"] = relative(one["next_due_at"], now)
        if one["attempts"]:
            lines["attempts in a row"] = one["attempts"]
    return lines


def _took(row: Row) -> str:
    return f"{(row['finished_at'] - row['started_at']).total_seconds():.1f} s"

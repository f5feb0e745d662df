"""`collector status`: how every stream of every account stands, and what mends what does not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from worker.cli.admin import AsJson
from worker.cli.errors import Refused
from worker.cli.mending import advice
from worker.cli.opening import with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.viewing import OfAccount, OfMarketplace, OfStream, Org, Row, View, named, viewing
from worker.cli.words import number, relative, roughly, size
from worker.db.standing import PROBLEMS, SLICES, SUMMARY
from worker.logs import mask_text
from worker.settings import Settings, load

By = Literal["slice", "account", "marketplace"]

_SHOWN = 100  # rows that a person still reads; beyond it accounts are added up, and then marketplaces
_MOST = 500  # slices that are printed; a table of thousands takes a minute to lay out
_WATCH_EVERY = 2.0  # seconds
_SAVED_OF = timedelta(days=7)  # over which it is told what was not stored again
_RUNS_OF = timedelta(days=32)  # a slice that has had no run for so long has no last run


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which slices somebody wants to see."""

    organization: str | None = None
    account: str | None = None
    marketplace: str | None = None
    stream: str | None = None
    problems: bool = False
    by: By | None = None
    whole: bool = False  # for a program, however much it is


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    *,
    organization: Org = None,
    account: OfAccount = None,
    marketplace: OfMarketplace = None,
    stream: OfStream = None,
    problems: Annotated[bool, typer.Option("--problems", help="Only what does not go on by itself.")] = False,
    by: Annotated[
        By | None, typer.Option(help="A row for each; without this, as many as can be read. JSON: slice.")
    ] = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds until Ctrl-C.")] = False,
) -> None:
    """Show how every stream of every account stands: when it was collected, when it is due, what is wrong.

    The lag of a stream is for how long it has been due without being brought up to date. More than a hundred slices are
    added up by account, and more accounts by marketplace. JSON of more than 5000 slices does not say how much was saved
    (null): ask for an account or an organization. Without COLLECTOR_OWNER_DATABASE_URL the worker's role looks
    at one organization after the other.
    """
    of_marketplace, of_stream = named(marketplace, stream)
    wanted = Wanted(
        organization=organization,
        account=account,
        marketplace=of_marketplace,
        stream=of_stream,
        problems=problems,
        by=by or ("slice" if as_json else None),
        whole=as_json,
    )
    if watch and (as_json or not console().is_terminal):
        raise Refused("--watch needs a terminal: leave it out to print once")
    with with_servers(load()) as settings:
        asyncio.run(_watch(settings, wanted) if watch else _show(settings, wanted, as_json=as_json))


async def _show(settings: Settings, wanted: Wanted, *, as_json: bool) -> None:
    async with viewing(settings) as view:
        by, rows = await read(view, wanted)
    if as_json:
        print_json([_as_fields(row) for row in rows])
        return
    for part in shown(by, rows, wanted):
        console().print(part, soft_wrap=isinstance(part, Text))


async def _watch(settings: Settings, wanted: Wanted) -> None:
    async with viewing(settings) as view:
        with Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                by, rows = await read(view, wanted)
                at = Text(f"{datetime.now(UTC):%H:%M:%S} UTC · Ctrl-C ends this", style="dim")
                live.update(Group(at, *shown(by, rows, wanted)), refresh=True)
                await asyncio.sleep(_WATCH_EVERY)


async def read(view: View, wanted: Wanted) -> tuple[By, list[Row]]:
    """Return rows for slices, accounts or marketplaces, and which of these they are for."""
    values: dict[str, Any] = {
        "accounts": await view.accounts(wanted.account, wanted.organization),
        "marketplace": wanted.marketplace,
        "stream": wanted.stream,
        "conditions": list(PROBLEMS) if wanted.problems else None,
    }
    by = wanted.by
    if by != "slice":
        summed = await view.rows(SUMMARY, values)
        if by is None and sum(row["slices"] for row in summed) > _SHOWN:
            by = "account" if len({row["marketplace_account_id"] for row in summed}) <= _SHOWN else "marketplace"
        if by is not None:
            return by, _added_up(summed, by)
    now = datetime.now(UTC)
    values |= {
        "limit": None if wanted.whole else _MOST + 1,
        "runs_since": now - _RUNS_OF,
        "saved_since": now - _SAVED_OF,
        "runs_until": now + timedelta(days=1),
    }
    return "slice", await view.rows(SLICES, values)


def _added_up(rows: Iterable[Row], by: By) -> list[Row]:
    """Add up what accounts have in each condition; those with problems first."""
    names = ("organization", "marketplace", *(("account", "marketplace_account_id") if by == "account" else ()))
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        one = found.setdefault(
            tuple(row[name] for name in names),
            {**{name: row[name] for name in names}, "accounts": set(), "slices": 0, "lag": None, "conditions": {}},
        )
        one["accounts"].add(row["marketplace_account_id"])
        one["slices"] += row["slices"]
        one["conditions"][row["condition"]] = one["conditions"].get(row["condition"], 0) + row["slices"]
        one["lag"] = max((lag for lag in (one["lag"], row["lag"]) if lag is not None), default=None)
    for one in found.values():
        one["accounts"] = len(one["accounts"])
        one["problems"] = sum(count for name, count in one["conditions"].items() if name in PROBLEMS)
    return sorted(found.values(), key=lambda one: (-one["problems"], one["organization"], one["marketplace"]))


def shown(by: By, rows: Sequence[Row], wanted: Wanted) -> Iterator[RenderableType]:
    """Give what a person is shown of the rows."""
    if not rows:
        if wanted.problems:
            yield Text("Everything goes on by itself.")
        elif wanted == Wanted():
            yield Text("There are no accounts yet: `collector account add` makes one.")
        else:
            yield Text("There is nothing of that: `collector status` shows what there is.")
    elif by == "slice":
        for _, group in groupby(rows[:_MOST], key=lambda row: row["marketplace_account_id"]):
            yield from _account(list(group))
        if len(rows) > _MOST:
            yield Text("There are more: say --org, --account or --stream.")
    else:
        yield from _sums(rows, by)


def _account(rows: Sequence[Row]) -> Iterator[RenderableType]:
    now = datetime.now(UTC)
    first = rows[0]
    title = f"{first['organization']} · {first['marketplace']} · {first['account']} ({first['account_status']})"
    reason = first["account_status_reason"]
    cells = [
        (
            _slice(row),
            row["condition"],
            _lag(row),
            f"{relative(row['last_run_at'], now)}: {row['last_run_outcome']}" if row["last_run_at"] else "never",
            _next(row, now),
            row["attempts"] or "",
            row["reason"],
        )
        for row in rows
    ]
    headings = ("stream", "state", "lag", "last run", "next", "attempts", "why")
    yield table(headings, cells, title=f"{title}: {mask_text(reason)}" if reason else title, right="lag attempts")
    for words in _mends(rows):
        yield Text(words, style="yellow")
    if saved := saved_of(rows):
        yield Text(f"Not stored again in the last {_SAVED_OF.days} days, for it was as before: {saved}.")
    yield Text("")


def saved_of(rows: Sequence[Row]) -> str:
    """Say how much of what these slices brought was as it was before, and not stored again; "" if nothing was."""
    pages, same, octets, octets_same = (
        sum(row[name] for row in rows) for name in ("pages", "pages_same", "bytes", "bytes_same")
    )
    if not same:
        return ""
    share = f" ({octets_same / octets:.0%})" if octets else ""
    return f"{number(same)} of {number(pages)} pages, {size(octets_same)} of {size(octets)}{share}"


def _mends(rows: Sequence[Row]) -> Iterator[str]:
    """Give a line for each condition of an account that a person may have to mend."""
    for condition, lane in ((condition, lane) for condition in PROBLEMS for lane in ("live", "backfill")):
        those = [row for row in rows if (row["condition"], row["lane"]) == (condition, lane)]
        if those:
            told = those[0] if len(those) == 1 else {**those[0], "slice": "", "stream": _one_of(those)}
            yield f"{condition}{'' if lane == 'live' else f' ({lane})'}: {_advice(told)}"


def _one_of(rows: Sequence[Row]) -> str:
    names = {str(row["stream"]) for row in rows}
    return names.pop() if len(names) == 1 else "NAME"


def _advice(row: Row) -> str:
    return advice(row["condition"], {**row, "account_id": row["marketplace_account_id"]})


def _sums(rows: Sequence[Row], by: By) -> Iterator[RenderableType]:
    slices, problems = (sum(row[name] for row in rows) for name in ("slices", "problems"))
    yield Text(f"{number(slices)} slices, {number(problems)} of them with problems.")
    cells = [
        (
            row["organization"],
            row["marketplace"],
            row["account"] if by == "account" else number(row["accounts"]),
            number(row["slices"]),
            number(row["slices"] - row["problems"]),
            ", ".join(f"{number(row['conditions'][name])} {name}" for name in PROBLEMS if name in row["conditions"]),
            _lag(row),
        )
        for row in rows[:_SHOWN]
    ]
    heading = "account" if by == "account" else "accounts"
    headings = ("organization", "marketplace", heading, "slices", "going on", "problems", "lag")
    yield table(headings, cells, right="slices lag accounts")
    if len(rows) > _SHOWN:
        yield Text(f"{number(len(rows) - _SHOWN)} more are not shown: say --org, --marketplace or --problems")
    if any(row["problems"] for row in rows):
        narrower = "--account NAME" if by == "account" else "--org NAME --by account"
        yield Text(f"What is wrong, and what mends it: collector status --problems {narrower}", style="yellow")


def _slice(row: Row) -> str:
    of_slice = f"[{row['slice']}]" if row["slice"] else ""
    return f"{row['stream']}{of_slice}" + ("" if row["lane"] == "live" else f" ({row['lane']})")


def _lag(row: Row) -> str:
    lag: timedelta | None = row["lag"]
    return roughly(lag) if lag else ""


def _next(row: Row, now: datetime) -> str:
    times = [at for at in (row["next_due_at"], row["not_before"]) if at is not None]
    if row["condition"].endswith("paused"):
        return relative(row["paused_until"], now)
    if row["condition"] in {"quarantined", "retired", "idle"}:
        return ""
    if row["condition"] == "running":
        return "now"
    return "now" if not times or max(times) <= now else relative(max(times), now)


def _as_fields(row: Row) -> Row:
    """Return the row for programs: spans in seconds, and what mends it."""
    lag = row["lag"]
    fields = {**row, "lag": None if lag is None else lag.total_seconds()}
    if row.get("condition") in PROBLEMS:
        fields["mend"] = _advice(row)
    return fields

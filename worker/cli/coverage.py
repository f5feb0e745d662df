"""`collector coverage`: what of the past is there, what is still to come, and what can never be had."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any

import typer
from rich.text import Text

from collectors.registry import STREAMS
from worker.cli.admin import AsJson
from worker.cli.opening import with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.viewing import OfAccount, OfMarketplace, OfStream, Org, Row, named, viewing
from worker.cli.words import number, roughly
from worker.db.backfills import COVERAGE, bounds
from worker.settings import load

_WIDTH = 30  # characters of a bar
_COVERED, _SOME, _PENDING, _IMPOSSIBLE, _NOT_WANTED = "█", "▒", "░", "×", "·"

Span = tuple[datetime, datetime]


def register(app: typer.Typer) -> None:
    app.command()(coverage)


def coverage(
    *,
    organization: Org = None,
    account: OfAccount = None,
    marketplace: OfMarketplace = None,
    stream: OfStream = None,
    limit: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="At most so many slices.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Show what of each slice's time is covered, pending (wanted and not covered), or older than the API keeps.

    The bar goes from the beginning of what is wanted or there until now: full is covered, light is pending, × is gone.
    Streams that are a list of now have no past and are left out.
    """
    now = datetime.now(UTC)
    of_marketplace, of_stream = named(marketplace, stream)
    streams = [
        one
        for name, catalogue in STREAMS.items()
        for one in catalogue.values()
        if of_marketplace in {None, name} and of_stream in {None, one.name}
    ]

    async def read() -> list[Row]:
        async with viewing(settings) as view:
            values: dict[str, Any] = {**bounds(streams, now), "limit": None if as_json else limit + 1}
            values["accounts"] = await view.accounts(account, organization)
            return await view.rows(COVERAGE, values)

    with with_servers(load()) as settings:
        rows = asyncio.run(read())
    if as_json:
        print_json([_as_fields(row) for row in rows])
        return
    for _, group in groupby(rows[:limit], key=lambda row: row["marketplace_account_id"]):
        of_account = list(group)
        first = of_account[0]
        title = f"{first['organization']} · {first['marketplace']} · {first['account']}"
        headings = ("stream", "from", "until now", "covered", "pending", "impossible")
        console().print(table(headings, [_cells(row, now) for row in of_account], title=title, right="covered"))
        console().print()
    if not rows:
        console(stderr=True).print(
            Text("There is nothing of that with a past: `collector status` shows what there is.")
        )
    elif len(rows) > limit:
        console(stderr=True).print(Text("There are more: say --account, --stream or --limit."))


def _cells(row: Row, now: datetime) -> tuple[object, ...]:
    spans = {name: _spans(row[name], now) for name in ("covered", "pending", "impossible")}
    begin = min(start for part in (*spans.values(), [(row["wanted_from"], now)]) for start, _ in part)
    return (
        f"{row['stream']}[{row['slice']}]" if row["slice"] else row["stream"],
        f"{begin:%Y-%m-%d}",
        bar(begin, now, **spans),
        _length(spans["covered"]),
        _holes(spans["pending"]),
        _holes(spans["impossible"]),
    )


def bar(
    begin: datetime, end: datetime, *, covered: Sequence[Span], pending: Sequence[Span], impossible: Sequence[Span]
) -> str:
    """Draw the time from `begin` to `end`. A hole that is small beside its character is drawn as some."""
    step = (end - begin) / _WIDTH
    drawn = ""
    for number_of in range(_WIDTH):
        cell = begin + number_of * step, begin + (number_of + 1) * step
        shares = [_shared(cell, part) / step for part in (covered, pending, impossible)]
        if max(shares) == 0:
            drawn += _NOT_WANTED
        elif shares[2] >= max(shares[:2]):
            drawn += _IMPOSSIBLE
        elif shares[1] >= 0.9:
            drawn += _PENDING
        else:
            drawn += _SOME if shares[1] + shares[2] >= 0.01 else _COVERED
    return drawn


def _shared(cell: Span, spans: Iterable[Span]) -> timedelta:
    parts = (min(end, cell[1]) - max(start, cell[0]) for start, end in spans)
    return sum((part for part in parts if part > timedelta(0)), timedelta(0))


def _length(spans: Sequence[Span]) -> str:
    return roughly(sum((end - start for start, end in spans), timedelta(0))) if spans else ""


def _holes(spans: Sequence[Span]) -> str:
    if not spans:
        return ""
    first = f"{spans[0][0]:%Y-%m-%d %H:%M}"
    where = f"since {first}" if len(spans) == 1 else f"in {number(len(spans))} holes, the first at {first}"
    return f"{_length(spans)} {where}"


def _spans(ranges: Any, now: datetime) -> list[Span]:
    """Return a multirange as pairs. Nothing of it is open: what is wanted begins and ends."""
    return [(one.lower.astimezone(UTC), min(one.upper, now).astimezone(UTC)) for one in ranges if one.lower < now]


def _as_fields(row: Row) -> Row:
    names = ("covered", "settled", "pending", "impossible")
    return {**row, **{name: [[one.lower, one.upper] for one in row[name]] for name in names}}

"""Pausing and resuming, and what an account wants other than the registry says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.registry import streams_of
from worker.cli.admin import AsJson, account
from worker.cli.errors import Refused, refusing
from worker.cli.mending import mended_by
from worker.cli.opening import as_admin, with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.words import moment, read_span, span
from worker.db import administration, pauses, wishes
from worker.db.administration import Row
from worker.db.pauses import Place
from worker.settings import Settings, load

stream = typer.Typer(help="The streams of accounts: how often they are collected, and which are out of use.")

OfOrganization = Annotated[str | None, typer.Option("--org", metavar="NAME|ID", help="A whole organization.")]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="NAME|ID", help="One account, or with --stream a stream of it.")
]
OfMarketplace = Annotated[
    str | None, typer.Option("--marketplace", metavar="NAME", help="A marketplace, for every account there is.")
]
OfStream = Annotated[str | None, typer.Option("--stream", metavar="NAME", help="One stream of it only.")]


def register(app: typer.Typer) -> None:
    app.command()(pause)
    app.command()(resume)
    app.add_typer(stream, name="stream")


def pause(  # noqa: PLR0917 - all are options
    reason: Annotated[str, typer.Option(help="Why: shown wherever the pause is.")],
    organization: OfOrganization = None,
    account: OfAccount = None,
    marketplace: OfMarketplace = None,
    stream: OfStream = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it goes on by itself: 2026-11-20T10:30, or 2h from now."),
    ] = None,
) -> None:
    """Stop collecting an organization, an account, a marketplace or a stream; a run under way is finished."""
    if not reason.strip():
        raise Refused("--reason must not be empty: whoever meets the pause will want to know")
    with refusing("--until "):
        end = None if until is None else _end(until)

    async def do(settings: Settings) -> tuple[str, str]:
        async with as_admin(settings) as session:
            place, name = await _place(session, organization, account, marketplace, stream)
            return name, await pauses.pause(session, place, reason, end)

    with with_servers(load()) as settings:
        name, left = asyncio.run(do(settings))
    console().print(f"{name} is paused{f' until {moment(end)} UTC' if end else ''}.", markup=False)
    if left:
        console().print(
            f"Left as it is, for it is out of use already and a pause would end that: {left}.", markup=False
        )


def resume(
    organization: OfOrganization = None,
    account: OfAccount = None,
    marketplace: OfMarketplace = None,
    stream: OfStream = None,
) -> None:
    """Collect again what was paused."""

    async def do(settings: Settings) -> str:
        async with as_admin(settings) as session:
            place, name = await _place(session, organization, account, marketplace, stream)
            await pauses.resume(session, place)
            return name

    with with_servers(load()) as settings:
        console().print(f"{asyncio.run(do(settings))} is collected again.", markup=False)


@account.command("set")
def account_set(
    named: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account, by its name or id.")],
    streams: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Collect these streams only, and those they take slices or ids from."),
    ] = None,
    *,
    all_streams: Annotated[bool, typer.Option("--all-streams", help="Collect every stream there is.")] = False,
) -> None:
    """Choose the streams of an account. What it no longer has is retired, and goes on from there when it comes back."""
    if (streams is None) is not all_streams:
        raise Refused("say either --streams NAME,… or --all-streams")
    names = [name for name in (streams or "").split(",") if name.strip()]

    async def do(settings: Settings) -> tuple[str, Sequence[str]]:
        async with as_admin(settings) as session:
            found = await wishes.find_account(session, named)
            registry = streams_of(found.marketplace)
            chosen = None if all_streams else wishes.chosen(registry, found.marketplace, names)
            if chosen == []:
                raise Refused("--streams names no stream: to collect nothing of an account, `collector pause` it")
            await wishes.set_streams(session, found, chosen, registry)
            return found.name, chosen or ["every stream"]

    with with_servers(load()) as settings:
        name, chosen = asyncio.run(do(settings))
    console().print(f"{name}: {', '.join(chosen)}", markup=False)


@stream.command("set")
def stream_set(
    named: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account, by its name or id.")],
    name: Annotated[str, typer.Argument(metavar="STREAM", help="The stream, as `collector streams` names it.")],
    every: Annotated[str | None, typer.Option(metavar="SPAN", help="How often: 30min, 2h, 1d.")] = None,
    *,
    default: Annotated[bool, typer.Option("--default", help="As often as the stream says itself.")] = False,
) -> None:
    """Choose how often a stream of an account is collected."""
    if (every is None) is not default:
        raise Refused("say either --every SPAN or --default")
    with refusing("--every "):
        wished = None if every is None else read_span(every)

    async def do(settings: Settings) -> str:
        async with as_admin(settings) as session:
            found = await wishes.find_account(session, named)
            chosen = wishes.named_stream(streams_of(found.marketplace), found.marketplace, name)
            await wishes.set_every(session, found, chosen, wished)
            return f"{found.name}: {chosen.name} every {span(wished or chosen.every)}"

    with with_servers(load()) as settings:
        console().print(asyncio.run(do(settings)), markup=False)


@stream.command("list")
def stream_list(
    *,
    account: Annotated[str | None, typer.Option(metavar="NAME|ID", help="Those of one account only.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Those that are out of use only, with what mends them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what an account collects and how often, or with --dead what is out of use and which command mends it."""
    if account is None and not dead:
        raise Refused("say --account, or --dead for what is out of use of all: `collector status` shows everything")

    async def read(settings: Settings) -> tuple[list[Row], list[Row]]:
        async with as_admin(settings) as session:
            found = None if account is None else await wishes.find_account(session, account)
            rows = await pauses.list_streams(session, None if found is None else found.id, dead=dead)
            return rows, await pauses.list_pauses(session)

    with with_servers(load()) as settings:
        rows, for_all = asyncio.run(read(settings))
    rows = [{**row, "mended_by": mended_by(row["state"], row)} for row in rows]
    if as_json:
        print_json(rows if not dead else [*_as_rows(for_all), *rows])
        return
    out = console()
    for row in _as_rows(for_all):
        until = f" until {moment(row['paused_until'])} UTC" if row["paused_until"] else ""
        what = row["stream"] or row["marketplace"]
        out.print(f"{what}: paused for every account{until}: {row['reason']} ({row['mended_by']})", markup=False)
    keys = ("organization", "account", "stream", "slice", "state", "reason")
    cells = [
        (
            *(f"{row['marketplace']}/{row[key]}" if key == "stream" else row[key] for key in keys),
            moment(row["paused_until"]),
            span(row["every"]) + (" (set)" if row["overridden"] else ""),
            row["mended_by"],
        )
        for row in rows
    ]
    out.print(table((*keys, "paused until (UTC)", "every", "mended by"), cells))


def _as_rows(for_all: Sequence[Row]) -> list[Row]:
    return [
        {
            "marketplace": row["marketplace"],
            "stream": f"{row['marketplace']}/{row['stream']}" if row["stream"] else "",
            "state": "paused",
            "reason": row["reason"],
            "paused_until": row["until"],
            "since": row["created_at"],
            "mended_by": mended_by("stream paused" if row["stream"] else "marketplace paused", row),
        }
        for row in for_all
    ]


async def _place(
    session: AsyncSession,
    organization: str | None,
    account: str | None,
    marketplace: str | None,
    stream: str | None,
) -> tuple[Place, str]:
    """Find what the options mean, and how to call it. Raises Refused unless they mean one thing."""
    if sum(option is not None for option in (organization, account, marketplace)) != 1:
        raise Refused("say one of --org, --account and --marketplace")
    if organization is not None:
        if stream is not None:
            raise Refused("--stream goes with --account or --marketplace")
        return Place(organization_id=await administration.find_organization(session, organization)), organization
    if account is not None:
        found = await wishes.find_account(session, account)
        if stream is None:
            return Place(account_id=found.id), found.name
        of_account = wishes.named_stream(streams_of(found.marketplace), found.marketplace, stream).name
        return Place(account_id=found.id, stream=of_account), f"{found.name}: {of_account}"
    assert marketplace is not None, "the third of three"
    streams = streams_of(marketplace)
    name = None if stream is None else wishes.named_stream(streams, marketplace, stream).name
    return Place(marketplace=marketplace, stream=name), marketplace if name is None else f"{marketplace}/{name}"


def _end(until: str) -> datetime:
    now = datetime.now(UTC)
    try:
        end = datetime.fromisoformat(until)
    except ValueError:
        return now + read_span(until)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end <= now:
        raise ValueError("is in the past: write a time to come, or 2h for two hours from now")
    return end

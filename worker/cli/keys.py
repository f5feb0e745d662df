"""What the key of an account may do, until when it is good, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from collectors.registry import STREAMS, streams_of
from worker.cli.admin import AsJson, account
from worker.cli.errors import Refused
from worker.cli.opening import as_admin, with_servers
from worker.cli.tables import console, print_json, table
from worker.db import administration
from worker.db.accounts import Account
from worker.db.administration import Row
from worker.db.keys import record_key
from worker.infisical import secrets_of
from worker.keys import Checked, check_account, days_left, look_at
from worker.main import open_resources
from worker.settings import Settings, load

_OF_ACCOUNT = ("name", "marketplace", "external_id", "secret_ref", "proxy_group")
_AT_ONCE = 8  # accounts
_SERVERS_WITHIN = timedelta(seconds=10)  # a person waits for it

Check = Callable[[Row], Awaitable[Checked]]


def register(_: typer.Typer) -> None:
    account.command("check")(account_check)


def account_check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|ID]", help="The account's name or id.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All accounts.")] = False,
    organization: Annotated[
        str | None, typer.Option("--org", metavar="NAME|ID", help="Those of one organization only.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no marketplace: what the key says of itself only.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell whether an account's secret can be read, whose key it is, how long it is good, and which streams it opens.

    Asks the marketplace once, through the account's proxies and within its limits. Streams that the key now opens are
    tried at once. The exit code is 1 if something has to be mended.
    """
    if (name is None) != every:
        raise Refused("name one account, or say --all: `collector account list` shows those there are")

    async def check(settings: Settings) -> list[tuple[Row, Checked]]:
        async with as_admin(settings) as session:
            found = None if organization is None else await administration.find_organization(session, organization)
            rows = await administration.list_accounts(session, found)
        rows = [row for row in rows if every or name in {row["name"], str(row["id"])}]
        if not rows:
            none = "there is no account" if every else f"no account is called {name!r}"
            raise Refused(f"{none}: `collector account list` shows those there are")
        for row in rows:
            streams_of(row["marketplace"])  # or it is none that we have
        room = asyncio.Semaphore(_AT_ONCE)

        async def check_one(look: Check, row: Row) -> tuple[Row, Checked]:
            async with room:
                return row, await look(row)

        async with (_offline if offline else _online)(settings) as look:
            return await asyncio.gather(*(check_one(look, row) for row in rows))

    with with_servers(load()) as settings, console(stderr=True).status("looking at the keys …"):
        checked = asyncio.run(check(settings))
    if as_json:
        print_json([_as_fields(row, found) for row, found in checked])
    else:
        _show(checked)
    if wrong := [row["name"] for row, found in checked if found.problems]:
        raise Refused(f"{len(wrong)} of {len(checked)} accounts have to be mended: {', '.join(wrong)}")


@asynccontextmanager
async def _online(settings: Settings) -> AsyncIterator[Check]:
    async with open_resources(settings, within=_SERVERS_WITHIN) as resources:
        yield lambda row: check_account(resources, row["organization_id"], row["id"], row["marketplace"], by_hand=True)


@asynccontextmanager
async def _offline(settings: Settings) -> AsyncIterator[Check]:
    looked_at: list[tuple[Row, Checked]] = []
    with secrets_of(settings) as resolve:

        async def look(row: Row) -> Checked:
            found = Account(**{field: row[field] for field in _OF_ACCOUNT})
            streams = streams_of(row["marketplace"]).values()
            checked = await look_at(found, streams, resolve=resolve, now=datetime.now(UTC), ask=None, thorough=False)
            looked_at.append((row, checked))
            return checked

        yield look
    async with as_admin(settings) as session:
        for row, checked in looked_at:
            if checked.is_known:
                of_account = row["organization_id"], row["id"]
                expires_at, refused = checked.knowledge.expires_at, checked.refused
                await record_key(session, *of_account, expires_at=expires_at, refused=refused, retry=True)


def _show(checked: Sequence[tuple[Row, Checked]]) -> None:
    now = datetime.now(UTC)
    headings = ("organization", "marketplace", "account", "secret", "key", "days left", "seller", "streams")
    cells = [
        (
            row["organization"],
            row["marketplace"],
            row["name"],
            "ok" if found.resolves else "no",
            found.knowledge.kind,
            None if found.knowledge.expires_at is None else days_left(found.knowledge.expires_at, now),
            {True: "ok", False: "another", None: ""}[_is_of_seller(row, found)],
            _streams(row, found) if found.resolves else "",
        )
        for row, found in checked
    ]
    console().print(table(headings, cells))
    for row, found in checked:
        for words in (*found.problems, *found.notes, *_reasons(found.refused)):
            console().print(f"{row['name']}: {words}", markup=False, soft_wrap=True)


def _reasons(refused: Mapping[str, str]) -> list[str]:
    """Name the streams that a key cannot have, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for stream, why in refused.items():
        by_reason.setdefault(why, []).append(stream)
    return [f"without {', '.join(streams)}: {why}" for why, streams in by_reason.items()]


def _streams(row: Row, found: Checked) -> str:
    every = len(STREAMS[row["marketplace"]])
    return f"{every - len(found.refused)} of {every}"


def _is_of_seller(row: Row, found: Checked) -> bool | None:
    return found.knowledge.sellers == {row["external_id"]} if found.knowledge.sellers else None


def _as_fields(row: Row, found: Checked) -> dict[str, Any]:
    expires_at = found.knowledge.expires_at
    return {
        **{name: row[name] for name in ("id", "organization", "marketplace", "name", "external_id", "status")},
        "secret_resolves": found.resolves,
        "key": found.knowledge.kind or None,
        "seller_matches": _is_of_seller(row, found),
        "key_expires_at": expires_at,
        "days_left": None if expires_at is None else days_left(expires_at, datetime.now(UTC)),
        "asked": found.asked,
        "streams": [name for name in STREAMS[row["marketplace"]] if name not in found.refused]
        if found.resolves
        else [],
        "refused": dict(found.refused),
        "problems": list(found.problems),
        "notes": list(found.notes),
    }

"""Organizations and accounts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from collectors.registry import streams_of
from worker.cli.errors import refusing
from worker.cli.opening import as_admin, with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.words import moment
from worker.db import administration
from worker.db.administration import NewAccount, Row
from worker.db.progress import AccountId
from worker.keys import days_left
from worker.secrets import check_ref
from worker.settings import Settings, load

org = typer.Typer(help="Organizations: the tenants. Each sees its own rows only.")
account = typer.Typer(help="Seller accounts of the organizations.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


def register(app: typer.Typer) -> None:
    for name, group in (("org", org), ("account", account)):
        app.add_typer(group, name=name)


@org.command("add")
def org_add(name: Annotated[str, typer.Argument(help="A name that no other organization has.")]) -> None:
    """Add an organization and print its id."""

    async def add(settings: Settings) -> UUID:
        async with as_admin(settings) as session:
            return await administration.add_organization(session, name)

    with with_servers(load()) as settings:
        console().print(str(asyncio.run(add(settings))))


@org.command("list")
def org_list(*, as_json: AsJson = False) -> None:
    """List the organizations."""

    async def read(settings: Settings) -> list[Row]:
        async with as_admin(settings) as session:
            return await administration.list_organizations(session)

    with with_servers(load()) as settings:
        rows = asyncio.run(read(settings))
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            *(row[key] for key in ("id", "name", "status", "status_reason")),
            moment(row["paused_until"]),
            row["accounts"],
            moment(row["created_at"]),
        )
        for row in rows
    ]
    headings = ("id", "name", "status", "status reason", "paused until (UTC)", "accounts", "since (UTC)")
    console().print(table(headings, cells, right="accounts"))


@account.command("add")
def account_add(  # noqa: PLR0917 - all are options
    organization: Annotated[str, typer.Option("--org", metavar="NAME|ID", help="The organization it belongs to.")],
    marketplace: Annotated[str, typer.Option(help="wildberries, ozon or yandex_market.")],
    name: Annotated[str, typer.Option(help="What to call it; once per organization and marketplace.")],
    external_id: Annotated[
        str, typer.Option(help="The marketplace's own id of the seller: sid, Client-Id, business id.")
    ],
    secret_ref: Annotated[
        str,
        typer.Option(
            metavar="REF", help="Where its secret is: env:NAME, file:/path or infisical:project/environment/NAME."
        ),
    ],
    proxy_group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Go out through these proxies only; without it, directly.")
    ] = None,
) -> None:
    """Add a seller account, make all its streams due, and print its id."""
    streams = streams_of(marketplace)
    with refusing("--secret-ref: "):
        check_ref(secret_ref)
    new = NewAccount(
        marketplace=marketplace, name=name, external_id=external_id, secret_ref=secret_ref, proxy_group=proxy_group
    )

    async def add(settings: Settings) -> tuple[AccountId, bool]:
        async with as_admin(settings) as session:
            organization_id = await administration.find_organization(session, organization)
            groups = {row["group"] for row in await administration.list_proxies(session)}
            account_id = await administration.add_account(session, organization_id, new, streams)
            return account_id, proxy_group is None or proxy_group in groups

    with with_servers(load()) as settings:
        account_id, has_proxies = asyncio.run(add(settings))
    console().print(str(account_id))
    if not has_proxies:
        console(stderr=True).print(
            f"The proxy group {proxy_group} is empty: nothing is collected until `collector proxy add` fills it."
        )


@account.command("list")
def account_list(
    *,
    organization: Annotated[
        str | None, typer.Option("--org", metavar="NAME|ID", help="Those of one organization only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the accounts, whether they are collected, and why not."""

    async def read(settings: Settings) -> list[Row]:
        async with as_admin(settings) as session:
            found = None if organization is None else await administration.find_organization(session, organization)
            return await administration.list_accounts(session, found)

    with with_servers(load()) as settings:
        rows = asyncio.run(read(settings))
    if as_json:
        print_json(rows)
        return
    keys = (
        "id",
        "organization",
        "marketplace",
        "name",
        "external_id",
        "secret_ref",
        "proxy_group",
        "status",
        "status_reason",
    )
    headings = [key.replace("_", " ") for key in keys] + ["paused until (UTC)", "key days left", "streams"]
    now = datetime.now(UTC)
    cells = [
        (
            *(row[key] for key in keys),
            moment(row["paused_until"]),
            _days_left(row["key_expires_at"], now),
            ", ".join(row["streams"] or ("all",)),
        )
        for row in rows
    ]
    console().print(table(headings, cells))


def _days_left(expires_at: datetime | None, now: datetime) -> int | None:
    return None if expires_at is None else days_left(expires_at, now)


@account.command("resume")
def account_resume(account_id: Annotated[str, typer.Argument(metavar="ID", help="The account's id.")]) -> None:
    """Collect a paused account again, after what paused it was mended."""
    with refusing("the account's id is not a UUID: "):
        found = UUID(account_id)

    async def resume(settings: Settings) -> str:
        async with as_admin(settings) as session:
            return await administration.resume_account(session, found)

    with with_servers(load()) as settings:
        console().print(f"{asyncio.run(resume(settings))} is collected again.", markup=False)

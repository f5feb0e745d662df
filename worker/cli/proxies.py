"""The proxies: adding, listing, testing and removing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from collectors.errors import PutOff
from worker.cli.admin import AsJson
from worker.cli.errors import Refused, refusing
from worker.cli.opening import as_admin, with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.trying import Tried, try_proxies
from worker.cli.words import moment
from worker.db import administration
from worker.db.administration import NewProxy, Row
from worker.http.health import Health, Standing
from worker.http.proxies import Proxy, parse_proxy_url
from worker.queue import make_redis
from worker.secrets import check_ref
from worker.settings import Settings, SettingsError, load

proxy = typer.Typer(help="The proxies that accounts go out through.")


def register(app: typer.Typer) -> None:
    app.add_typer(proxy, name="proxy")


@proxy.command("add")
def proxy_add(
    name: Annotated[str, typer.Argument(help="A name that no other proxy has.")],
    *,
    group: Annotated[str, typer.Option(help="The group of proxies that accounts name.")],
    url: Annotated[str, typer.Option(help="http://, https:// or socks5://host:port, without user and password.")],
    secret_ref: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="Where the secret is: env:NAME, file:/path or infisical:project/environment/NAME."
        ),
    ] = None,
    max_accounts: Annotated[
        int, typer.Option(min=1, help="The most accounts that may go out by its address.")
    ] = NewProxy.max_accounts,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the proxy of this name.")] = False,
) -> None:
    """Add a proxy. Its user and password are a secret: a JSON object with the fields user and password."""
    with refusing("--url: "):
        address, credentials = parse_proxy_url(url)
    if credentials is not None:
        raise Refused(
            "--url: user and password do not belong in the URL: put them into a secret, "
            'a JSON object {"user": …, "password": …}, and name that with --secret-ref'
        )
    if secret_ref is not None:
        with refusing("--secret-ref: "):
            check_ref(secret_ref)

    async def add(settings: Settings) -> None:
        new = NewProxy(name=name, group=group, url=address, secret_ref=secret_ref, max_accounts=max_accounts)
        async with as_admin(settings) as session:
            await administration.add_proxy(session, new, replace=replace)
        await _forgive(settings, [name])

    with with_servers(load()) as settings:
        asyncio.run(add(settings))
    console().print(f"{name} is in the group {group}: {address}", markup=False)


@proxy.command("list")
def proxy_list(*, as_json: AsJson = False) -> None:
    """List the proxies, which are out and until when, and how many accounts went out by each within a day."""

    async def read(settings: Settings) -> tuple[list[Row], Mapping[str, Standing]]:
        async with as_admin(settings) as session:
            rows = await administration.list_proxies(session)
        try:
            async with _health(settings) as health:
                return rows, await health.standing([_without_credentials(row) for row in rows])
        except (PutOff, SettingsError) as error:
            _note(f"State, accounts and faults are not known: {error}")
            return rows, {}

    with with_servers(load()) as settings:
        rows, standing = asyncio.run(read(settings))
    if as_json:
        print_json([{**row, **_as_fields(standing.get(row["name"]))} for row in rows])
        return
    cells = [
        (
            row["name"],
            row["group"],
            row["url"],
            row["secret_ref"],
            _state(row, known := standing.get(row["name"])),
            row["egress"],
            f"{'' if known is None else known.accounts}/{row['max_accounts']}",
            known and f"{known.faults:g}",
        )
        for row in rows
    ]
    headings = ("name", "group", "url", "secret ref", "state", "egress", "accounts", "faults")
    console().print(table(headings, cells, right="accounts faults"))


@proxy.command("test")
def proxy_test(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Without a name: all.")] = None,
    *,
    group: Annotated[str | None, typer.Option(help="Those of one group only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask through each proxy for its address and for an answer of every marketplace; one that works is in again.

    A marketplace that shows a page for people, as firewalls do, has refused the proxy's address: its ban stays.
    """

    async def test(settings: Settings) -> list[Tried]:
        async with as_admin(settings) as session:
            rows = await administration.list_proxies(session)
        tried = await try_proxies(settings, _picked(rows, names or [], group), others=rows)
        async with as_admin(settings) as session:
            for one in tried:
                if one.probe.egress is not None:
                    await administration.see_egress(session, one.name, one.probe.egress)
        await _forgive(settings, [one.name for one in tried if one.probe.works])
        return tried

    with with_servers(load()) as settings:
        tried = asyncio.run(test(settings))
    if as_json:
        print_json([one.as_fields() for one in tried])
    else:
        marketplaces = list(tried[0].marketplaces)
        cells = [
            (
                one.name,
                one.group,
                one.probe.egress,
                None if one.probe.seconds is None else f"{one.probe.seconds * 1000:.0f}",
                *map(one.answer_of, marketplaces),
            )
            for one in tried
        ]
        console().print(table(("name", "group", "egress", "ms", *marketplaces), cells, right="ms"))
        for one in tried:
            for words in (*one.problems, *one.warnings):
                _note(words)
    if failed := [one.name for one in tried if not one.probe.works]:
        raise Refused(f"{len(failed)} of {len(tried)} proxies failed the test: {', '.join(failed)}")


@proxy.command("remove")
def proxy_remove(
    name: Annotated[str, typer.Argument(help="The proxy's name.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even the last of a group, whose accounts then cannot be collected.")
    ] = False,
) -> None:
    """Remove a proxy. Its accounts go out through others of its group."""

    async def remove(settings: Settings) -> None:
        async with as_admin(settings) as session:
            await administration.remove_proxy(session, name, force=force)
        await _forgive(settings, [name])

    with with_servers(load()) as settings:
        asyncio.run(remove(settings))
    console().print(f"{name} is removed.", markup=False)


@asynccontextmanager
async def _health(settings: Settings) -> AsyncIterator[Health]:
    redis = make_redis(settings.redis(), ca_file=settings.ca_file)
    try:
        yield Health(redis)
    finally:
        await redis.aclose(close_connection_pool=True)


async def _forgive(settings: Settings, names: Sequence[str]) -> None:
    """Forget what proxies of these names did; where that cannot be reached it is forgotten in time."""
    try:
        async with _health(settings) as health:
            for name in names:
                await health.forgive(name)
    except (PutOff, SettingsError) as error:
        _note(f"What workers know of earlier faults of {', '.join(names)} stays: {error}")


def _picked(rows: Sequence[Row], names: Sequence[str], group: str | None) -> list[Row]:
    known = {row["name"] for row in rows}
    if unknown := [name for name in names if name not in known]:
        raise Refused(f"no proxy is called {unknown[0]!r}: `collector proxy list` shows those there are")
    picked = [row for row in rows if (not names or row["name"] in names) and group in {None, row["group"]}]
    if not picked:
        raise Refused("there is no such proxy to test: `collector proxy list` shows those there are")
    return picked


def _without_credentials(row: Row) -> Proxy:
    return Proxy(name=row["name"], group=row["group"], url=row["url"], egress=row["egress"])


def _as_fields(known: Standing | None) -> dict[str, Any]:
    names = ("accounts", "faults", "out_until", "banned")
    return {name: None if known is None else getattr(known, name) for name in names}


def _state(row: Row, known: Standing | None) -> str | None:
    if row["status"] != "active":
        return str(row["status"])
    if known is None:
        return None
    now = datetime.now(UTC)
    states = [_until("out", known.out_until, now)] if known.out_until else []
    states += [_until(f"banned at {name}", until, now) for name, until in known.banned.items()]
    return ", ".join(states) or "ok"


def _until(state: str, until: datetime, now: datetime) -> str:
    return f"{state} until {moment(until)}" if until > now else f"{state}, to be tried"


def _note(words: str) -> None:
    console(stderr=True).print(words, markup=False, soft_wrap=True)

"""The collector on one machine: the demo, the sandbox, and psql on what they brought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import psql as running_psql
from worker.cli.errors import Refused
from worker.cli.opening import require_embedded
from worker.settings import Settings, load

Home = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where everything is kept; without this, COLLECTOR_HOME.", show_default=False),
]


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(sandbox)
    app.command()(psql)


def demo(
    home: Home = None,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier demo brought first.")] = False,
) -> None:
    """Show the whole collector on this machine: servers, marketplaces, proxies, two organizations, all collected.

    Nothing is left running. Run it again and it collects only what is new.
    """
    settings = _at(home)
    require_embedded()
    from worker.cli import demo as showing  # noqa: PLC0415 - needs the extra

    showing.show(settings, fresh=fresh)


def sandbox(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the marketplaces answer; 0: any free one.")] = 9443,
    seed: Annotated[int, typer.Option(help="Another seed, other sellers and other data.")] = 1,
    rate_scale: Annotated[
        float, typer.Option(min=0.001, help="How many times faster the limits are than the vendors'.")
    ] = 60.0,
    home: Home = None,
) -> None:
    """Play the marketplaces and two proxies until Ctrl-C, with servers to collect into; prints how to use them."""
    settings = _at(home)
    require_embedded()
    from worker.cli import playing  # noqa: PLC0415 - needs the extra

    playing.play(settings, port=port, seed=seed, rate_scale=rate_scale)


def psql(
    *,
    role: Annotated[str, typer.Option(help="Whom to be.")] = "collector_reader",
    organization: Annotated[
        str | None, typer.Option("--org", metavar="NAME|ID", help="Whose rows to see; without it a reader sees none.")
    ] = None,
    command: Annotated[str | None, typer.Option("-c", "--command", metavar="SQL", help="Run this and leave.")] = None,
    home: Home = None,
) -> None:
    """Open psql on the embedded PostgreSQL, as somebody who sees the rows of one organization."""
    settings = _at(home)
    require_embedded()
    code = running_psql.run(settings, role=role, organization=organization, command=command)
    if code:
        raise typer.Exit(code)


def _at(home: Path | None) -> Settings:
    """Return the settings for a home, which is where the embedded servers are."""
    if home is not None and home.exists() and not home.is_dir():
        raise Refused(f"{home} is not a directory: name another one with --home")
    return load(embedded=True) if home is None else load(embedded=True, home=home)

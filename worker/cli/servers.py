"""The worker, the migrations, the partitions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from sqlalchemy import text

from worker import logs
from worker.cli.admin import AsJson
from worker.cli.errors import Refused
from worker.cli.opening import as_worker, connected, require_owner, with_servers
from worker.cli.tables import console, print_json, table
from worker.cli.words import moment, number, size
from worker.db.archive import SCHEMA, archive_month, first_kept, old_months
from worker.db.migrate import upgrade
from worker.db.partitions import Partition, ensure_months, list_partitions, months_ahead
from worker.db.tenancy import system_transaction
from worker.main import health_file, run_worker
from worker.processes import CannotGoOn, run_processes
from worker.runtime import is_alive
from worker.settings import Settings, load

partitions = typer.Typer(help="The months that hold the collected pages.")

_NOW = text("SELECT clock_timestamp()")


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.command()(worker)
    app.add_typer(partitions, name="partitions")


def migrate() -> None:
    """Bring the database to the revision that this version needs. Safe to run again, and by several at once."""
    with with_servers(load()) as settings:
        logs.configure(settings.log_format, settings.log_level)
        url = settings.owner_postgres()
        asyncio.run(require_owner(settings))
        upgrade(url)
    console().print("The database is at the revision that this version needs.")


def worker(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the worker here is alive: exit code 0, or 1 if not.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, max=256, metavar="NUMBER", help="How many processes; about one for each core.")
    ] = 1,
    number: Annotated[int, typer.Option(min=0, hidden=True)] = 0,
) -> None:
    """Collect what is due until told to stop (SIGTERM, Ctrl-C): running pages are finished first.

    With --processes, one that dies has a successor; the HTTP port and the health file of each are its own.
    """
    settings = load()
    if check:
        _refuse_dead([health_file(settings, each) for each in range(processes)])
        return
    logs.configure(settings.log_format, settings.log_level)
    with with_servers(settings) as ready, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if processes == 1:
            runner.run(run_worker(ready, number=number))
            return
        try:
            runner.run(run_processes(processes, _command))
        except CannotGoOn as error:
            raise Refused(str(error)) from error


def _command(number: int) -> list[str]:
    return [sys.executable, "-m", "worker.cli", "worker", "--number", str(number)]


def _refuse_dead(files: Sequence[Path]) -> None:
    for file in files:
        if not is_alive(file):
            raise Refused(f"no worker has touched {file} lately: it does not run, or it hangs")


@partitions.command("list")
def partitions_list(*, as_json: AsJson = False) -> None:
    """List the months of every partitioned table, and how many are ready ahead."""

    async def read(settings: Settings) -> tuple[list[Partition], int]:
        async with as_worker(settings) as sessions:
            async with system_transaction(sessions) as session:
                now: datetime = (await session.execute(_NOW)).scalar_one()
            return await list_partitions(sessions), await months_ahead(sessions, now)

    with with_servers(load()) as settings:
        found, ahead = asyncio.run(read(settings))
    if as_json:
        print_json([{name: getattr(one, name) for name in Partition.__slots__} for one in found])
        return
    cells = [
        (one.table, one.name, moment(one.since), moment(one.until), size(one.size), one.rows and number(one.rows))
        for one in found
    ]
    console().print(table(("table", "partition", "from", "to", "size", "rows"), cells, right="size rows"))
    console().print(f"{ahead} whole months are ready after this one.")


@partitions.command("ensure")
def partitions_ensure(
    ahead: Annotated[
        int | None, typer.Option(min=1, max=12, help="Months ahead; without this, COLLECTOR_PARTITIONS_AHEAD.")
    ] = None,
) -> None:
    """Make the months that are missing, from this one on. Nothing is blocked meanwhile."""

    async def make(settings: Settings) -> list[str]:
        async with as_worker(settings) as sessions:
            async with system_transaction(sessions) as session:
                now: datetime = (await session.execute(_NOW)).scalar_one()
            return await ensure_months(sessions, ahead=ahead or settings.partitions_ahead, now=now)

    with with_servers(load()) as settings:
        made = asyncio.run(make(settings))
    sys.stdout.write(f"Made {', '.join(made)}.\n" if made else "All of them are there.\n")


@partitions.command("archive")
def partitions_archive(
    older_than: Annotated[
        int, typer.Option("--older-than", min=1, metavar="MONTHS", help="Whole months to keep beside the current one.")
    ],
    *,
    only_pages: Annotated[
        bool, typer.Option("--only-pages", help="Keep the walks and runs: what was collected when.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Delete these months for good, also those that were archived before.")
    ] = False,
) -> None:
    """Take old months out of their tables, into tables of the schema `archive`, while collection goes on.

    Nothing of them is seen in raw.payload and raw.page any more; `pg_dump -n archive` saves them.
    """

    async def archive(settings: Settings) -> None:
        async with connected(settings.owner_postgres(), "COLLECTOR_OWNER_DATABASE_URL", settings) as engine:
            async with engine.connect() as connection:
                now: datetime = (await connection.execute(_NOW)).scalar_one()
            found = await old_months(engine, before=first_kept(now, older_than), only_pages=only_pages)
            wanted = [old for old in found if drop or old.state != "archived"]
            for old in wanted:
                await archive_month(engine, old, drop=drop)
                became = "deleted" if drop else f"now {SCHEMA}.{old.name}"
                console().print(f"{old.partition} ({size(old.size)}): {became}", markup=False)
            if not wanted:
                console().print("No month is that old.")

    with with_servers(load()) as settings:
        asyncio.run(archive(settings))

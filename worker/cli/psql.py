"""psql of the embedded PostgreSQL, with the password from a file and the tenant set."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from worker.cli.errors import Refused
from worker.cli.opening import as_admin, using
from worker.db.administration import find_organization
from worker.embedded import Servers, start
from worker.embedded_postgres import LOGIN_ROLES, OWNER
from worker.settings import Settings


def run(settings: Settings, *, role: str, organization: str | None, command: str | None) -> int:
    """Run psql until the person leaves it; its exit code."""
    if role not in {OWNER, *LOGIN_ROLES}:
        raise Refused(f"there is no role {role!r} to be: there are {', '.join((OWNER, *LOGIN_ROLES))}")
    with start(settings.home) as running:
        options = ""
        if organization is not None:
            found = asyncio.run(_find(using(settings, running.servers), organization))
            options = f"-c app.organization_id={found}"
        return _psql(running.servers, role, options, command)


async def _find(settings: Settings, organization: str) -> str:
    async with as_admin(settings) as session:
        return str(await find_organization(session, organization))


def _psql(servers: Servers, role: str, options: str, command: str | None) -> int:
    address = ["-h", "127.0.0.1", "-p", str(servers.postgres_port), "-U", role, "-d", servers.database]
    words = [str(servers.psql), *address, *([] if command is None else ["-X", "-P", "pager=off", "-c", command])]
    process = subprocess.Popen(words, env={**_terminal(), "PGPASSFILE": str(servers.pgpass), "PGOPTIONS": options})
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's: it cancels a query
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


def _terminal() -> dict[str, str]:
    # psql needs the terminal's kind and the person's home; nothing of it is a setting of ours.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}  # noqa: TID251

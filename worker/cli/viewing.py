"""Looking at tenants' rows: at those of all as the administrator, or of one after the other as the worker."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import TextClause, text

from collectors.registry import STREAMS
from worker.cli.errors import Refused
from worker.cli.opening import as_worker, connected
from worker.db.administration import admin_transaction
from worker.db.engine import Sessions, make_sessions
from worker.db.tenancy import system_transaction, tenant_transaction
from worker.settings import Settings

Row = dict[str, Any]

Org = Annotated[str | None, typer.Option("--org", metavar="NAME|ID", help="Those of one organization only.")]
OfAccount = Annotated[str | None, typer.Option("--account", metavar="NAME|ID", help="Those of one account only.")]
OfMarketplace = Annotated[str | None, typer.Option("--marketplace", help="Those of one marketplace only.")]
OfStream = Annotated[str | None, typer.Option("--stream", metavar="NAME", help="Those of one stream only.")]

_TENANTS = text("SELECT DISTINCT organization_id FROM collect.status() ORDER BY organization_id")
_ACCOUNTS = text("""
SELECT a.id FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
WHERE (CAST(:account AS text) IS NULL OR a.name = :account OR CAST(a.id AS text) = lower(:account))
  AND (CAST(:organization AS text) IS NULL OR o.name = :organization OR CAST(o.id AS text) = lower(:organization))
""")


class View:
    """What may be seen. `tenants` None: everything, as collector_admin; else these, as the worker's role."""

    def __init__(self, sessions: Sessions, tenants: Sequence[UUID] | None) -> None:
        self._sessions = sessions
        self._tenants = tenants

    async def rows(self, statement: TextClause, values: Mapping[str, Any]) -> list[Row]:
        """Return the rows of every tenant that may be seen; in order within each tenant only."""
        if self._tenants is None:
            async with admin_transaction(self._sessions) as session:
                return [dict(row) for row in (await session.execute(statement, values)).mappings()]
        found: list[Row] = []
        for tenant in self._tenants:
            async with tenant_transaction(self._sessions, tenant) as session:
                found += [dict(row) for row in (await session.execute(statement, values)).mappings()]
        return found

    def of(self, organization: UUID) -> View:
        """Return what is seen of one tenant."""
        return View(self._sessions, None if self._tenants is None else [organization])

    async def accounts(self, account: str | None, organization: str | None) -> list[UUID] | None:
        """Return the ids of the accounts that were named; None where none was. Raises Refused if there are none."""
        if account is None and organization is None:
            return None
        found = await self.rows(_ACCOUNTS, {"account": account, "organization": organization})
        if found:
            return [row["id"] for row in found]
        whose = "" if organization is None else f" of the organization {organization!r}"
        which = "there is no account" if account is None else f"no account is called {account!r}"
        raise Refused(f"{which}{whose}: `collector account list` shows those there are")


@asynccontextmanager
async def viewing(settings: Settings) -> AsyncIterator[View]:
    """See all tenants by the owner's URL where it is set, else by the worker's."""
    if settings.owner_database_url is not None:
        async with connected(settings.owner_postgres(), "COLLECTOR_OWNER_DATABASE_URL", settings) as engine:
            yield View(make_sessions(engine), None)
        return
    async with as_worker(settings) as sessions:
        async with system_transaction(sessions) as session:
            tenants = (await session.execute(_TENANTS)).scalars().all()
        yield View(sessions, tenants)


def named(marketplace: str | None, stream: str | None) -> tuple[str | None, str | None]:
    """Return marketplace and stream as rows hold them: `ozon/products` names both. Raises Refused if there are none."""
    if stream is not None and "/" in stream:
        of, stream = stream.split("/", 1)
        if marketplace not in {None, of}:
            raise Refused(f"--stream is of {of} and --marketplace is {marketplace}: say one of them")
        marketplace = of
    if marketplace is not None and marketplace not in STREAMS:
        raise Refused(f"no marketplace is called {marketplace!r}: there are {', '.join(STREAMS)}")
    names = {name for of, streams in STREAMS.items() if marketplace in {None, of} for name in streams}
    if stream is not None and stream not in names:
        near = difflib.get_close_matches(stream, names, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`collector streams` lists them"
        raise Refused(f"no stream is called {stream!r}: {hint}")
    return marketplace, stream

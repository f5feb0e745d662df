"""What the demo brought, in figures that a person can check, and how to look further."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from worker.cli.demo_tenants import DemoAccount
from worker.cli.errors import Refused
from worker.cli.playing import program
from worker.cli.tables import table
from worker.cli.words import number, size
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.tenancy import OrganizationId, system_transaction, tenant_transaction
from worker.embedded import Servers


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the summary is of. `served`: the hashes of every body that the marketplaces gave."""

    home: Path
    servers: Servers
    accounts: Sequence[DemoAccount]
    since: datetime
    seconds: float
    served: frozenset[str]
    violations: int
    tunnels: Sequence[int]

    @property
    def organizations(self) -> dict[str, OrganizationId]:
        return {account.organization: account.organization_id for account in self.accounts}


_STREAMS = text("""
WITH run AS (
    SELECT marketplace_account_id, stream, sum(bytes) AS bytes, sum(requests) AS requests,
           string_agg(DISTINCT proxy, ', ') AS proxy
    FROM collect.run WHERE started_at >= :since GROUP BY marketplace_account_id, stream
), page AS (
    SELECT marketplace_account_id, stream, count(*) AS pages, coalesce(sum(record_count), 0) AS records,
           count(*) FILTER (WHERE same_as IS NULL) AS new, count(same_as) AS unchanged
    FROM raw.payload WHERE fetched_at >= :since GROUP BY marketplace_account_id, stream
)
SELECT a.marketplace, run.stream, coalesce(pages, 0) AS pages, coalesce(records, 0) AS records, bytes, requests,
       coalesce(proxy, CASE WHEN requests > 0 THEN 'directly' END) AS proxy,
       coalesce(new, 0) AS new, coalesce(unchanged, 0) AS unchanged
FROM run JOIN core.marketplace_account a ON a.id = run.marketplace_account_id
LEFT JOIN page USING (marketplace_account_id, stream)
ORDER BY a.marketplace, run.stream
""")
_HASHES = text(
    "SELECT encode(sha256, 'hex') AS sha256, count(*) FROM raw.payload WHERE fetched_at >= :since GROUP BY 1"
)
_SEEN = text("""
SELECT count(*) FILTER (WHERE organization_id = :own) AS own, count(*) FILTER (WHERE organization_id <> :own) AS others
FROM raw.page
""")
_ANY = text("SELECT count(*) FROM raw.page")

_LOOK = (
    "SELECT marketplace, stream, count(*) AS pages, sum(record_count) AS records "
    "FROM raw.page WHERE NOT superseded GROUP BY 1, 2 ORDER BY 1, 2"
)


async def summarize(scene: Scene, sessions: Sessions, out: Console) -> None:
    """Print what was brought, prove what is promised, and say where to look. Raises Refused if a proof fails."""
    hashes: dict[str, int] = {}
    for name, organization in scene.organizations.items():
        async with tenant_transaction(sessions, organization) as session:
            _print_streams(name, (await session.execute(_STREAMS, {"since": scene.since})).all(), out)
            for row in await session.execute(_HASHES, {"since": scene.since}):
                hashes[row.sha256] = hashes.get(row.sha256, 0) + int(row[1])
    tunnels = ", ".join(f"demo-proxy-{at} {count}" for at, count in enumerate(scene.tunnels, 1))
    _say(out, f"Collected in {scene.seconds:.1f} s; tunnels through the proxies: {tunnels}.")
    _prove_bytes(hashes, scene, out)
    await _prove_isolation(scene, out)
    _print_further(scene, out)


def _print_streams(organization: str, rows: Sequence[Any], out: Console) -> None:
    cells: list[Sequence[object]] = [
        (
            row.marketplace,
            row.stream,
            number(row.pages),
            number(row.records),
            size(row.bytes),
            number(row.requests),
            row.proxy,
            number(row.new),
            number(row.unchanged),
        )
        for row in rows
    ]
    totals = [sum(getattr(row, name) for row in rows) for name in ("pages", "records", "bytes", "requests")]
    kinds = [sum(getattr(row, name) for row in rows) for name in ("new", "unchanged")]
    pages, records, octets, requests = totals
    cells.append(
        ("", "together", number(pages), number(records), size(octets), number(requests), "", *map(number, kinds))
    )
    headings = ("account", "stream", "pages", "records", "bytes", "requests", "through", "new", "unchanged")
    out.print()
    out.print(table(headings, cells, title=organization, right="pages records bytes requests new unchanged"))


def _prove_bytes(hashes: dict[str, int], scene: Scene, out: Console) -> None:
    strange = hashes.keys() - scene.served
    if strange:
        raise Refused(f"{len(strange)} stored bodies were never served by the marketplaces: this is a fault of ours")
    _say(
        out,
        f"Bytes: the sha256 of all {number(sum(hashes.values()))} pages stored by this run is one that the "
        f"marketplaces served. Limits: {number(scene.violations)} requests were over one.",
    )


async def _prove_isolation(scene: Scene, out: Console) -> None:
    engine = make_engine(scene.servers.url("collector_reader"), pool_size=1)
    try:
        sessions = make_sessions(engine)
        _say(out, "Isolation, asked of raw.page as collector_reader:")
        for name, organization in scene.organizations.items():
            async with tenant_transaction(sessions, organization) as session:
                own, others = await _seen(session, organization)
            _say(out, f"  as {name}: {number(own)} pages of its own, {number(others)} of anybody else's")
            if others:
                raise Refused(f"{name} sees pages of another organization: this is a fault of ours")
        async with system_transaction(sessions) as session:
            nobody = int((await session.execute(_ANY)).scalar_one())
        _say(out, f"  as nobody: {number(nobody)} pages")
    finally:
        await engine.dispose()


async def _seen(session: AsyncSession, organization: OrganizationId) -> tuple[int, int]:
    row = (await session.execute(_SEEN, {"own": organization})).one()
    return row.own, row.others


def _print_further(scene: Scene, out: Console) -> None:
    call = f"COLLECTOR_HOME={shlex.quote(str(scene.home))} {program()}"
    organization = next(iter(scene.organizations))
    out.print()
    _say(out, "Nothing is left running. To look further (each starts the servers that it needs):")
    for command, what in (
        (f"{call} psql --org {shlex.quote(organization)} -c {shlex.quote(_LOOK)}", "what was brought"),
        (f"{call} psql --org {shlex.quote(organization)}", "ask your own: raw.page, raw.payload, collect.run …"),
        (f"COLLECTOR_EMBEDDED=1 {call} status", "when each stream is due next"),
        (f"{call} demo", "again: only what is new"),
        (f"{call} sandbox", "the marketplaces, to try things by hand"),
    ):
        _say(out, f"  # {what}\n  {command}")
    _say(out, f"The worker's log is {scene.home / 'demo.log'}.")


def _say(out: Console, line: str) -> None:
    out.print(line, markup=False, soft_wrap=True)

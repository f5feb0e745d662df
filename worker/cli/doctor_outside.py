"""What `collector doctor` looks at beside the servers: proxies, marketplaces, secrets, the disk."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import text

from collectors.registry import STREAMS, find_marketplace
from worker.cli.checkup import Check, Found, Level, Needs, Patient
from worker.cli.opening import as_admin
from worker.cli.trying import try_proxies
from worker.cli.viewing import Row, viewing
from worker.cli.words import number, size
from worker.db.administration import list_proxies
from worker.db.engine import make_sessions
from worker.db.tenancy import system_transaction
from worker.http.pools import Pools, trusted
from worker.http.probe import Prober
from worker.infisical import secrets_of
from worker.secrets import Resolve, SecretUnavailable
from worker.settings import Settings

_AT_ONCE = 20
_MOST_TRIED = 60  # proxies; more would not answer in time if they are slow
_MOST_TOLD = 5
_ROOM = 1 << 30  # bytes of the largest report
_NO_ROOM = 100 << 20

_ACCOUNTS = text("""
SELECT o.name AS organization, a.marketplace, a.name, a.secret_ref, a.proxy_group
FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
WHERE a.status = 'active' AND o.status = 'active' ORDER BY o.name, a.marketplace, a.name
""")


async def secrets(patient: Patient) -> Found:
    """Resolve what accounts and proxies refer to. What is there is never told."""
    wanted: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in await _accounts(patient.settings):
        if row["marketplace"] in STREAMS:
            fields = find_marketplace(row["marketplace"]).secret_fields
            who = f"{row['organization']} · {row['marketplace']} · {row['name']}"
            wanted.setdefault((row["secret_ref"], fields), []).append(who)
    for row in await _proxies(patient):
        if row["secret_ref"] is not None:
            wanted.setdefault((row["secret_ref"], ("user", "password")), []).append(f"proxy {row['name']}")
    room = asyncio.Semaphore(_AT_ONCE)

    async def try_one(resolve: Resolve, reference: str, fields: tuple[str, ...]) -> str | None:
        async with room:
            try:
                await resolve(reference, fields)
            except SecretUnavailable as error:
                return str(error)
        return None

    with secrets_of(patient.settings) as resolve:
        problems = await asyncio.gather(*(try_one(resolve, *key) for key in wanted))
    told = [f"{_some(who)}: {why}" for who, why in zip(wanted.values(), problems, strict=True) if why is not None]
    return _failures(told) or [(Level.OK, f"{number(len(wanted))} secrets can be had here")]


async def proxies(patient: Patient) -> Found:
    rows = [row for row in await _proxies(patient) if row["status"] == "active"]
    groups = {row["group"] for row in rows}
    used = {row["proxy_group"] for row in await _accounts(patient.settings)} - {None}
    told = [
        f"accounts use the proxy group {group}, which has no proxies: `collector proxy add` one"
        for group in sorted(used - groups)
    ]
    if not rows:
        return _failures(told) or [(Level.OK, "there are none: accounts go out directly")]
    tried = await try_proxies(patient.settings, rows[:_MOST_TRIED], others=rows)
    broken = [one for one in tried if not one.probe.works]
    dead = groups - {one.group for one in tried if one.probe.works} - {row["group"] for row in rows[_MOST_TRIED:]}
    told += [f"no proxy of the group {group} works: `collector proxy test` says more" for group in sorted(dead)]
    found = _failures(told)
    found += [(Level.WARN, one.problems[0]) for one in broken[:_MOST_TOLD] if one.problems]
    return found or [(Level.OK, f"{len(tried)} of {len(rows)} proxies were tried, and all of them reach everybody")]


async def marketplaces(patient: Patient) -> Found:
    """Ask the marketplaces of the accounts that go out directly for anything at all."""
    accounts = await _accounts(patient.settings)
    names = sorted({row["marketplace"] for row in accounts if row["proxy_group"] is None} & STREAMS.keys())
    if not names:
        return [(Level.OK, "no account goes out directly")]
    pools = Pools(trusted(patient.settings.ca_file))
    prober = Prober(pools, egress_url=patient.settings.egress_url, hosts=patient.settings.hosts)
    try:
        probe = await prober.probe(None, {name: sorted(find_marketplace(name).hosts) for name in names})
    finally:
        await pools.aclose()
    told = [f"{name} cannot be reached: {why}" for name, why in probe.refusals.items()]
    return _failures(told) or [(Level.OK, f"{', '.join(names)} can be reached from here")]


async def disk(_: Patient) -> Found:
    """Look at where bodies too large for memory go."""
    where = Path(tempfile.gettempdir())
    free = shutil.disk_usage(where).free
    if free < _NO_ROOM:
        return [(Level.FAIL, f"{where} has {size(free)} left, too little for large reports: make room, or set TMPDIR")]
    if free < _ROOM:
        return [(Level.WARN, f"{where} has {size(free)} left, and a report may take {size(_ROOM)}: make room")]
    if _file_system(where) == "tmpfs":
        return [(Level.WARN, f"{where} is in memory, which large reports would fill: set TMPDIR to a disk's directory")]
    return [(Level.OK, f"{where} has {size(free)} for large reports")]


def _file_system(where: Path) -> str:
    """Return the type of the file system that a directory is on, as Linux tells it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    return str(
        max(
            (fields for fields in mounts if where.resolve().is_relative_to(fields[1])),
            key=lambda fields: len(fields[1]),
        )[2]
    )


async def _accounts(settings: Settings) -> list[Row]:
    async with viewing(settings) as view:
        return await view.rows(_ACCOUNTS, {})


async def _proxies(patient: Patient) -> Sequence[Row]:
    if patient.settings.owner_database_url is not None:
        async with as_admin(patient.settings) as session:
            return [dict(row) for row in await list_proxies(session)]
    async with system_transaction(make_sessions(patient.database)) as session:
        return [dict(row) for row in await list_proxies(session)]


def _failures(told: Sequence[str]) -> list[tuple[Level, str]]:
    more = [f"and {number(len(told) - _MOST_TOLD)} more like these"] if len(told) > _MOST_TOLD else []
    return [(Level.FAIL, words) for words in (*told[:_MOST_TOLD], *more)]


def _some(who: Iterable[str]) -> str:
    first, *others = who
    return f"{first} and {number(len(others))} more" if others else first


CHECKS = (
    Check(name="secrets", make=secrets, needs=Needs.DATABASE),
    Check(name="proxies", make=proxies, needs=Needs.DATABASE),
    Check(name="marketplaces", make=marketplaces, needs=Needs.DATABASE),
    Check(name="disk", make=disk),
)

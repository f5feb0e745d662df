"""What `collector doctor` looks at in PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.exceptions import NoPermissionError
from sqlalchemy import text

from worker.cli.checkup import Check, Found, Level, Needs, Patient
from worker.cli.opening import as_admin, connected
from worker.cli.words import number, roughly
from worker.clock import TOO_FAR
from worker.db.audit import audit
from worker.db.engine import MAX_OVERFLOW, make_sessions, refuse_unsafe_role
from worker.db.migrate import require_current
from worker.db.partitions import months_ahead
from worker.db.tenancy import system_transaction
from worker.queue import QueueUnavailable, ping

_OLDEST_POSTGRES = 18  # uuidv7()
_OLDEST_REDIS = (6, 2)  # ZADD LT
_SLOW = timedelta(milliseconds=50)  # a page costs half a dozen round trips
_ANSWER_WITHIN = timedelta(seconds=8)
_FULL = 0.8
_FOR_PEOPLE = 10  # connections for commands, migrations, a monitor and psql
_MOST_FINDINGS = 5
_WAITS_LONG = timedelta(minutes=5)

_SERVER = text("SELECT current_setting('server_version_num')::int / 10000 AS version, current_user AS role")
_NOW = text("SELECT clock_timestamp()")
_DUE = text("SELECT backlog, oldest_age FROM collect.due_summary()")
_CONNECTIONS = text("""
SELECT current_setting('max_connections')::int AS most,
       current_setting('superuser_reserved_connections')::int
           + current_setting('reserved_connections')::int AS reserved,
       (SELECT sum(numbackends)::int FROM pg_stat_database) AS used,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit
""")


async def configuration(patient: Patient) -> Found:
    settings = patient.settings
    scale = settings.rate_scale
    if scale != 1 and not settings.hosts:
        words = f"COLLECTOR_RATE_SCALE is {scale:g} against the vendors' own hosts, who will ban us: unset it"
        return [(Level.FAIL, words)]
    if settings.hosts:
        words = f"{len(settings.hosts)} hosts are elsewhere (COLLECTOR_HOSTS): right for a sandbox or a gateway only"
        return [(Level.WARN, words)]
    return [(Level.OK, "every setting can be read")]


async def database(patient: Patient) -> Found:
    engine = patient.database
    async with connected(patient.settings.worker_postgres(), "COLLECTOR_DATABASE_URL", patient.settings):
        pass
    async with engine.connect() as connection:
        began = time.monotonic()
        row = (await connection.execute(_SERVER)).one()
        took = timedelta(seconds=time.monotonic() - began)
    where = f"PostgreSQL {row.version} at {engine.url.host}:{engine.url.port or 5432}/{engine.url.database}"
    if row.version < _OLDEST_POSTGRES:
        return [(Level.FAIL, f"{where} is too old: {_OLDEST_POSTGRES} or newer is needed")]
    if took > _SLOW:
        took_words = f"{took.total_seconds() * 1000:.0f} ms"
        return [(Level.WARN, f"{where} took {took_words} to answer: put the worker nearer to it, or see its load")]
    return [(Level.OK, f"{where} answers as {row.role}")]


async def role(patient: Patient) -> Found:
    await refuse_unsafe_role(patient.database)
    return [(Level.OK, "the worker's role sees one tenant at a time and can become nobody who sees more")]


async def isolation(patient: Patient) -> Found:
    async with patient.database.connect() as connection:
        findings = [finding for finding in await audit(connection) if finding.is_of_tenants]
    told = [(Level.FAIL, f"{finding}: undo what was changed by hand") for finding in findings[:_MOST_FINDINGS]]
    if len(findings) > _MOST_FINDINGS:
        told.append((Level.FAIL, f"and {len(findings) - _MOST_FINDINGS} more like these"))
    return told or [(Level.OK, "row-level security is forced on every table of tenants, and nothing leads past it")]


async def migrations(patient: Patient) -> Found:
    async with patient.database.connect() as connection:
        await require_current(connection)
    return [(Level.OK, "the database is at the revision that this version needs")]


async def partitions(patient: Patient) -> Found:
    sessions = make_sessions(patient.database)
    async with system_transaction(sessions) as session:
        now: datetime = (await session.execute(_NOW)).scalar_one()
    ahead, wanted = await months_ahead(sessions, now), patient.settings.partitions_ahead
    if ahead >= wanted:
        return [(Level.OK, f"{ahead} whole months are ready after this one")]
    words = f"{max(ahead, 0)} whole months are ready after this one, not {wanted}: run `collector partitions ensure`"
    return [(Level.WARN if ahead > 0 else Level.FAIL, words)]


async def connections(patient: Patient) -> Found:
    settings = patient.settings
    if settings.pgbouncer:
        return [(Level.OK, "pgbouncer keeps the connections: see docs/operate.md for the size of its pool")]
    async with patient.database.connect() as connection:
        row = (await connection.execute(_CONNECTIONS)).one()
    limits = [limit for limit in (row.most - row.reserved, row.role_limit, row.database_limit) if limit >= 0]
    most = settings.pool_size + MAX_OVERFLOW
    room, wanted = min(limits), patient.processes * most + _FOR_PEOPLE
    sum_of = f"{patient.processes} × {most} connections of workers + {_FOR_PEOPLE} for people = {wanted}"
    if wanted > room:
        words = f"{sum_of}, but PostgreSQL has {room} for us: lower COLLECTOR_POOL_SIZE, raise max_connections or use"
        return [(Level.FAIL, f"{words} pgbouncer")]
    if row.used > _FULL * row.most:
        return [(Level.WARN, f"{row.used} of {row.most} connections are in use already, by whomever: raise the limit")]
    return [(Level.OK, f"{sum_of} of {room}; {row.used} in use now")]


async def schedule(patient: Patient) -> Found:
    async with system_transaction(make_sessions(patient.database)) as session:
        row = (await session.execute(_DUE)).one()
    if row.oldest_age is None or row.oldest_age < _WAITS_LONG:
        return [(Level.OK, f"{number(row.backlog)} slices are due now, none of them for long")]
    words = f"{number(row.backlog)} slices are due, one for {roughly(row.oldest_age)}: start workers, or more of them"
    return [(Level.WARN, words)]


async def administrator(patient: Patient) -> Found:
    async with as_admin(patient.settings):
        pass
    return [(Level.OK, "the owner's URL lets the commands act as collector_admin")]


async def redis(patient: Patient) -> Found:
    await ping(patient.queue, _ANSWER_WITHIN)
    try:
        info: Mapping[str, Any] = await patient.queue.info()
    except NoPermissionError:
        return [(Level.FAIL, "our user of Redis may not call INFO, by which a restart is noticed: let it")]
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    found: list[tuple[Level, str]] = []
    if name == "Redis" and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        found.append((Level.FAIL, f"Redis {version} is too old: 6.2 or newer, or any Valkey, is needed"))
    if info.get("redis_mode", info.get("server_mode")) == "cluster":
        found.append((Level.FAIL, f"{name} is a cluster, over which our scripts cannot work: give us one server"))
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        words = f"{name} may drop limits and jobs (maxmemory-policy {policy}): set maxmemory-policy to noeviction"
        found.append((Level.FAIL, words))
    used, most = info.get("used_memory", 0), info.get("maxmemory", 0)
    if most and used > _FULL * most:
        found.append((Level.WARN, f"{name} uses {used / most:.0%} of its memory: raise maxmemory"))
    return found or [(Level.OK, f"{name} {version} answers and drops nothing")]


async def clocks(patient: Patient) -> Found:
    """Compare our clock with those of both servers. Limits are counted by Redis', due times by the database's."""
    skews = {"PostgreSQL": timedelta(0), "Redis": timedelta(0)}
    async with patient.database.connect() as connection:
        await connection.execute(_NOW)  # what follows is one round trip
        began = datetime.now(UTC)
        told: datetime = (await connection.execute(_NOW)).scalar_one()
        skews["PostgreSQL"] = told - _middle(began)
    if patient.redis is not None:
        with contextlib.suppress(QueueUnavailable):  # the check of Redis says so
            await ping(patient.redis, _ANSWER_WITHIN)
            began = datetime.now(UTC)
            seconds, micros = await patient.redis.time()
            skews["Redis"] = datetime.fromtimestamp(seconds + micros / 1e6, UTC) - _middle(began)
    off = {name: skew for name, skew in skews.items() if abs(skew) > TOO_FAR}
    if off:
        words = ", ".join(f"{name}'s clock is {skew.total_seconds():+.0f} s from ours" for name, skew in off.items())
        return [(Level.FAIL, f"{words}: let NTP set the clocks of all machines")]
    most = max(abs(skew) for skew in skews.values())
    return [(Level.OK, f"no clock is more than {most.total_seconds():.1f} s from ours")]


def _middle(began: datetime) -> datetime:
    return began + (datetime.now(UTC) - began) / 2


CHECKS = (
    Check(name="configuration", make=configuration),
    Check(name="database", make=database, gives=Needs.DATABASE),
    Check(name="redis", make=redis, gives=Needs.REDIS),
    Check(name="role", make=role, needs=Needs.DATABASE),
    Check(name="migrations", make=migrations, needs=Needs.DATABASE),
    Check(name="isolation", make=isolation, needs=Needs.DATABASE),
    Check(name="partitions", make=partitions, needs=Needs.DATABASE),
    Check(name="connections", make=connections, needs=Needs.DATABASE),
    Check(name="schedule", make=schedule, needs=Needs.DATABASE),
    Check(name="administrator", make=administrator, needs=Needs.OWNER),
    Check(name="clocks", make=clocks, needs=Needs.DATABASE),
)

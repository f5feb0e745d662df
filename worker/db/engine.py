"""Engines: the only place where a connection to PostgreSQL is configured, and the check of who we are on it."""

from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from sqlalchemy import NullPool, QueuePool, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine  # noqa: TID251 - this is that place

from worker.db.driver import as_from_sqlalchemy

Sessions = async_sessionmaker[AsyncSession]

MAX_OVERFLOW = 5  # connections beyond the pool's size, for a moment
RESTED = 1.0  # seconds after which a connection is asked whether it still lives: three round trips


@dataclass(frozen=True)
class PoolFigures:
    """Connections of one engine: it may have `most`, has `in_use` and `idle` ones."""

    most: int
    in_use: int
    idle: int


class UnsafeRole(Exception):
    """Row-level security would not hold for the role we are connected as. The message says how to mend it."""


def make_engine(
    url: str,
    *,
    pool_size: int = 5,
    max_overflow: int = MAX_OVERFLOW,
    pool_recycle: int = 1800,
    null_pool: bool = False,
    pgbouncer: bool = False,
    application_name: str = "bronze-collector",
) -> AsyncEngine:
    """An engine that connects when it is first used. `pool_recycle` is in seconds.

    `pgbouncer=True` is for a pooler in transaction mode: no prepared statement outlives its transaction, and nothing is
    set at connection start that a pooler would refuse.
    """
    # Our statements are short: compiling them costs more than it saves.
    server_settings = {"application_name": application_name} | ({} if pgbouncer else {"jit": "off"})
    connect_args: dict[str, object] = {"server_settings": server_settings}
    if pgbouncer:
        connect_args |= {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"__collector_{uuid4().hex}__",
        }
    pool: dict[str, object] = {
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_recycle": pool_recycle,
    }
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        connect_args=connect_args,
        hide_parameters=True,  # a parameter is a whole body, or something of a tenant's: neither belongs in a log
        json_serializer=_as_it_is,
        json_deserializer=_as_it_is,
        **({"poolclass": NullPool} if null_pool else pool),
    )
    event.listen(engine.sync_engine, "connect", _send_json_as_it_is)
    if not (null_pool or pgbouncer):  # a pooler's backend is another one at the next transaction
        event.listen(engine.sync_engine, "connect", _let_its_backend_keep_memory)
    if not null_pool:
        _ask_after_rest(engine)
    return engine


def _as_it_is(document: str) -> str:
    """`json` goes in and comes out as text: parsing it would change numbers and lose duplicate keys."""
    return document


def _send_json_as_it_is(connection: Any, _: object) -> None:
    """Let a body go out as the bytes that came in: as a text it would be copied twice on the way."""
    connection.run_async(
        lambda driver: driver.set_type_codec(
            "json",
            schema="pg_catalog",
            format="binary",
            encoder=lambda document: document if isinstance(document, bytes) else document.encode(),
            decoder=bytes.decode,
        )
    )


_MAKE_8_MB = "SELECT octet_length(repeat(version(), 80000))"  # of a constant it would be folded, and copied


def _let_its_backend_keep_memory(connection: Any, _: object) -> None:
    """Have the backend free one large block: from then on its glibc keeps up to 16 MB of what smaller ones are made of.

    For a page of 1 MB a backend takes 5 MB, and by itself gives them back after each page: 450 page faults, a quarter
    of its processor time (November 2026). It is one statement of 6 ms; another C library is not changed by it.
    """
    with as_from_sqlalchemy():
        connection.run_async(lambda driver: driver.execute(_MAKE_8_MB))


def _ask_after_rest(engine: AsyncEngine) -> None:
    """Do what `pool_pre_ping` does, but not when the connection was in use just now: that costs three round trips."""

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_: object, record: Any) -> None:
        record.info["returned"] = monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: DBAPIConnection, record: Any, _: object) -> None:
        if monotonic() - record.info.get("returned", monotonic()) < RESTED:
            return
        dialect = engine.sync_engine.dialect
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def pool_figures(engine: AsyncEngine) -> PoolFigures:
    pool = engine.pool
    assert isinstance(pool, QueuePool), "an engine without a pool has no figures"
    return PoolFigures(most=pool.size() + pool._max_overflow, in_use=pool.checkedout(), idle=pool.checkedin())  # noqa: SLF001 - nothing public tells it


def make_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False, autoflush=False)


def engine_of(sessions: Sessions) -> AsyncEngine:
    engine: AsyncEngine = sessions.kw["bind"]
    return engine


# A session that was opened by one role and became another can go back, so both are looked at.
_STRONGER_ROLES = text("""
WITH payload AS (
    SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'raw' AND c.relname = 'payload'
)
SELECT me.rolname AS role, other.rolname AS becomes, other.rolsuper, other.rolbypassrls,
       other.oid IN (SELECT relowner FROM payload) AS owns
FROM pg_roles me
JOIN pg_roles other ON pg_has_role(me.oid, other.oid, 'MEMBER')
WHERE me.rolname IN (current_user, session_user)
  AND (other.rolsuper OR other.rolbypassrls OR other.oid IN (SELECT relowner FROM payload)
       OR other.rolname IN ('collector_owner', 'collector_admin', 'collector_reader_all', 'collector_scheduler'))
ORDER BY me.oid <> other.oid,
         NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = other.oid AND m.member = me.oid),
         other.rolname
LIMIT 1
""")


async def refuse_unsafe_role(engine: AsyncEngine) -> None:
    """Raise UnsafeRole when we are, or can become, a role that sees more than one tenant."""
    async with engine.connect() as connection:
        found = (await connection.execute(_STRONGER_ROLES)).mappings().first()
    if found is None:
        return
    if found["rolsuper"]:
        reason = "a superuser"
    elif found["rolbypassrls"]:
        reason = "a role with BYPASSRLS"
    elif found["owns"]:
        reason = "the owner of raw.payload"
    else:
        reason = "a role that sees every tenant"
    if found["role"] == found["becomes"]:
        raise UnsafeRole(
            f"the worker is connected as {found['role']}, {reason}: give it the URL of collector_worker instead"
        )
    raise UnsafeRole(
        f"the worker's role {found['role']} can become {found['becomes']}, {reason}: "
        f"REVOKE {found['becomes']} FROM {found['role']}, or the membership in between"
    )

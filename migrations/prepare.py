"""What must be true of a server before a revision runs: its version, its roles, and whose name the objects get."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

OLDEST_SERVER = 180000  # uuidv7(), and the behaviour of partitions and policies that was measured

# Cluster-wide, so never dropped. Made without LOGIN: the operator gives it, with a password, to those that log in.
ROLES = (
    "collector_owner",
    "collector_worker",
    "collector_scheduler",
    "collector_admin",
    "collector_reader",
    "collector_reader_all",
    "collector_metrics",
)
# The owner becomes these by SET ROLE: the first for data that row-level security hides from it, the second to give it
# functions.
BECOMES = ("collector_admin", "collector_scheduler")

_ONE_AT_A_TIME = 0x62726F6E7A65  # any number, the same in every version: "bronze"
_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"

_MAKE_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- a migration of another database has just made it
END
$$
"""
_LET_BECOME = """
DO $$
BEGIN
    IF NOT pg_catalog.pg_has_role({who}, '{role}', 'SET') THEN
        EXECUTE pg_catalog.format('GRANT {role} TO %I WITH INHERIT FALSE, SET TRUE', {who});
    END IF;
END
$$
"""
_LET_CREATE_SCHEMAS = """
DO $$
BEGIN
    IF NOT pg_catalog.has_database_privilege('collector_owner', pg_catalog.current_database(), 'CREATE') THEN
        EXECUTE pg_catalog.format('GRANT CREATE ON DATABASE %I TO collector_owner', pg_catalog.current_database());
    END IF;
END
$$
"""
_MAKE_META = """
DO $$
BEGIN
    IF pg_catalog.to_regnamespace('meta') IS NULL THEN
        CREATE SCHEMA meta;
    END IF;
END
$$
"""


class MigrationRefused(Exception):
    """The server or the login role cannot take our migrations. The message says what to change."""


def refuse_old_server(version: int) -> None:
    """Raise MigrationRefused for a `server_version_num` before 18."""
    if version < OLDEST_SERVER:
        raise MigrationRefused(
            f"the server is PostgreSQL {version // 10000}, bronze-collector needs 18 or newer: upgrade the server first"
        )


def prepare(connection: Connection) -> None:
    """Check the server, wait for our turn, make the missing roles, and go on as collector_owner.

    What it sets holds for the session, so the connection must not go back to a pool.
    """
    refuse_old_server(int(connection.execute(text("SHOW server_version_num")).scalar_one()))
    _take_turn(connection)
    try:
        _make_roles(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        login = _login_of(connection)
        raise MigrationRefused(
            f"the login role {login} may not make the roles of bronze-collector ({_words_of(error)}): "
            "migrate once as a superuser, or give it CREATEROLE and ADMIN OPTION on the roles that exist"
        ) from None
    connection.execute(text("SET ROLE collector_owner"))
    connection.execute(text(_MAKE_META))
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()


def _login_of(connection: Connection) -> str:
    connection.rollback()
    return str(connection.execute(text("SELECT session_user")).scalar_one())


def _words_of(error: DBAPIError) -> str:
    """What the server said, without the class names and the statement around it."""
    said = error.orig.__cause__ if error.orig is not None else None
    return str(said or error.orig).splitlines()[0]


def _take_turn(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '60s'"))
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ONE_AT_A_TIME})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise MigrationRefused(
            "another migration of this database has been running for a minute: wait until it ends, then run yours again"
        ) from None
    connection.commit()


def _make_roles(connection: Connection) -> None:
    for role in ROLES:
        connection.execute(text(_MAKE_ROLE.format(role=role)))
    for role in BECOMES:
        connection.execute(text(_LET_BECOME.format(who="'collector_owner'", role=role)))
    connection.execute(text(_LET_BECOME.format(who="session_user", role="collector_owner")))
    connection.execute(text(_LET_CREATE_SCHEMAS))
    connection.commit()

"""Bring a database to the revision of this version, and refuse to work with any other."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import migrations


class NotMigrated(Exception):
    """The database is at another revision than this version needs."""


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Migrate up to `revision`. Starts an event loop, so call it from a thread where none is running."""
    command.upgrade(_config(owner_url), revision)


def downgrade(owner_url: str, revision: str) -> None:
    """Migrate down to `revision`, `base` for none: DROPS what later revisions made, with the data in it."""
    command.downgrade(_config(owner_url), revision)


async def require_current(connection: AsyncConnection) -> None:
    """Raise NotMigrated unless the database is at the newest revision that we know."""
    needed = _newest()
    readable = (await connection.execute(_MAY_READ_REVISION)).scalar_one_or_none()
    if readable is False:
        role = (await connection.execute(text("SELECT current_user"))).scalar_one()
        raise NotMigrated(
            f"the role {role} may not read the revision of the database: connect as collector_worker or collector_owner"
        )
    found: str | None = None
    if readable:
        found = (await connection.execute(text("SELECT version_num FROM meta.alembic_version"))).scalar_one_or_none()
    if found != needed:
        raise NotMigrated(
            f"the database is at revision {found or 'none'}, this version needs {needed}: run `collector migrate`"
        )


@cache
def _newest() -> str | None:
    # Every migration is imported for it, and it does not change while we run.
    return ScriptDirectory.from_config(_config()).get_current_head()


# No row where there is no such table. to_regclass would fail for a role that may not look into the schema.
_MAY_READ_REVISION = text("""
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'meta' AND c.relname = 'alembic_version'
""")


def _config(owner_url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if owner_url is not None:
        config.attributes["owner_url"] = owner_url  # not an option: those are printed in Alembic's errors
    return config

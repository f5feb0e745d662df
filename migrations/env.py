"""Run by Alembic. `worker/db/migrate.py` passes the URL; Alembic's own commands take it from the environment."""

import asyncio

from alembic import context
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection

from migrations.comparing import include_name, without_partitions
from migrations.prepare import MigrationRefused, prepare
from worker.db.engine import make_engine
from worker.db.models import Table


class OwnerLogin(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COLLECTOR_")

    owner_database_url: SecretStr


def migrate(connection: Connection) -> None:
    prepare(connection)
    include_object = without_partitions(connection)
    connection.rollback()
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table="alembic_version",
        version_table_schema="meta",
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_online(url: str) -> None:
    engine = make_engine(url, null_pool=True)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise MigrationRefused("migrations look at the server as they go: run them against it, without --sql")
passed: str | None = context.config.attributes.get("owner_url")
asyncio.run(migrate_online(passed or OwnerLogin().owner_database_url.get_secret_value()))

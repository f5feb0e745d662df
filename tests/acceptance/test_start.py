"""What a worker refuses to start on, and how soon."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.servers import Database
from worker.main import CannotStart, open_resources
from worker.settings import Settings, load

SHORT = timedelta(seconds=1)


def settings(database: Database, redis_url: str, *, database_url: str | None = None) -> Settings:
    return load(database_url=database_url or database.worker_url, redis_url=redis_url)


async def refusal(settings: Settings) -> str:
    began = time.monotonic()
    with pytest.raises(CannotStart) as caught:
        async with open_resources(settings, within=SHORT):
            raise AssertionError("it started")
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("role", ["postgres", "collector_owner", "collector_admin", "collector_reader_all"])
async def test_a_role_that_sees_more_than_one_tenant_is_refused(database: Database, redis_url: str, role: str) -> None:
    said = await refusal(settings(database, redis_url, database_url=database.url(role)))
    assert role in said
    assert "collector_worker" in said or "REVOKE" in said


async def test_a_database_without_migrations_is_refused(empty_database: Database, redis_url: str) -> None:
    said = await refusal(settings(empty_database, redis_url))
    assert "run `collector migrate`" in said


async def test_a_database_behind_the_migrations_is_refused(database: Database, redis_url: str) -> None:
    async with database.connect("postgres") as owner:
        await owner.execute("UPDATE meta.alembic_version SET version_num = '0001'")
    assert "0001" in await refusal(settings(database, redis_url))


async def test_a_wrong_password_is_told_at_once_and_not_repeated(database: Database, redis_url: str) -> None:
    url = database.worker_url.replace(database.servers.passwords["collector_worker"], "wrong-secret-1")
    began = time.monotonic()
    said = await refusal(settings(database, redis_url, database_url=url))
    assert time.monotonic() - began < SHORT.total_seconds(), "it waited for what cannot come"
    assert "wrong-secret-1" not in said


async def test_servers_that_are_not_there_are_told_after_a_bounded_wait(database: Database, redis_url: str) -> None:
    nowhere = "postgresql://collector_worker:unsaid-secret@127.0.0.1:1/collector"
    said = await refusal(settings(database, redis_url, database_url=nowhere))
    assert "PostgreSQL at 127.0.0.1:1/collector" in said
    assert "unsaid-secret" not in said
    said = await refusal(settings(database, "redis://:unsaid-secret@127.0.0.1:1/0"))
    assert "Redis at 127.0.0.1:1" in said
    assert "unsaid-secret" not in said

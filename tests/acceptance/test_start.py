"""What a worker refuses to start on, and how soon."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from tests.servers import Database
from tests.stage import Stage
from worker.main import START_WITHIN, CannotStart, open_resources, prepared
from worker.settings import Settings, load

SHORT = timedelta(seconds=1)


class Relay:
    """Passes on what a server and its clients say, and loses every connection once, before the `cut_at`th message."""

    def __init__(self, host: str, port: int, *, cut_at: int) -> None:
        self.has_cut = False
        self._server = host, port
        self._cut_at = cut_at
        self._messages = 0
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._server)
        self._open |= {writer, to_server}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(reader, to_server, counted=True))
            both.create_task(self._pass(from_server, writer, counted=False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(ConnectionError):
            while message := await reader.read(1 << 16):
                self._messages += counted
                if self._messages == self._cut_at and not self.has_cut:
                    self.has_cut = True
                    for each in self._open:
                        each.transport.abort()
                writer.write(message)
        writer.close()


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


async def test_a_redis_that_refuses_us_is_told_at_once(database: Database, redis_url: str) -> None:
    there = urlsplit(redis_url)
    wrong = there._replace(netloc=f":wrong-secret-1@{there.hostname}:{there.port}").geturl()
    began = time.monotonic()
    with pytest.raises(CannotStart, match=r"refuses us: check user, password and rights$") as caught:
        async with prepared(settings(database, wrong)):
            raise AssertionError("it started")
    assert time.monotonic() - began < START_WITHIN.total_seconds() / 2, "it waited for what cannot come"
    assert "wrong-secret-1" not in str(caught.value)


async def test_certificates_that_cannot_be_read_are_told_at_once(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    (file := tmp_path / "ca.pem").write_text("no certificate\n")
    trusting = load(database_url=database.worker_url, redis_url=redis_url, ca_file=file)
    began = time.monotonic()
    with pytest.raises(CannotStart, match=r"ca\.pem holds no certificates: COLLECTOR_CA_FILE must be PEM$"):
        async with prepared(trusting):
            raise AssertionError("it started")
    assert time.monotonic() - began < START_WITHIN.total_seconds() / 2, "it waited for what cannot come"


async def test_servers_that_are_not_there_are_told_after_a_bounded_wait(database: Database, redis_url: str) -> None:
    nowhere = "postgresql://collector_worker:unsaid-secret@127.0.0.1:1/collector"
    said = await refusal(settings(database, redis_url, database_url=nowhere))
    assert "PostgreSQL at 127.0.0.1:1/collector" in said
    assert "unsaid-secret" not in said
    said = await refusal(settings(database, "redis://:unsaid-secret@127.0.0.1:1/0"))
    assert "Redis at 127.0.0.1:1" in said
    assert "unsaid-secret" not in said


@pytest.mark.parametrize("server", ["database_url", "redis_url"])
async def test_a_server_that_goes_away_at_any_moment_of_the_start_is_waited_for(stage: Stage, server: str) -> None:
    url = getattr(stage.settings, server).get_secret_value()
    there = urlsplit(url)
    assert there.hostname is not None
    assert there.port is not None
    for number in itertools.count(1, 2):
        relay = Relay(there.hostname, there.port, cut_at=number)
        async with relay.listening() as port:
            through = SecretStr(url.replace(f":{there.port}", f":{port}"))
            async with prepared(stage.settings.model_copy(update={server: through})):
                pass
        if not relay.has_cut:
            break
    assert number > 5, "nothing was cut"

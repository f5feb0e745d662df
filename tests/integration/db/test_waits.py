"""The long waits of the limits are kept in PostgreSQL, and its failure costs no answer."""

import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from redis.asyncio import Redis

from collectors.errors import PutOff, RateLimited
from tests.integration.http.conftest import Slept
from tests.integration.http.turns import an_answer, bucket, keyed, seconds, take
from tests.servers import Database
from worker.db.engine import Sessions, make_engine, make_sessions
from worker.db.tenancy import system_transaction
from worker.db.waits import Waits
from worker.http.limits import Limits

LATER = datetime.now(UTC) + timedelta(hours=3)
SLOW = bucket("slow", every=12 * 3600)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def gone() -> AsyncIterator[Sessions]:
    """Sessions of a PostgreSQL that is not there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        engine = make_engine(f"postgresql://worker@127.0.0.1:{unused.getsockname()[1]}/collector")
        yield make_sessions(engine)
        await engine.dispose()


async def test_what_is_written_is_read(sessions: Sessions) -> None:
    await Waits(sessions).write("limit:{vendor}:slow", LATER)
    assert await Waits(sessions).read() == {"limit:{vendor}:slow": LATER}


async def test_a_wait_is_taken_back_unless_a_longer_one_was_kept_since(sessions: Sessions) -> None:
    waits, longer = Waits(sessions), LATER + timedelta(hours=1)
    for key in ("a", "b", "c"):
        await waits.write(key, LATER)
    await waits.write("b", longer)
    for key in ("a", "b"):
        await waits.take_back(key, LATER)
    assert await waits.read() == {"b": longer, "c": LATER}


async def test_a_wait_that_cannot_be_kept_is_said_and_nothing_else_happens(gone: Sessions) -> None:
    with structlog.testing.capture_logs() as logs:
        await Waits(gone).write("limit:{vendor}:slow", LATER)
    assert [(line["log_level"], line["bucket"]) for line in logs] == [("warning", "limit:{vendor}:slow")]


async def test_without_the_kept_waits_nothing_is_fetched(redis: Redis, gone: Sessions) -> None:
    limits, keys = Limits(redis, keep=Waits(gone)), keyed(SLOW)
    for refused in (take(limits, keys), limits.restore(["vendor"])):
        with pytest.raises(PutOff, match="cannot be read from PostgreSQL") as caught:
            await refused
        assert caught.value.wait == seconds(5)


async def test_a_wait_that_takes_too_long_to_keep_is_left(sessions: Sessions) -> None:
    """All connections are in use."""
    waits = Waits(sessions, within=0.1)
    async with system_transaction(sessions):
        with structlog.testing.capture_logs() as logs:
            await waits.write("limit:{vendor}:slow", LATER)
        with pytest.raises(PutOff):
            await waits.read()
    assert len(logs) == 1
    assert await waits.read() == {}


async def test_a_database_that_fails_meanwhile_loses_no_answer_and_hides_no_error(
    redis: Redis, sessions: Sessions, database: Database
) -> None:
    limits, keys = Limits(redis, keep=Waits(sessions)), keyed(SLOW)

    async def request() -> None:
        async with limits.turn(keys, "", wait=Slept()) as turn:
            async with database.connect("postgres") as superuser:
                await superuser.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA collect FROM collector_worker")
            turn.answered(an_answer())
            await limits.penalise(keys, seconds(24 * 3600))
            raise ConnectionError("the request's own")

    with structlog.testing.capture_logs() as logs, pytest.raises(ConnectionError, match="the request's own"):
        await request()
    assert [line["why"] for line in logs] == ["ProgrammingError"] * 2
    with pytest.raises(RateLimited):
        await take(limits, keys)

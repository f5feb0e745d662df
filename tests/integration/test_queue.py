import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from arq.connections import ArqRedis

from worker.queue import QUEUE, Job, QueueUnavailable, make_redis, offer, ping, ready_count
from worker.settings import RedisAddress, redis_parts


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_parts(redis_url))
    yield client
    await client.aclose()


def job(number: int = 0, at: datetime | None = None) -> Job:
    return Job("collect", (str(number),), f"c:{number}", at)


async def score(redis: ArqRedis, job_id: str = "c:0") -> datetime:
    found = await redis.zscore(QUEUE, job_id)
    assert found is not None
    return datetime.fromtimestamp(found / 1000, tz=UTC)


async def test_an_offer_made_twice_is_one_job(redis: ArqRedis) -> None:
    jobs = [job(number) for number in range(2500)]
    assert await offer(redis, jobs) == 2500
    assert await offer(redis, [*jobs, job(2500)]) == 1
    assert await ready_count(redis) == 2501


async def test_nothing_offered_is_nothing_done(redis: ArqRedis) -> None:
    assert await offer(redis, []) == 0


async def test_the_same_job_offered_by_many_at_once_is_new_once(redis: ArqRedis) -> None:
    assert sum(await asyncio.gather(*(offer(redis, [job()]) for _ in range(20)))) == 1


async def test_an_earlier_offer_brings_a_job_forward_and_a_later_one_does_not_delay_it(redis: ArqRedis) -> None:
    noon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
    await offer(redis, [job(at=noon)])
    assert await offer(redis, [job(at=noon + timedelta(hours=1))]) == 0
    assert await score(redis) == noon
    assert await offer(redis, [job(at=noon - timedelta(hours=1))]) == 0
    assert await score(redis) == noon - timedelta(hours=1)
    await offer(redis, [job()])
    assert await ready_count(redis) == 1


async def test_a_job_in_the_future_is_not_ready_and_its_payload_outlives_the_wait(redis: ArqRedis) -> None:
    await offer(redis, [job(at=datetime.now(UTC) + timedelta(hours=2))])
    assert await ready_count(redis) == 0
    life = timedelta(milliseconds=await redis.pttl("arq:job:c:0"))
    assert timedelta(hours=2, minutes=44) < life < timedelta(hours=2, minutes=46)


async def test_an_offer_mends_a_payload_that_lost_its_place_and_a_place_that_lost_its_payload(redis: ArqRedis) -> None:
    await offer(redis, [job(0), job(1)])
    await redis.zrem(QUEUE, "c:0")
    await redis.delete("arq:job:c:1")
    assert await offer(redis, [job(0), job(1)]) == 1
    assert await ready_count(redis) == 2
    assert await redis.exists("arq:job:c:0", "arq:job:c:1") == 2


async def test_what_is_in_redis_is_json_that_arq_reads(redis: ArqRedis) -> None:
    await offer(redis, [job(7)])
    payload = await redis.get("arq:job:c:7")
    assert payload is not None
    assert payload.startswith(b'{"t":null,"f":"collect","a":["7"],"k":{},"et":')
    (seen,) = await redis.queued_jobs()
    assert (seen.function, list(seen.args), seen.job_id) == ("collect", ["7"], "c:7")


async def test_a_result_that_is_not_json_does_not_trouble_the_serializer(redis: ArqRedis) -> None:
    assert redis.job_serializer is not None
    assert redis.job_serializer({"r": ValueError("x")}) == b'{"r":"ValueError(\'x\')"}'


async def test_ping_is_silent_when_redis_answers(redis: ArqRedis) -> None:
    await ping(redis, timedelta(seconds=5))


async def test_ping_names_the_place_when_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = make_redis(RedisAddress(host="127.0.0.1", port=port, password="canary"))
    with pytest.raises(
        QueueUnavailable, match=f"Redis at 127.0.0.1:{port} cannot be used .*: check that it runs"
    ) as refusal:
        await ping(client, timedelta(seconds=10))
    assert "canary" not in str(refusal.value)
    await client.aclose()


async def test_ping_ends_in_time_when_redis_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_redis(RedisAddress(host="127.0.0.1", port=silent.getsockname()[1]))
        with pytest.raises(QueueUnavailable, match=r"does not answer within 0\.2 s"):
            await ping(client, timedelta(seconds=0.2))
        await client.aclose()


async def test_ping_tells_a_wrong_password_from_a_server_that_is_away(redis_url: str) -> None:
    address = redis_parts(redis_url)
    client = make_redis(RedisAddress(host=address.host, port=address.port, password="canary"))
    with pytest.raises(QueueUnavailable, match="refuses us: check user, password and rights"):
        await ping(client, timedelta(seconds=5))
    await client.aclose()


async def test_the_client_does_not_show_its_password(redis: ArqRedis, redis_url: str) -> None:
    password = redis_parts(redis_url).password
    assert password
    assert password not in str(redis)

"""The queue: jobs in Redis under arq's own keys. A cache of what is due, so losing it costs one tick."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.settings import RedisAddress

QUEUE = "collector:queue"

# PostgreSQL offers again what is still due, so a payload need not live longer; this bounds what a lost worker leaves.
PAYLOAD_LIFE = timedelta(minutes=45)

_CHUNK = 1000  # 7 ms of the server's time, during which it answers nobody else
_STEP = 2**-11  # milliseconds: what a double still tells apart beside the time; a tick's 3,500 steps are two of them

# A payload without a place in the queue, or with a later one, gets the offered place: ZADD LT adds what is missing and
# only ever moves forward. A running job that is moved so is marked, and whoever comes by moves it back.
_OFFER = """
local added = 0
for i = 2, #ARGV, 4 do
  local id, score, ttl, payload = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if redis.call('SET', ARGV[1] .. id, payload, 'PX', ttl, 'NX') then
    redis.call('ZADD', KEYS[1], score, id)
    added = added + 1
  elseif redis.call('ZADD', KEYS[1], 'LT', 'CH', score, id) == 1 then
    redis.call('PEXPIRE', ARGV[1] .. id, ttl)
  end
end
return added
"""


class QueueUnavailable(Exception):
    """Redis cannot be used. The message says where it is and why, and holds no password."""


class QueueRefusesUs(QueueUnavailable):
    """Waiting will not help."""


@dataclass(frozen=True, slots=True)
class Job:
    """A call of a job function by its name. One id is in the queue once, from the offer until its run has ended."""

    function: str
    args: tuple[str, ...]
    id: str
    at: datetime | None = None
    """Not before this moment; None is now."""
    ahead: timedelta = timedelta(0)
    """How much later it may be offered than others and still be claimed before them."""


def serialize(value: object) -> bytes:
    """JSON instead of arq's pickle, which would run whatever somebody who can write to Redis has put there."""
    return msgspec.json.encode(value, enc_hook=repr)


def deserialize(data: bytes) -> dict[str, object]:
    return msgspec.json.decode(data, type=dict[str, object])


def make_redis(
    address: RedisAddress, *, ca_file: Path | None = None, answer_within: timedelta = timedelta(seconds=5)
) -> ArqRedis:
    """A client that connects when it is first used and outlives restarts of the server. Whoever makes it closes it."""
    return ArqRedis(
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=QUEUE,
        expires_extra_ms=_milliseconds(PAYLOAD_LIFE),
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password,
        unix_socket_path=address.unix_path,
        ssl=address.tls,
        ssl_check_hostname=True,
        ssl_ca_certs=str(ca_file) if ca_file else None,
        # Without these a server that is silent, not gone, hangs its clients for ever.
        socket_timeout=answer_within.total_seconds(),
        socket_connect_timeout=3,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 5),
        # redis-py retries nothing that is not listed, and lets "connection refused" through as a bare OSError.
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
    )


async def offer(redis: ArqRedis, jobs: Sequence[Job]) -> int:
    """Put the jobs into the queue in this order, and say how many were not there. Raises RedisError or OSError.

    A job that is there already moves forward to an earlier `at`, never back. One that is running is left alone: an
    offer of the same id from within its run is lost.
    """
    script = redis.register_script(_OFFER)
    now = time.time_ns() // 1_000_000
    added = 0
    for start in range(0, len(jobs), _CHUNK):
        arguments: list[str | int | bytes] = [job_key_prefix]
        for number, job in enumerate(jobs[start : start + _CHUNK], start):
            at = now if job.at is None else round(job.at.timestamp() * 1000)
            life = max(at - now, 0) + _milliseconds(PAYLOAD_LIFE)
            payload = serialize({"t": None, "f": job.function, "a": job.args, "k": {}, "et": now})
            # Equal scores would be claimed in the order of ids, the oldest account's first.
            place = at - _milliseconds(job.ahead) - (len(jobs) - number) * _STEP
            arguments += (job.id, repr(place), life, payload)
        added += int(await script(keys=[QUEUE], args=arguments))
    return added


async def ready_count(redis: ArqRedis) -> int:
    """How many jobs could run now and wait for a worker."""
    return int(await redis.zcount(QUEUE, "-inf", time.time_ns() // 1_000_000))


async def ping(redis: ArqRedis, within: timedelta) -> None:
    """Raise QueueUnavailable unless Redis answers in time and lets us in."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            await redis.ping()
    except TimeoutError:
        reason = f"does not answer within {within.total_seconds():g} s: check that it runs and can be reached"
    except (AuthenticationError, AuthorizationError, NoPermissionError):
        raise QueueRefusesUs(f"Redis at {_place(redis)} refuses us: check user, password and rights") from None
    except (RedisError, OSError) as error:
        reason = f"cannot be used ({error}): check that it runs and that the address is right"
    else:
        return
    raise QueueUnavailable(f"Redis at {_place(redis)} {reason}")


def _place(redis: ArqRedis) -> str:
    where = redis.connection_pool.connection_kwargs
    return str(where["path"]) if "path" in where else f"{where['host']}:{where['port']}"


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)

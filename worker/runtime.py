"""arq's worker, made fit: it outlives Redis, claims jobs in one call, and gives a dead worker's jobs back in seconds.

The only file that knows arq's insides. tests/conventions/test_arq_guard.py fails when they change.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.cron import CronJob
from arq.utils import timestamp_ms, to_unix_ms
from arq.worker import Function, Worker
from redis.exceptions import RedisError

from worker.queue import PAYLOAD_LIFE, QUEUE, deserialize, serialize

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_JOB_TIMEOUT = 150  # seconds; runs end by themselves at a page boundary after 120
_ITERATION_WITHIN = 5.0  # seconds; redis-py itself would try a silent server for half a minute before it says so
_CLOSE_WITHIN = 8.0  # seconds; with the wait for running jobs it stays under a container's grace of 40
_LONGEST_BACKOFF = 5.0
_MISSED_FOR = timedelta(minutes=1)
# Jobs that begin together and take equally long end together time after time, and wait for each other: fifty of 3 s
# took 3.3 s each (November 2026). So a turn takes a few; the end of a job makes the next turn come at once.
_AT_ONCE = 5
ALIVE_WITHIN = timedelta(seconds=30)  # three times the longest turn of a live loop, an iteration and a backoff
_PASSES = timedelta(minutes=10)  # a tick passes what was offered so long before it, jobs that are ahead of others too

# arq leaves running jobs at the head of the queue, and its own claim asks for each of them in four round trips. This
# one moves a job to where its mark ends: whoever claims sees only what waits, however much runs, and what a killed
# worker ran comes back by itself. The keys are arq's, so that its stock workers and this one may share a queue.
_CLAIM = """
local now, want, ttl, prefix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local claimed = {}
while #claimed < 2 * want do
  local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, want - #claimed / 2)
  if #found == 0 then return claimed end
  for i = 1, #found, 2 do
    local mark, left = prefix .. found[i], ttl
    if redis.call('SET', mark, '1', 'PX', ttl, 'NX') then
      claimed[#claimed + 1] = found[i]
      claimed[#claimed + 1] = found[i + 1]
    else
      left = math.max(redis.call('PTTL', mark), 1)
    end
    redis.call('ZADD', KEYS[1], now + left, found[i])
  end
end
return claimed
"""


class ArqOptions(TypedDict):
    functions: Sequence[Function]
    cron_jobs: Sequence[CronJob]
    redis_pool: ArqRedis
    burst: bool
    handle_signals: bool
    job_completion_wait: int
    max_jobs: int
    poll_delay: timedelta


class Options(ArqOptions):
    health_file: Path | None
    in_progress_ttl: timedelta


def worker_options(
    *,
    redis: ArqRedis,
    functions: Sequence[Function],
    cron_jobs: Sequence[CronJob] = (),
    max_jobs: int = 50,
    health_file: Path | None = None,
    in_progress_ttl: timedelta = timedelta(seconds=30),
    completion_wait: timedelta = timedelta(seconds=25),
    poll_delay: timedelta = timedelta(milliseconds=200),
    handle_signals: bool = True,
    burst: bool = False,
) -> Options:
    """What a CollectorWorker is made of. `burst`: it leaves when the queue is empty.

    `in_progress_ttl`: for how long the jobs of a worker that was killed stay its own.
    """
    return Options(
        functions=functions,
        cron_jobs=cron_jobs,
        redis_pool=redis,
        burst=burst,
        handle_signals=handle_signals,
        job_completion_wait=max(1, round(completion_wait.total_seconds())),
        max_jobs=max_jobs,
        poll_delay=poll_delay,
        health_file=health_file,
        in_progress_ttl=in_progress_ttl,
    )


class CollectorWorker(Worker):
    """Make it inside the running loop. Redis may go, hang or come back empty: the worker stays."""

    def __init__(self, *, health_file: Path | None, in_progress_ttl: timedelta, **options: Unpack[ArqOptions]) -> None:
        super().__init__(
            **options,
            queue_name=QUEUE,
            job_timeout=_JOB_TIMEOUT,
            keep_result=0,  # a result would block the next offer of the same id
            max_tries=1000,  # attempts are counted in PostgreSQL; arq counts restarts too, and then deletes the job
            health_check_interval=10,
            health_check_key=f"{QUEUE}:health:{socket.gethostname()}:{os.getpid()}",
            job_serializer=serialize,
            job_deserializer=deserialize,
            expires_extra_ms=PAYLOAD_LIFE // timedelta(milliseconds=1),
            timezone=UTC,
            log_results=False,
        )
        self.stopping = asyncio.Event()
        self._freed = asyncio.Event()  # a job has ended since the last claim
        # arq takes the longest timeout of any job plus ten seconds, and never renews it.
        self.in_progress_timeout_s = in_progress_ttl.total_seconds()
        self.turned_at = time.monotonic()  # when the loop that takes jobs last did so
        self._refreshed_at = 0.0
        self._health_file = health_file
        self._health_file_touched_at = 0.0
        self._failures = 0
        self._failed_at = 0.0
        self._failure: type[Exception] | None = None
        self._cron_ran_at = datetime.min.replace(tzinfo=UTC)
        self._claim_script = self.pool.register_script(_CLAIM)

    @property
    def is_stopping(self) -> bool:
        """Whether we were told to stop: running jobs should end at their next page."""
        return self.stopping.is_set()

    async def main(self) -> None:
        # arq's own begins with INFO, which a restricted user of Redis may not call, and dies of a Redis that is away.
        self.ctx["redis"] = self.pool
        log.info("worker started", functions=sorted(self.functions), max_jobs=self.max_jobs)
        while True:
            next_at = time.monotonic() + self.poll_delay_s
            await self._poll_iteration()
            if self.burst and not self.tasks and not await self.pool.zcard(self.queue_name):
                return
            # Python 3.11's wait_for, below redis-py, swallows a cancellation that comes as its reply does.
            if self.main_task and self.main_task.cancelling():
                raise asyncio.CancelledError
            await self._wait_for_slot(until=next_at)

    async def _wait_for_slot(self, *, until: float) -> None:
        """Return as soon as a job has ended: with jobs of 3 s the usual pause would leave 3 % of the slots empty."""
        with suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                await self._freed.wait()

    async def _poll_iteration(self) -> None:
        self._touch_health_file()
        try:
            async with asyncio.timeout(_ITERATION_WITHIN):
                await self._refresh()
                await self._claim()
                await self.heart_beat()
        except (RedisError, OSError) as error:  # OSError has TimeoutError below it
            self._note_failure(error)
            await asyncio.sleep(min(_LONGEST_BACKOFF, 0.1 * 2 ** min(self._failures, 10)))
        else:
            self._note_success()

    async def _claim(self) -> None:
        self._freed.clear()
        free = min(self.max_jobs - len(self.tasks), _AT_ONCE)
        if free <= 0 or not self.allow_pick_jobs:
            return
        ttl = round(self.in_progress_timeout_s * 1000)
        claimed: list[bytes] = await self._claim_script(
            keys=[self.queue_name], args=[timestamp_ms(), free, ttl, in_progress_key_prefix]
        )
        for job_id, score in zip(claimed[::2], claimed[1::2], strict=True):
            self._start(job_id.decode(), int(float(score)))

    def _start(self, job_id: str, score: int) -> None:
        # Redis forgot that it runs here and was offered it anew: the run at hand ends both.
        if job_id in self.tasks:
            return
        self.tasks[job_id] = task = self.loop.create_task(self.run_job(job_id, score))
        task.add_done_callback(partial(self._finished, job_id))

    def _finished(self, job_id: str, task: asyncio.Task[None]) -> None:
        del self.tasks[job_id]
        self._freed.set()
        if task.cancelled():
            return
        match task.exception():
            case None:
                pass
            case RedisError() | OSError() as error:
                log.warning("job not signed off, it will be run again", job_id=job_id, error=type(error).__name__)
            case error:
                log.error("job broke the worker's own code", job_id=job_id, exc_info=error)

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._refreshed_at < self.in_progress_timeout_s / 3:
            return
        ttl = round(self.in_progress_timeout_s * 1000)
        async with self.pool.pipeline(transaction=False) as pipe:
            for job_id in self.tasks:
                pipe.pexpire(in_progress_key_prefix + job_id, ttl)
            if self.tasks:
                pipe.zadd(self.queue_name, dict.fromkeys(self.tasks, timestamp_ms() + ttl), xx=True, gt=True)
            await pipe.execute()
        self._refreshed_at = now

    async def run_cron(self, n: datetime, delay: float, num_windows: int = 2) -> None:
        """Enqueue the ticks that are due. One that Redis did not take is enqueued later, with the same id."""
        before = [(cron_job, cron_job.next_run) for cron_job in self.cron_jobs]
        for cron_job in self.cron_jobs:
            if n < self._cron_ran_at and cron_job.next_run is not None:  # the clock was set back
                cron_job.calculate_next(n)
            _skip_missed(cron_job, n)
        self._cron_ran_at = n
        planned = [(cron_job, cron_job.next_run) for cron_job in self.cron_jobs]
        try:
            await super().run_cron(n, delay, num_windows)
            await self._let_pass([(cron_job, then) for cron_job, then in planned if then and cron_job.next_run != then])
        except BaseException:
            for cron_job, next_run in before:
                cron_job.next_run = next_run
            raise

    async def _let_pass(self, enqueued: Sequence[tuple[CronJob, datetime]]) -> None:
        """Let these ticks pass all that waits, or they would come as late as the queue is long."""
        places = {f"{cron_job.name}:{to_unix_ms(then)}": to_unix_ms(then - _PASSES) for cron_job, then in enqueued}
        if places:
            await self.pool.zadd(self.queue_name, places, xx=True, lt=True)

    def _note_failure(self, error: Exception) -> None:
        if not self._failures:
            self._failed_at = time.monotonic()
        self._failures += 1
        if type(error) is not self._failure:
            self._failure = type(error)
            log.warning("redis lost, trying on", error=f"{type(error).__name__}: {error}", running=len(self.tasks))

    def _note_success(self) -> None:
        if self._failures:
            log.info("redis is back", after_seconds=round(time.monotonic() - self._failed_at, 1))
        self._failures, self._failure = 0, None

    def _touch_health_file(self) -> None:
        self.turned_at = now = time.monotonic()
        if self._health_file is None or now - self._health_file_touched_at < 1:
            return
        self._health_file_touched_at = now
        try:
            self._health_file.touch()
        except OSError as error:
            log.warning("health file not written, set COLLECTOR_HEALTH_FILE to a writable place", error=str(error))
            self._health_file = None

    def handle_sig_wait_for_completion(self, signum: signal.Signals) -> None:
        """Pick no more jobs and let the running ones end; told so again, cancel them."""
        if self.is_stopping:
            self.handle_sig(signum)
            return
        self.stopping.set()
        log.info("stopping", signal=signal.Signals(signum).name, running=len(self.tasks))
        super().handle_sig_wait_for_completion(signum)

    async def close(self) -> None:
        """End what still runs and sign off, within seconds, whether Redis answers or not. Leaves the pool open."""
        self.stopping.set()
        running = dict(self.tasks)
        tasks = list(running.values())
        for task in tasks:
            # A second cancellation would break the shield under which a job is given back.
            if not task.cancelling():
                task.cancel()
        if tasks:
            # Not gather: when that is cancelled it waits for a job that swallows its cancellation.
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_WITHIN)
            if late:
                log.warning("jobs that did not end in time are left behind", jobs=len(late))
        try:
            async with asyncio.timeout(2):
                if running:  # who was put back may be claimed at once
                    await self.pool.zadd(self.queue_name, dict.fromkeys(running, timestamp_ms()), xx=True, lt=True)
                await self.pool.delete(self.health_check_key)
        except (RedisError, OSError) as error:
            log.debug("not signed off, the health key expires by itself", error=type(error).__name__)
        if self._handle_signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                self.loop.remove_signal_handler(number)
        log.info("worker stopped", complete=self.jobs_complete, failed=self.jobs_failed, put_back=self.jobs_retried)


def _skip_missed(cron_job: CronJob, now: datetime) -> None:
    # After an outage arq would run every missed tick, one per poll. Those of the last minute, or the last one, will do.
    missed = cron_job.next_run
    if missed is None or missed > now - _MISSED_FOR:
        return
    cron_job.calculate_next(now - _MISSED_FOR)
    if cron_job.next_run is None or cron_job.next_run > now:
        cron_job.next_run = missed


async def run(worker: CollectorWorker) -> None:
    """Run until a signal says otherwise, and clean up. What the worker was given is closed by whoever opened it."""
    try:
        await worker.async_run()
    except asyncio.CancelledError:
        if not worker.is_stopping:
            raise
    finally:
        # In a task of its own, whom nobody has cancelled: Python before 3.11.3 takes that for a timeout's.
        await asyncio.create_task(worker.close())


def is_alive(health_file: Path, *, within: timedelta = ALIVE_WITHIN) -> bool:
    """Whether the loop of the worker that touches this file is alive. It may be so without Redis."""
    try:
        age = time.time() - health_file.stat().st_mtime
    except OSError:
        return False
    return age <= within.total_seconds()

"""worker/runtime.py replaces private methods of arq and relies on others: a change in them must be read by a person."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import arq
import pytest
from arq import connections, constants, jobs, worker
from arq.cron import CronJob, next_cron

from worker.runtime import CollectorWorker

SEEN: list[tuple[Callable[..., Any], str]] = [
    (worker.Worker.__init__, "edfb0cd7e05e77cf"),
    (worker.Worker.async_run, "f3434c3dd359b31b"),
    (worker.Worker.main, "45ca1591c9717466"),
    (worker.Worker._poll_iteration, "f8d39d823a0a59f2"),
    (worker.Worker.start_jobs, "b45797cfa40bed7f"),
    (worker.Worker.run_job, "589a19059ff84ee7"),
    (worker.Worker.finish_job, "903f09c92830d3fd"),
    (worker.Worker.finish_failed_job, "3e16087f318a7acf"),
    (worker.Worker.heart_beat, "2e9959bea66dc551"),
    (worker.Worker.run_cron, "7d2d3784e6567fb2"),
    (worker.Worker.record_health, "108f4b8686c9402d"),
    (worker.Worker.handle_sig, "985ff7ba01aa8f04"),
    (worker.Worker.handle_sig_wait_for_completion, "8f161d86834cc74e"),
    (worker.Worker._add_signal_handler, "7efddf3cba88b9d7"),
    (worker.Worker._wait_for_tasks_to_complete, "c186389a00b11500"),
    (worker.Worker._sleep_until_tasks_complete, "0acab214e9c111cb"),
    (worker.Worker.close, "5bcc9cb356680829"),
    (connections.ArqRedis.__init__, "2e8bd7e180d895c8"),
    (connections.ArqRedis.enqueue_job, "7da8706a747c1171"),
    (CronJob.calculate_next, "7f8bfac236ba13c1"),
    (next_cron, "cab544d81f2da143"),
    (jobs.serialize_job, "1fc854cc50e16e5c"),
    (jobs.deserialize_job_raw, "f330dfaff8e2160f"),
    (worker.func, "f44ddaf9b8a2bdbb"),
]


def test_arq_is_the_version_that_the_runtime_was_written_for() -> None:
    assert arq.VERSION == "0.28.0", "read what changed in arq/worker.py, then worker/runtime.py, then this file"


@pytest.mark.parametrize(("function", "digest"), SEEN, ids=[function.__qualname__ for function, _ in SEEN])
def test_what_the_runtime_replaces_or_relies_on_is_as_it_was(function: Callable[..., Any], digest: str) -> None:
    source = inspect.getsource(function)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == digest, f"{function.__qualname__} changed: read it"


def test_the_keys_in_redis_are_those_that_the_scripts_write() -> None:
    assert (constants.job_key_prefix, constants.in_progress_key_prefix) == ("arq:job:", "arq:in-progress:")


def test_the_runtime_overrides_what_exists_and_nothing_else() -> None:
    """A method of arq that was renamed would leave ours uncalled."""
    ours = {name for name, value in vars(CollectorWorker).items() if inspect.isfunction(value)}
    assert {name for name in ours if hasattr(worker.Worker, name)} == {
        "__init__",
        "main",
        "_poll_iteration",
        "run_cron",
        "handle_sig_wait_for_completion",
        "close",
    }

"""A parent that keeps several processes running."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARENT = """
import asyncio, sys
from worker.processes import CannotGoOn, run_processes

try:
    asyncio.run(run_processes(3, lambda number: [sys.executable, "-c", sys.argv[1], sys.argv[2], str(number)]))
except CannotGoOn as error:
    sys.exit(str(error))
"""
# What each process does: says who it is in a file of its own, and leaves when it is told to.
GOOD = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
(pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}-{os.getpid()}").touch()
while True: signal.pause()
"""
# A machine that takes its time to start a process, during which the parent is told to stop.
TOLD_WHILE_STARTING = """
import asyncio, os, signal

start = asyncio.create_subprocess_exec

async def slow(*command, **options):
    process = await start(*command, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.1)
    return process

asyncio.create_subprocess_exec = slow
"""
BAD = "import sys; sys.exit(3 if sys.argv[2] == '1' else 0)"


@asynccontextmanager
async def parent(program: str, place: Path, *, first: str = "") -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", first + PARENT, program, str(place), cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(50):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for pid in pids(place):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def pids(place: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in place.iterdir()]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - processes tell no event of ours
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_one_that_is_killed_has_a_successor_and_all_leave_when_told(tmp_path: Path) -> None:
    async with parent(GOOD, tmp_path) as process:
        await until(lambda: len(pids(tmp_path)) == 3)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(pids(tmp_path)) == 4)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert not any(map(is_alive, pids(tmp_path)))


async def test_who_is_told_to_stop_while_processes_are_being_started_stops_them(tmp_path: Path) -> None:
    async with (
        parent("import time; time.sleep(30)", tmp_path, first=TOLD_WHILE_STARTING) as process,
        asyncio.timeout(15),
    ):
        assert await process.wait() == 0


async def test_processes_that_leave_at_once_are_given_up_in_one_sentence(tmp_path: Path) -> None:
    async with parent(BAD, tmp_path) as process:
        out, err = await process.communicate()
    assert process.returncode == 1
    assert "worker process " in err.decode().splitlines()[-1]
    assert "Traceback" not in (out + err).decode()

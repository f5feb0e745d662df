"""Several worker processes of one machine, looked after by a parent: whoever dies has a successor."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

_SHORT_LIFE = 20.0  # seconds: who leaves so soon could not start, or cannot go on
_SHORT_LIVES = 5  # in a row of one place: the parent gives up, for whoever looks after it to see

Command = Callable[[int], Sequence[str]]  # the number of a process, from 0 → its command line


class CannotGoOn(Exception):
    """The processes leave as soon as they are started. The message says so in one sentence."""


async def run_processes(count: int, command: Command) -> None:
    """Keep `count` processes running until told to stop (SIGTERM, SIGINT), and then until all of them have left.

    They are in sessions of their own: a Ctrl-C in the terminal reaches them through their parent, once. A second signal
    is passed on too. Raises CannotGoOn when one place fails again and again; the others are told to stop before.
    """
    places = [_Place(number, command(number)) for number in range(count)]

    def stop() -> None:
        for place in places:
            place.stop()

    loop = asyncio.get_running_loop()
    failure: BaseException | None = None
    for sent in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent, stop)
    try:
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(place.keep())
    except* CannotGoOn as failures:
        failure = failures.exceptions[0]  # Python 3.11.2 would put what is raised here into a group
    finally:
        for sent in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sent)
    if failure is not None:
        raise failure


class _Place:
    """One process after another."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self._number = number
        self._command = command
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._short_lives = 0

    def stop(self) -> None:
        """Tell the process to stop; it has no successor."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def keep(self) -> None:
        """Return when it was told to stop and the process has left. A cancellation tells it to stop, too."""
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(*self._command, start_new_session=True)
            if self._stopping.is_set():  # told while it was being started
                self.stop()
            try:
                code = await self._process.wait()
            except asyncio.CancelledError:
                self.stop()
                await self._process.wait()
                raise
            if not self._stopping.is_set():
                await self._mourn(code, lived=time.monotonic() - began)

    async def _mourn(self, code: int, *, lived: float) -> None:
        log.warning("a worker process left, another one begins", process=self._number, code=code, lived=round(lived, 1))
        self._short_lives = self._short_lives + 1 if lived < _SHORT_LIFE else 0
        if self._short_lives >= _SHORT_LIVES:
            raise CannotGoOn(
                f"worker process {self._number} left {_SHORT_LIVES} times as soon as it was started, at last with "
                f"{code}; mend what it said above, and start again"
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1 * 2**self._short_lives):
                await self._stopping.wait()

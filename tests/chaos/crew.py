"""Several workers, each a process of its own: whoever dies has a successor."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Self

_JUMPING = "tests.chaos.jumping_worker"
_LOOK_EVERY = 0.1
_LAST_SAID = 4_000  # characters
_STOPS_WITHIN = 60.0  # seconds, after a SIGTERM: a page in progress, and what is signed off


class Crew:
    """Use as an async context manager. What each worker says is in a file of its own in `logs`."""

    def __init__(self, size: int, environment: dict[str, str], logs: Path) -> None:
        self._size = size
        self._environment = environment
        self._logs = logs
        self._log_of: dict[Process, Path] = {}
        self.members: list[Process] = []
        self.stopped: list[int] = []  # the exit codes of those that were told to stop
        self.fell: list[str] = []  # what those said last that left by themselves

    async def __aenter__(self) -> Self:
        for _ in range(self._size):
            self.members.append(await self._begin())
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.members:
            if member.returncode is None:
                member.kill()
            await member.wait()

    async def kill(self, member: Process) -> None:
        """End a worker at once, and put another in its place."""
        if not self._has_fallen(member):
            member.kill()
        await self._succeed(member)

    async def stop(self, member: Process) -> None:
        """Ask a worker to leave, which it does with 0, and put another in its place."""
        if not self._has_fallen(member):
            async with asyncio.timeout(_STOPS_WITHIN):
                await self._begun(member)
                member.send_signal(signal.SIGTERM)
                self.stopped.append(await member.wait())
        await self._succeed(member)

    def _has_fallen(self, member: Process) -> bool:
        if member.returncode is None:
            return False
        self.fell.append(f"left with {member.returncode}: {self._log_of[member].read_text()[-_LAST_SAID:]}")
        return True

    async def _succeed(self, member: Process) -> None:
        await member.wait()
        self.members[self.members.index(member)] = await self._begin()

    async def _begun(self, member: Process) -> None:
        """Return when it takes jobs: before that, a signal ends it as it ends any program."""
        while "worker started" not in self._log_of[member].read_text():  # noqa: ASYNC110 - its log tells nobody
            await asyncio.sleep(_LOOK_EVERY)

    def look(self) -> None:
        """Note those in `fell` that are gone now."""
        for member in self.members:
            self._has_fallen(member)

    @property
    def said(self) -> str:
        """Everything that all of them said."""
        return "".join(log.read_text() for log in self._log_of.values())

    async def _begin(self) -> Process:
        path = self._logs / f"worker-{len(self._log_of)}.log"
        with path.open("ab") as log:
            begun = await asyncio.create_subprocess_exec(
                sys.executable, "-m", _JUMPING, "worker", env=self._environment, stdout=log, stderr=log,
                preexec_fn=_until_it_can_jump,
            )  # fmt: skip
        self._log_of[begun] = path
        return begun


def _until_it_can_jump() -> None:
    """Ignore what would end a Python that has not yet said what the signals mean."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)

"""Contestants that do the same work in turn, round after round, and how they compare within each round."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")

ROUNDS = 5
AGAIN = ", again"  # the control: the first contestant once more, which shows what a ratio of 1 looks like here


@dataclass(frozen=True)
class Contestant(Generic[Work]):
    """`prepare` is not timed; what it returns is given to `run`, which is. `check` raises if the work was not done."""

    name: str
    prepare: Callable[[], Awaitable[Work]]
    run: Callable[[Work], Awaitable[None]]
    check: Callable[[Work], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """Seconds of each contestant in each round."""

    seconds: Mapping[str, Sequence[float]]

    def speed(self, name: str, beside: str) -> list[float]:
        """Return how many times as fast as `beside` it was, in each round."""
        return [other / own for own, other in zip(self.seconds[name], self.seconds[beside], strict=True)]


async def contest(contestants: Sequence[Contestant[Any]], *, rounds: int = ROUNDS) -> Outcome:
    """Let each work once to warm up, then once in each round. Each round begins with another of them."""
    first = contestants[0]
    field = [*contestants, Contestant(first.name + AGAIN, first.prepare, first.run, first.check)]
    seconds: dict[str, list[float]] = {one.name: [] for one in field}
    for number in range(-1, rounds):
        turn = number % len(field)
        for one in (*field[turn:], *field[:turn]):
            work = await one.prepare()
            began = time.perf_counter()
            await one.run(work)
            took = time.perf_counter() - began
            await one.check(work)
            if number >= 0:
                seconds[one.name].append(took)
    return Outcome(seconds)


def machine() -> str:
    """Say in one line what the figures were measured on, and what else it did then."""
    information = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in information if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} × {next(models, platform.machine())}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )

"""Rate limits by real time: token buckets, quotas of points and slots for parallel requests."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

TOLERANCE = 0.002
"""Seconds that a request may be early, for the error of floats only."""


@dataclass(frozen=True)
class Taken:
    """The outcome of asking a bucket for one unit. Times in seconds; `retry` is 0 when the unit was given."""

    remaining: int
    burst: int
    retry: float
    reset: float

    @property
    def given(self) -> bool:
        return self.retry == 0


class TokenBucket:
    """`burst` units at once, then one each `interval` seconds, for each key (GCRA). What is refused costs nothing."""

    def __init__(self, interval: float, burst: int, *, clock: Callable[[], float] = monotonic) -> None:
        self.interval = interval
        self.burst = burst
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> Taken:
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        early = full_at - now - self.interval * (self.burst - 1)
        if early > TOLERANCE:
            return Taken(0, self.burst, retry=early, reset=full_at - now)
        full_at += self.interval
        self._full_at[key] = full_at
        return Taken(self._remaining(full_at - now), self.burst, retry=0, reset=full_at - now)

    def charge(self, key: str, units: int) -> None:
        """Take more after the fact, also what is not there."""
        self._full_at[key] = max(self._full_at.get(key, 0.0), self._clock()) + units * self.interval

    def _remaining(self, debt: float) -> int:
        if self.interval == 0:
            return self.burst
        return max(0, self.burst - math.ceil((debt - TOLERANCE) / self.interval))


@dataclass
class _Period:
    ends: float
    left: int


class PointQuota:
    """`amount` points per `period` seconds for each key; the period begins with the first request in it.

    Points are paid when the answer is known, so one answer may overdraw them; the next request is refused.
    """

    def __init__(self, amount: int, period: float, *, clock: Callable[[], float] = monotonic) -> None:
        self.amount = amount
        self.period = period
        self._clock = clock
        self._periods: dict[str, _Period] = {}

    def left(self, key: str) -> int:
        return max(0, self._current(key).left)

    def ends_in(self, key: str) -> float:
        return max(0.0, self._current(key).ends - self._clock())

    def pay(self, key: str, points: int) -> None:
        self._current(key).left -= points

    def _current(self, key: str) -> _Period:
        now = self._clock()
        period = self._periods.get(key)
        if period is None or now >= period.ends - TOLERANCE:
            period = _Period(ends=now + self.period, left=self.amount)
            self._periods[key] = period
        return period


class Slots:
    """How many requests of a key may be under way at once."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    @contextmanager
    def one(self, key: str, limit: int) -> Iterator[bool]:
        """Yields whether there was a slot."""
        taken = self._taken.get(key, 0)
        if taken >= limit:
            yield False
            return
        self._taken[key] = taken + 1
        try:
            yield True
        finally:
            self._taken[key] -= 1

"""The worker's clock, corrected to the database's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOO_FAR = timedelta(seconds=5)  # more than this between the worker and the database is an alarm


class Clock:
    """Tells the database's time without asking it each time."""

    def __init__(self, wall: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._wall = wall
        self.skew = timedelta(0)  # the database's time minus ours

    def now(self) -> datetime:
        return self._wall() + self.skew

    def correct(self, database_now: datetime) -> bool:
        """Take the database's time as the truth; tell whether ours was no more than TOO_FAR from it."""
        self.skew = database_now - self._wall()
        return abs(self.skew) <= TOO_FAR

"""The worker's clock, corrected to the database's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOO_FAR = timedelta(seconds=5)  # more than this between the worker and the database is an alarm


def steady() -> Callable[[], datetime]:
    """Return our own time as it is now, going on evenly, whatever somebody sets the machine's clock to."""
    at, since = datetime.now(UTC), time.monotonic()
    return lambda: at + timedelta(seconds=time.monotonic() - since)


class Clock:
    """Tells the database's time without asking it each time."""

    def __init__(self, wall: Callable[[], datetime] | None = None) -> None:
        self._wall = wall or steady()
        self.skew = timedelta(0)  # the database's time minus ours

    def wall(self) -> datetime:
        """Return the time by our own clock, as it is."""
        return self._wall()

    def now(self) -> datetime:
        return self._wall() + self.skew

    def correct(self, database_now: datetime, asked_at: datetime) -> bool:
        """Take the database's time as the truth; tell whether ours was no more than TOO_FAR from it.

        `asked_at` is `wall()` before the database was asked. It told its time somewhere between then and now, so a
        skew that agrees with that stays: the time the answer took must not set the clock back.
        """
        least, most = database_now - self._wall(), database_now - asked_at
        self.skew = min(max(self.skew, least), most)
        return abs(self.skew) <= TOO_FAR

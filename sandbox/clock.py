"""The data clock: what time it is in the marketplaces."""

from datetime import UTC, datetime, timedelta
from time import monotonic


class Clock:
    """UTC time that runs from `start` (real time by default), or stands still until it is moved.

    Only data and lifetimes of cursors follow it. Rate limits follow real time.
    """

    def __init__(self, start: datetime | None = None, *, running: bool = True) -> None:
        self._at = (start or datetime.now(UTC)).astimezone(UTC)
        self._since = monotonic()
        self._running = running

    @classmethod
    def frozen(cls, at: datetime) -> "Clock":
        return cls(at, running=False)

    def now(self) -> datetime:
        if not self._running:
            return self._at
        return self._at + timedelta(seconds=monotonic() - self._since)

    def set(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)
        self._since = monotonic()

    def advance(self, by: timedelta) -> None:
        self.set(self.now() + by)

    def freeze(self) -> None:
        self.set(self.now())
        self._running = False

    def run(self) -> None:
        self.set(self.now())
        self._running = True

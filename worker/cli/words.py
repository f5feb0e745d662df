"""Values as people read them: spans, times, sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (timedelta(seconds=1), "s"),
)


def span(of: timedelta) -> str:
    """Write `30 min`, `1.5 s`, `90 d`: in the largest unit that takes it whole, else in seconds."""
    for unit, name in _UNITS:
        if of >= unit and of % unit == timedelta(0):
            return f"{of // unit} {name}"
    return f"{of.total_seconds():.2g} s"


def read_span(said: str) -> timedelta:
    """Read `30min`, `2h`, `1 d`: a whole number and a unit, more than nothing. Raises ValueError, half a sentence."""
    for unit, name in _UNITS:
        for ending in (name, name[0]):
            number = said.strip().removesuffix(ending).strip()
            if number != said.strip() and number.isascii() and number.isdecimal() and 0 < int(number) < 10**6:
                return int(number) * unit
    raise ValueError(f"is no length of time: {said!r}; write 30min, 2h or 1d")


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def number(of: int) -> str:
    return f"{of:,}"


def size(octets: float) -> str:
    """Write `512 B`, `3.4 KB`, `12 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 100 else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"

"""Values as people read them: spans, times, sizes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (timedelta(seconds=1), "s"),
)

_SPAN = re.compile(r"(\d+)\s*(min|s|h|d|w)")
_LENGTHS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


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


def roughly(of: timedelta) -> str:
    """Write `40 s`, `12 min`, `3.5 h`, `9 d`: how long it is, at a glance."""
    seconds = max(of.total_seconds(), 0)
    for limit, length, name in ((60, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / length:.{int(name == 'h' and seconds < 36000)}f} {name}"
    return f"{seconds / 86400:.0f} d"


def relative(at: datetime | None, now: datetime) -> str:
    """Write `12 min ago`, `in 3.5 h`, `now`."""
    if at is None:
        return ""
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    return f"in {roughly(at - now)}" if at > now else f"{roughly(now - at)} ago"


def since(text: str, now: datetime) -> datetime:
    """Read `24h`, `30min`, `7d` as so long before now, or a day or time. Raises ValueError, one sentence."""
    if found := _SPAN.fullmatch(text.strip()):
        return now - timedelta(seconds=int(found[1]) * _LENGTHS[found[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 24h, 7d, 2026-11-20 or 2026-11-20T10:30:00+03:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

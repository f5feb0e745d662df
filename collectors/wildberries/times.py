"""How the hosts of Wildberries read times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from collectors.stream import Cursor, Json, Walk
from collectors.windows import MOSCOW, days


def moscow(at: datetime) -> str:
    """Write a time as the statistics host reads it: Moscow's, without an offset."""
    return at.astimezone(MOSCOW).replace(tzinfo=None).isoformat(timespec="seconds")


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_moment(end: datetime) -> str:
    """Write the last moment before `end`, as finely as times can be written."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moscow_day(at: datetime) -> str:
    return at.astimezone(MOSCOW).date().isoformat()


def moscow_days(walk: Walk, at: Cursor) -> dict[str, Json]:
    """Ask for the Moscow days of the window, of which the last is inclusive, and for the place in the list."""
    return {"dateFrom": moscow_day(walk.span.start), "dateTo": moscow_day(walk.span.end - days(1)), **at}


def unix_seconds(walk: Walk) -> dict[str, Json]:
    """Ask for the seconds of the window, of which the last is inclusive."""
    return {"dateFrom": int(walk.span.start.timestamp()), "dateTo": int(walk.span.end.timestamp()) - 1}

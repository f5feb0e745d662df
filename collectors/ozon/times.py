"""How Ozon's methods are told times and days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from collectors.stream import Cursor, Json, Walk
from collectors.windows import MOSCOW


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_moment(end: datetime) -> str:
    """Write the last moment before `end`; the vendor's times have microseconds."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def last_day(end: datetime) -> str:
    return day(end - timedelta(days=1))


def month(walk: Walk, _: Cursor) -> dict[str, Json]:
    """Tell the month in which the window begins."""
    first = walk.span.start.astimezone(MOSCOW)
    return {"month": first.month, "year": first.year}


def moscow_days(walk: Walk) -> dict[str, str]:
    """Tell the first and the last day of the window, as they are in Moscow."""
    first, last = walk.span.start.astimezone(MOSCOW), (walk.span.end - timedelta(days=1)).astimezone(MOSCOW)
    return {"dateFrom": first.date().isoformat(), "dateTo": last.date().isoformat()}


def moscow_day(walk: Walk, _: Cursor) -> dict[str, Json]:
    """Tell the day with which the window begins."""
    first = walk.span.start.astimezone(MOSCOW)
    return {"day": first.day, "month": first.month, "year": first.year}

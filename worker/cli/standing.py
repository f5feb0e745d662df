"""How streams stand, and what they are, as rows to show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import text

from collectors.stream import Bucket, ListedBy, Scope, Snapshot, Stream, Watermark, Windows
from worker.cli.opening import as_worker
from worker.cli.words import number, size, span
from worker.db.savings import savings
from worker.db.tenancy import system_transaction
from worker.settings import Settings

Row = Mapping[str, Any]

_STATUS = text("SELECT * FROM collect.status()")


LOOKS_BACK = timedelta(days=30)  # over which it is told what was saved
_SAVED = ("pages", "pages_same", "bytes", "bytes_same")


def read(settings: Settings) -> list[Row]:
    """Return a row for each slice and lane of every account, with what it brought and saved in the last 30 days."""

    async def ask() -> list[Row]:
        now = datetime.now(UTC)
        async with as_worker(settings) as sessions, system_transaction(sessions) as session:
            rows = (await session.execute(_STATUS)).mappings().all()
            saved = {
                (each.marketplace_account_id, each.stream, each.slice, each.lane): each
                for each in await savings(session, now - LOOKS_BACK, now + timedelta(days=1))
            }
        told: list[Row] = []
        for row in rows:
            of_row = saved.get((row["marketplace_account_id"], row["stream"], row["slice"], row["lane"]))
            told.append({**row, **{name: getattr(of_row, name, 0) for name in _SAVED}})
        return told

    return asyncio.run(ask())


def saved_of(rows: Sequence[Row]) -> str:
    """Say how much of what these slices brought was as it was before, and not stored again; "" if nothing was."""
    pages, same, octets, octets_same = (sum(row[name] for row in rows) for name in _SAVED)
    if not same:
        return ""
    share = f" ({octets_same / octets:.0%})" if octets else ""
    return f"{number(same)} of {number(pages)} pages, {size(octets_same)} of {size(octets)}{share}"


def by_account(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Give the rows of each account with a title that says whose they are."""
    for _, group in groupby(rows, key=lambda row: row["marketplace_account_id"]):
        of_account = list(group)
        first = of_account[0]
        title = f"{first['organization']} · {first['marketplace']} · {first['account']} ({first['account_status']})"
        reason = first["account_status_reason"]
        yield f"{title}: {reason}" if reason else title, of_account


def state(row: Row) -> str:
    """Say in a word what a slice is doing."""
    name: str = row["state"]
    if name == "active":
        leased: datetime | None = row["lease_until"]
        name = "running" if leased is not None and leased > datetime.now(UTC) else "ok"
    return name if row["lane"] == "live" else f"{name} ({row['lane']})"


def described(stream: Stream) -> dict[str, str]:
    """Say what a stream is, in the words of its declaration."""
    return {
        "marketplace": stream.marketplace.name,
        "stream": stream.name,
        "what it is": stream.about,
        "slices": _slices(stream),
        "paging": stream.paging,
        "progress": _progress(stream),
        "every": span(stream.every),
        "restated for": _restated(stream),
        "limits": ", ".join(_limit(bucket) for bucket in (*stream.buckets, *stream.marketplace.buckets)),
        "needs": stream.needs,
    }


def _slices(stream: Stream) -> str:
    if isinstance(stream.slices, ListedBy):
        return f"each of {stream.slices.stream}"
    return ", ".join(name for name in stream.slices if name)


def _progress(stream: Stream) -> str:
    match stream.progress:
        case Watermark():
            return "watermark"
        case Snapshot():
            return "snapshot"
        case Windows(longest="month"):
            return "windows of a month"
        case Windows(longest=longest):
            assert not isinstance(longest, str), "the other case"
            return f"windows of {span(longest)}"


def _restated(stream: Stream) -> str:
    if isinstance(stream.progress, Windows) and stream.progress.restated:
        return span(stream.progress.restated[-1][0])
    return ""


def _limit(bucket: Bucket) -> str:
    if bucket.scope is Scope.SLOTS:
        return f"{bucket.rate.burst} at the same time"
    burst = f" ({bucket.rate.burst} at once)" if bucket.rate.burst > 1 else ""
    return f"1 per {span(bucket.rate.every)}{burst}"

"""Which records there are, told from the data itself and not through the code that pages it."""

from collections.abc import Mapping
from datetime import datetime

from sandbox.marketplace import Marketplace, changed, created
from sandbox.records import Record
from sandbox.wildberries_methods import WEEKLY, in_weekly_report
from sandbox.wire import Invalid

TIMES = {"created": created, "changed": changed}


def record_keys(
    marketplaces: Mapping[str, Marketplace],
    now: datetime,
    *,
    marketplace: str,
    seller: str,
    stream: str,
    slice_: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
    by: str | None = None,
) -> list[str]:
    """Keys of the records that the seller has at `now`, in the half-open window [start, end).

    The window is of the stream's own time, or of `by` (created, changed); a snapshot has none, its bounds are ignored.
    A slice is its value or `name=value`.
    """
    if marketplace not in marketplaces or stream not in marketplaces[marketplace].streams:
        raise Invalid(f"there is no stream {marketplace}/{stream}")
    source = marketplaces[marketplace].streams[stream]
    time_of = TIMES[by] if by else source.window
    weekly = slice_ == WEEKLY
    return [
        record.key
        for record in source.records(seller, now)
        if (in_weekly_report(record, now) if weekly else _is_slice(record, slice_))
        and (start is None or time_of is None or time_of(record) >= start)
        and (end is None or time_of is None or time_of(record) < end)
    ]


def _is_slice(record: Record, wanted: str) -> bool:
    """`campaign=123` and `123` both mean the campaign 123; `answered=true` is the name of a slice itself."""
    if wanted in {"", "period=daily"}:
        return True
    return wanted == record.slice or wanted.rpartition("=")[2] == record.slice or record.slice.endswith(f"={wanted}")

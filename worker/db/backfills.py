"""Backfills and coverage, for people: what was asked of the past, how far it is, and what is covered of each slice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from collectors.stream import Snapshot, Stream, Window, Windows
from collectors.windows import horizon, kept_from, missing
from worker.db.standing import CONDITION, PAUSES, REASON

ASKED_BY = "backfill"  # as collect.request names it

_A_MOMENT = timedelta(minutes=1)  # between what a window was cut at and when it was written down, and more
_ONE_INSERT = timedelta(seconds=1)  # the requests of one backfill, a row for each slice, are written at once

ACCOUNT = text("SELECT id, organization_id, marketplace, name FROM core.marketplace_account WHERE id = ANY(:accounts)")

# What is under way from the same day on; where it ends is compared by its reader, as `now` may be meant.
UNDER_WAY = text("""
SELECT r.id, r.slice, r.created_at, upper(r.time_window) AS until FROM collect.request r
WHERE r.organization_id = :organization_id AND r.marketplace_account_id = :account_id AND r.stream = :stream
  AND r.done_at IS NULL AND r.asked_by = :asked_by AND lower(r.time_window) = :since
  AND (CAST(:slice AS text) IS NULL OR r.slice = :slice)
ORDER BY r.created_at DESC, r.id
""")

SIBLINGS = text("""
SELECT other.id, r.organization_id, r.marketplace_account_id, a.marketplace, r.stream
FROM collect.request r
JOIN core.marketplace_account a ON a.organization_id = r.organization_id AND a.id = r.marketplace_account_id
JOIN collect.request other ON other.organization_id = r.organization_id
  AND other.marketplace_account_id = r.marketplace_account_id AND other.stream = r.stream
  AND other.time_window = r.time_window AND other.asked_by = r.asked_by
  AND other.created_at BETWEEN r.created_at - CAST(:one_insert AS interval) AND r.created_at + :one_insert
WHERE r.id = :id
""").bindparams(one_insert=_ONE_INSERT)

PROGRESS = text(f"""
SELECT r.id, r.slice, lower(r.time_window) AS since, upper(r.time_window) AS until, r.collected, r.created_at,
       r.done_at, r.outcome, {CONDITION} AS condition, {REASON} AS reason, s.not_before,
       walked.pages, walked.records
FROM collect.request r
JOIN core.organization o ON o.id = r.organization_id
JOIN core.marketplace_account a ON a.organization_id = r.organization_id AND a.id = r.marketplace_account_id
JOIN collect.stream_state s ON s.organization_id = r.organization_id
  AND s.marketplace_account_id = r.marketplace_account_id AND s.stream = r.stream AND s.slice = r.slice
  AND s.lane = 'backfill'
{PAUSES}
CROSS JOIN LATERAL (
    SELECT coalesce(sum(w.pages), 0)::bigint AS pages, coalesce(sum(w.records), 0)::bigint AS records
    FROM collect.walk w
    WHERE w.organization_id = r.organization_id AND w.marketplace_account_id = r.marketplace_account_id
      AND w.stream = r.stream AND w.slice = r.slice AND w.lane = 'backfill'
      AND w.started_at >= r.created_at AND w.time_window && r.time_window
) walked
WHERE r.id = ANY(:ids)
ORDER BY r.slice
""")

# What the API no longer keeps can never be had. A watermark covers what lies before its last success.
COVERAGE = text("""
WITH bound AS (
    SELECT * FROM unnest(CAST(:marketplaces AS text[]), CAST(:streams AS text[]), CAST(:horizons AS timestamptz[]),
                         CAST(:oldest AS timestamptz[]), CAST(:endless AS boolean[]))
        AS b (marketplace, stream, horizon, oldest, endless)
), asked AS (
    SELECT organization_id, marketplace_account_id, stream, slice, range_agg(collected) AS collected,
           range_agg(tstzmultirange(time_window) - collected) FILTER (WHERE done_at IS NULL) AS open
    FROM collect.request WHERE time_window IS NOT NULL
      AND (CAST(:accounts AS uuid[]) IS NULL OR marketplace_account_id = ANY(:accounts))
    GROUP BY organization_id, marketplace_account_id, stream, slice
), had AS (
    SELECT c.organization_id, c.marketplace_account_id, s.marketplace, c.stream, c.slice, c.wanted_from, b.horizon,
           b.oldest, c.settled, coalesce(asked.open, '{}') AS open,
           tstzmultirange(tstzrange(c.wanted_from, greatest(c.wanted_from, b.horizon))) AS wanted,
           coalesce(asked.collected, '{}') + CASE WHEN NOT b.endless THEN c.covered
               WHEN s.last_success_at IS NULL THEN '{}'
               ELSE tstzmultirange(tstzrange(c.wanted_from, greatest(c.wanted_from, s.last_success_at))) END AS covered
    FROM collect.coverage c
    JOIN collect.stream_state s ON s.organization_id = c.organization_id
      AND s.marketplace_account_id = c.marketplace_account_id AND s.stream = c.stream AND s.slice = c.slice
      AND s.lane = 'live' AND s.state <> 'retired'
    JOIN bound b ON b.marketplace = s.marketplace AND b.stream = c.stream
    LEFT JOIN asked ON asked.organization_id = c.organization_id
      AND asked.marketplace_account_id = c.marketplace_account_id
      AND asked.stream = c.stream AND asked.slice = c.slice
    WHERE c.wanted_from IS NOT NULL
      AND (CAST(:accounts AS uuid[]) IS NULL OR c.marketplace_account_id = ANY(:accounts))
), lacking AS (
    SELECT *, wanted - covered + open AS lacks,
           CASE WHEN oldest IS NULL THEN '{}' ELSE tstzmultirange(tstzrange(NULL, oldest)) END AS gone
    FROM had
)
SELECT o.name AS organization, o.id AS organization_id, l.marketplace, a.name AS account,
       a.id AS marketplace_account_id, l.stream, l.slice, l.wanted_from, l.horizon, l.covered, l.settled,
       l.lacks - l.gone AS pending, l.lacks * l.gone AS impossible
FROM lacking l
JOIN core.marketplace_account a ON a.organization_id = l.organization_id AND a.id = l.marketplace_account_id
JOIN core.organization o ON o.id = l.organization_id
ORDER BY o.name, l.marketplace, a.name, l.stream, l.slice LIMIT :limit
""")


def bounds(streams: Iterable[Stream], now: datetime) -> dict[str, list[Any]]:
    """Return what COVERAGE wants to know of the streams that have a past: until when they tell, and since when."""
    past = [(stream, stream.progress) for stream in streams if not isinstance(stream.progress, Snapshot)]
    return {
        "marketplaces": [stream.marketplace.name for stream, _ in past],
        "streams": [stream.name for stream, _ in past],
        "horizons": [horizon(progress, now) if isinstance(progress, Windows) else now for _, progress in past],
        "oldest": [kept_from(progress, now) for _, progress in past],
        "endless": [not isinstance(progress, Windows) for _, progress in past],
    }


@dataclass(frozen=True, kw_only=True)
class Done:
    """How far a backfill is, over all of its slices."""

    windows: int
    of: int
    pages: int
    records: int
    outcomes: dict[str, int]  # of the slices that are done with; all of them are if `open` is 0
    open: int


def how_far(stream: Stream, rows: Iterable[Any]) -> Done:
    """Count the windows of a backfill that are read, from the rows of PROGRESS."""
    windows = of = pages = records = still = 0
    outcomes: dict[str, int] = {}
    for row in rows:
        all_of_it = _windows(stream, Window(row["since"], row["until"]), row["created_at"])
        of += len(all_of_it)
        pages += row["pages"]
        records += row["records"]
        if row["done_at"] is None:
            still += 1
        else:
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + 1
        windows += len(
            all_of_it
            if row["outcome"] == "collected"
            else [one for one in all_of_it if any(_holds(part, one) for part in row["collected"])]
        )
    return Done(windows=windows, of=of, pages=pages, records=records, outcomes=outcomes, open=still)


def is_the_same(stream: Stream, row: Any, until: datetime | None) -> bool:
    """Tell whether a backfill that is under way ends where one asked for now would; `until` None: now."""
    written = row["created_at"]
    end = horizon(stream.progress, written) if isinstance(stream.progress, Windows) else written
    newest = end - _A_MOMENT
    return bool(row["until"] == until if until is not None and until < newest else row["until"] >= newest)


def _windows(stream: Stream, window: Window, now: datetime) -> list[Window]:
    return missing(stream.progress, [window], now) if isinstance(stream.progress, Windows) else [window]


def _holds(part: Any, window: Window) -> bool:
    return bool(part.lower <= window.start and window.end <= part.upper)

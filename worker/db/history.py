"""What runs came to, for people: the newest first, and one of them with what it set aside."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

_RUN = """
SELECT r.id, r.started_at, r.finished_at, o.name AS organization, r.organization_id, r.marketplace, a.name AS account,
       r.marketplace_account_id, r.stream, r.slice, r.lane, r.outcome, r.pages, r.records, r.bytes, r.requests,
       r.seconds_waited, r.proxy, r.worker, r.error
FROM collect.run r
LEFT JOIN core.marketplace_account a ON a.organization_id = r.organization_id AND a.id = r.marketplace_account_id
LEFT JOIN core.organization o ON o.id = r.organization_id
"""

# By the ids, which are made at the runs' ends and have the time in them: their index is in that order, where one by
# time alone would cost every run something. The bounds on started_at leave months out.
RUNS = text(f"""{_RUN}
WHERE r.started_at >= :since AND r.started_at < :until AND r.id >= :first
  AND (CAST(:accounts AS uuid[]) IS NULL OR r.marketplace_account_id = ANY(:accounts))
  AND (CAST(:marketplace AS text) IS NULL OR r.marketplace = :marketplace)
  AND (CAST(:stream AS text) IS NULL OR r.stream = :stream)
  AND (CAST(:outcome AS text) IS NULL OR r.outcome = :outcome)
ORDER BY r.id DESC LIMIT :limit
""")

RUN = text(f"{_RUN} WHERE r.id = :id AND r.started_at >= :since AND r.started_at < :until")

# What came again is counted, not kept again, with the time of the last run that had it.
SET_ASIDE = text("""
SELECT id, at, page_number, status, times, reason, replayed_at, dropped_at FROM collect.quarantine
WHERE organization_id = :organization_id AND marketplace_account_id = :marketplace_account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND at >= :started_at AND at <= :finished_at
ORDER BY at
""")

STANDS = text("""
SELECT state, next_due_at, not_before, attempts, last_error FROM collect.stream_state
WHERE organization_id = :organization_id AND marketplace_account_id = :marketplace_account_id
  AND stream = :stream AND slice = :slice AND lane = :lane
""")


def first_id(at: datetime) -> UUID:
    """Return the smallest id (UUID v7) that can have been made at or after this moment."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


def made_at(run: UUID) -> float | None:
    """Return when an id was made, in seconds since 1970; None if that is not in it."""
    return (run.int >> 80) / 1000 if run.version == 7 else None

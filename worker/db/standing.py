"""How slices stand, for people: in what condition each is, and since when it is behind."""

from __future__ import annotations

from sqlalchemy import text

PROBLEMS = (
    *("organization paused", "account paused", "marketplace paused", "stream paused", "paused"),
    *("quarantined", "unavailable", "failing", "overdue"),
)

# The pauses that hold for everybody, of the whole marketplace and of the one stream; for CONDITION and REASON.
PAUSES = """
LEFT JOIN collect.pause whole ON whole.marketplace = s.marketplace AND whole.stream = ''
LEFT JOIN collect.pause one ON one.marketplace = s.marketplace AND one.stream = s.stream
"""

# The first that is true. Whoever pauses comes first: what is below it is not asked meanwhile.
CONDITION = """
CASE WHEN o.status <> 'active' THEN 'organization paused'
     WHEN a.status <> 'active' THEN 'account paused'
     WHEN whole.marketplace IS NOT NULL THEN 'marketplace paused'
     WHEN one.marketplace IS NOT NULL THEN 'stream paused'
     WHEN s.state <> 'active' THEN s.state
     WHEN s.lease_until > now() THEN 'running'
     WHEN s.attempts > 0 AND s.last_error IS NOT NULL THEN 'failing'
     WHEN s.not_before > now() THEN 'waiting'
     WHEN s.next_due_at IS NULL THEN 'idle'
     WHEN s.next_due_at < now() - interval '5 minutes' THEN 'overdue'
     WHEN s.next_due_at <= now() THEN 'due'
     ELSE 'ok' END
"""

# Why it is paused, or else what went wrong last.
REASON = """
coalesce(CASE WHEN o.status <> 'active' THEN o.status_reason
              WHEN a.status <> 'active' THEN a.status_reason
              ELSE coalesce(whole.reason, one.reason, s.state_reason) END, s.last_error)
"""

_STANDING = f"""
SELECT o.name AS organization, o.id AS organization_id, a.name AS account, a.id AS marketplace_account_id,
       s.marketplace, a.status AS account_status, a.status_reason AS account_status_reason, s.stream, s.slice, s.lane,
       s.state, {CONDITION} AS condition, {REASON} AS reason,
       CASE WHEN o.status <> 'active' THEN o.paused_until
            WHEN a.status <> 'active' THEN a.paused_until
            WHEN whole.marketplace IS NOT NULL THEN whole.until
            WHEN one.marketplace IS NOT NULL THEN one.until
            ELSE s.paused_until END AS paused_until,
       s.next_due_at, s.not_before, s.lease_until, s.attempts, s.last_success_at, s.last_error,
       CASE WHEN s.lane = 'live' AND s.state <> 'retired' THEN greatest(
           now() - coalesce(s.last_success_at + coalesce(s.every_override, s."interval"), s.created_at), interval '0'
       ) END AS lag
FROM collect.stream_state s
JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
JOIN core.organization o ON o.id = s.organization_id
{PAUSES}
WHERE (CAST(:accounts AS uuid[]) IS NULL OR a.id = ANY(:accounts))
  AND (CAST(:marketplace AS text) IS NULL OR s.marketplace = :marketplace)
  AND (CAST(:stream AS text) IS NULL OR s.stream = :stream)
  AND (s.state <> 'retired' OR CAST(:stream AS text) IS NOT NULL)
"""

_WANTED = "WHERE CAST(:conditions AS text[]) IS NULL OR condition = ANY(:conditions)"

# `lag`: for how long a slice has been due, by its interval, without being brought up to date.
# A row for each account and condition: ten thousand for a hundred thousand slices.
SUMMARY = text(f"""
WITH standing AS ({_STANDING})
SELECT organization, organization_id, marketplace, account, marketplace_account_id, condition, count(*) AS slices,
       max(lag) AS lag
FROM standing {_WANTED}
GROUP BY organization, organization_id, marketplace, account, marketplace_account_id, condition
""")

MOST_SUMMED = 5000
_SLICE = "organization_id, marketplace_account_id, stream, slice, lane"

# The last run, and how much was as before and not stored again, are looked up for the rows that are shown only: the one
# by a row at a time, the other by one pass, and not beyond so many slices. Of 20,000, the 3,360,000 runs of a week took
# 20 s on two busy cores, where a statement has 30. Times are told, so that months are left out.
SLICES = text(f"""
WITH standing AS ({_STANDING}), shown AS (
    SELECT * FROM standing {_WANTED}
    ORDER BY organization, marketplace, account, stream, slice, lane LIMIT :limit
), saved AS MATERIALIZED (
    SELECT {_SLICE}, sum(r.pages)::bigint AS pages, sum(r.pages_same)::bigint AS pages_same,
           sum(r.bytes)::bigint AS bytes, sum(r.bytes_same)::bigint AS bytes_same
    FROM (SELECT {_SLICE} FROM shown) wanted JOIN collect.run r USING ({_SLICE})
    WHERE r.started_at >= :saved_since AND r.started_at < :runs_until
      AND (SELECT count(*) <= {MOST_SUMMED} FROM shown)
    GROUP BY {_SLICE}
)
SELECT shown.*, run.id AS last_run_id, run.finished_at AS last_run_at, run.outcome AS last_run_outcome,
       few.zero + coalesce(saved.pages, 0) AS pages, few.zero + coalesce(saved.pages_same, 0) AS pages_same,
       few.zero + coalesce(saved.bytes, 0) AS bytes, few.zero + coalesce(saved.bytes_same, 0) AS bytes_same
FROM shown LEFT JOIN LATERAL (
    SELECT r.id, r.finished_at, r.outcome FROM collect.run r
    WHERE r.organization_id = shown.organization_id AND r.marketplace_account_id = shown.marketplace_account_id
      AND r.stream = shown.stream AND r.slice = shown.slice AND r.lane = shown.lane
      AND r.started_at >= :runs_since AND r.started_at < :runs_until
    ORDER BY r.started_at DESC LIMIT 1
) run ON true LEFT JOIN saved USING ({_SLICE})
CROSS JOIN (SELECT CASE WHEN count(*) <= {MOST_SUMMED} THEN 0 END AS zero FROM shown) few
ORDER BY organization, marketplace, account, stream, slice, lane
""")

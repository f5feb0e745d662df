"""Making the rows that say what an account collects, from the registry and from the streams that list slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import ListedBy, Snapshot, Stream, Windows
from collectors.windows import horizon
from worker.db.partitions import from_month
from worker.db.progress import AccountId
from worker.db.superseding import oldest_current
from worker.db.tenancy import OrganizationId

log = structlog.get_logger(__name__)

_LISTING_PAGES = """
SELECT payload, body FROM raw.pages({month}, 'infinity')
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id AND stream = :stream
  AND NOT superseded AND fetched_at >= :fetched_since
ORDER BY page_number
"""
_CLOCKS_DIFFER = timedelta(hours=1)

_WISHES = text("""
SELECT streams FROM core.marketplace_account WHERE organization_id = :organization_id AND id = :account_id
""")

# Only what differs is written: at 100,000 rows even the lock of an update that changes nothing costs. A slice that
# comes back after it was retired goes on from where it stood; one that is new is as its stream's other slices are.
_MAKE_STATES = text("""
INSERT INTO collect.stream_state AS s (organization_id, marketplace_account_id, marketplace, stream, slice, lane,
    "interval", next_due_at, every_override, state, state_reason, paused_until)
SELECT :organization_id, :account_id, :marketplace, w.stream, w.slice, 'live',
    coalesce(others.every_override, w.every), clock_timestamp(), others.every_override,
    CASE WHEN others.paused THEN 'paused' ELSE 'active' END, others.reason, others.until
FROM unnest(CAST(:streams AS text[]), CAST(:slices AS text[]), CAST(:every AS interval[])) w (stream, slice, every)
LEFT JOIN collect.stream_state old
    ON old.organization_id = :organization_id AND old.marketplace_account_id = :account_id
   AND old.stream = w.stream AND old.slice = w.slice AND old.lane = 'live'
LEFT JOIN LATERAL (
    SELECT max(o.every_override) AS every_override, bool_or(o.state = 'paused') AS paused,
        max(o.state_reason) FILTER (WHERE o.state = 'paused') AS reason, max(o.paused_until) AS until
    FROM collect.stream_state o
    WHERE o.organization_id = :organization_id AND o.marketplace_account_id = :account_id
      AND o.stream = w.stream AND o.lane = 'live'
) others ON true
WHERE old.stream IS NULL OR old.state = 'retired' OR old."interval" <> coalesce(others.every_override, w.every)
ORDER BY w.stream, w.slice
ON CONFLICT (organization_id, marketplace_account_id, stream, slice, lane) DO UPDATE
SET "interval" = excluded."interval", every_override = excluded.every_override,
    state = CASE WHEN s.state = 'retired' THEN excluded.state ELSE s.state END,
    state_reason = CASE WHEN s.state = 'retired' THEN excluded.state_reason ELSE s.state_reason END,
    paused_until = CASE WHEN s.state = 'retired' THEN excluded.paused_until ELSE s.paused_until END,
    next_due_at = CASE WHEN s.state = 'retired' THEN excluded.next_due_at
                       ELSE least(s.next_due_at, clock_timestamp() + excluded."interval") END
""")

_MAKE_COVERAGE = text("""
INSERT INTO collect.coverage (organization_id, marketplace_account_id, stream, slice, wanted_from)
SELECT :organization_id, :account_id, w.stream, w.slice, w.since
FROM unnest(CAST(:streams AS text[]), CAST(:slices AS text[]), CAST(:since AS timestamptz[])) w (stream, slice, since)
ON CONFLICT (organization_id, marketplace_account_id, stream, slice) DO NOTHING
""")

_RETIRE = text("""
UPDATE collect.stream_state SET state = 'retired', next_due_at = NULL
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND state NOT IN ('retired', 'paused') AND stream <> ALL (CAST(:unlisted AS text[]))
  AND (stream, slice) NOT IN (SELECT * FROM unnest(CAST(:streams AS text[]), CAST(:slices AS text[])))
""")

_CLOSE_REQUESTS = text("""
UPDATE collect.request r SET done_at = clock_timestamp(), outcome = 'retired'
FROM collect.stream_state s
WHERE r.organization_id = :organization_id AND r.marketplace_account_id = :account_id AND r.done_at IS NULL
  AND s.organization_id = r.organization_id AND s.marketplace_account_id = r.marketplace_account_id
  AND s.stream = r.stream AND s.slice = r.slice AND s.lane = 'live' AND s.state = 'retired'
""")


async def reconcile_account(
    session: AsyncSession,
    organization_id: OrganizationId,
    account_id: AccountId,
    streams: Mapping[str, Stream],
    now: datetime,
) -> None:
    """Make the rows of every stream and slice that the account wants, and retire those that are gone.

    What is paused stays so. The slices of a stream whose list cannot be read stay as they are.
    """
    of_account = {"organization_id": organization_id, "account_id": account_id}
    wanted: list[tuple[Stream, str]] = []
    unlisted: list[str] = []  # their list was never read, or cannot be: nothing is known of their slices
    only: list[str] | None = (await session.execute(_WISHES, of_account)).scalar_one()
    for stream in streams.values():
        if only is not None and stream.name not in only:
            continue
        if not isinstance(stream.slices, ListedBy):
            wanted += [(stream, name) for name in stream.slices]
            continue
        try:
            names = _listed(stream.slices, await _pages(session, of_account, streams[stream.slices.stream]))
        except (ValueError, LookupError, TypeError) as error:
            log.exception(
                "a list of slices cannot be read", stream=stream.name, account=str(account_id), why=str(error)
            )
            names = []
        if names:
            wanted += [(stream, name) for name in names]
        else:
            unlisted.append(stream.name)
    values = {
        **of_account,
        "marketplace": next(iter(streams.values())).marketplace.name,
        "unlisted": unlisted,
        "streams": [stream.name for stream, _ in wanted],
        "slices": [name for _, name in wanted],
        "every": [stream.every for stream, _ in wanted],
        "since": [begin(stream, now) for stream, _ in wanted],
    }
    for statement in (_MAKE_STATES, _MAKE_COVERAGE, _RETIRE, _CLOSE_REQUESTS):
        await session.execute(statement, values)


async def _pages(session: AsyncSession, of_account: Mapping[str, UUID], stream: Stream) -> list[bytes]:
    began = await oldest_current(session, of_account, [stream])
    if began is None:
        return []
    fetched_since = began - _CLOCKS_DIFFER
    values = {**of_account, "stream": stream.name, "fetched_since": fetched_since}
    pages = await session.execute(text(from_month(_LISTING_PAGES, fetched_since)), values)
    return [page.body or (page.payload or "").encode() for page in pages]


def begin(stream: Stream, now: datetime) -> datetime | None:
    """Return from when a new slice is wanted; None for a snapshot."""
    match stream.progress:
        case Snapshot():
            return None
        case Windows(since=since):
            return horizon(stream.progress, now - since)
        case progress:
            return (now - progress.since).replace(microsecond=0) + timedelta(seconds=1)


def _listed(slices: ListedBy, pages: Iterable[bytes]) -> list[str]:
    return list(dict.fromkeys(name for page in pages for name in slices.read(page)))


def lists_slices(stream: Stream, others: Iterable[Stream]) -> bool:
    """Tell whether one of the others has its slices from this stream."""
    return any(isinstance(other.slices, ListedBy) and other.slices.stream == stream.name for other in others)

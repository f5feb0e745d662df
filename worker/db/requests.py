"""What somebody asked for by hand or from another service, written down before anything else happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NewType
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Snapshot, Stream, Window, Windows
from collectors.windows import horizon, refuse_window
from worker.db.driver import Driver, Statement
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId

RequestId = NewType("RequestId", UUID)


class RequestRefusedByUs(ValueError):
    """It cannot be collected as asked. The message is one sentence: what is wrong, what to do."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks for what. Without a window: whatever is due by itself, now."""

    organization_id: OrganizationId
    account_id: AccountId
    stream: Stream
    slice: str | None = None  # None: every slice there is
    window: Window | None = None
    asked_by: str
    priority: int = 0


_ACCOUNT = text("""
SELECT a.marketplace, a.name, a.status, a.status_reason, o.status AS organization_status, o.status_reason AS its_reason,
    a.streams, clock_timestamp() AS now,
    (SELECT min(p.reason) FROM collect.pause p
     WHERE p.marketplace = a.marketplace AND p.stream IN ('', :stream)) AS paused_for_all
FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
WHERE a.organization_id = :organization_id AND a.id = :account_id
""")

_SLICES = text("""
SELECT slice, state = 'paused' AS paused, state_reason AS reason FROM collect.stream_state
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND lane = 'live' AND state <> 'retired'
  AND (CAST(:slice AS text) IS NULL OR slice = :slice)
ORDER BY slice
""")

_WRITE = text("""
INSERT INTO collect.request (organization_id, marketplace_account_id, stream, slice, time_window, priority, asked_by,
    created_at)
SELECT :organization_id, :account_id, :stream, slice,
    CASE WHEN CAST(:since AS timestamptz) IS NOT NULL THEN tstzrange(:since, :until) END, :priority, :asked_by,
    clock_timestamp()
FROM unnest(CAST(:slices AS text[])) slice
RETURNING id, slice
""")

# A live slice is due at once; a backfill's row is made when it is first asked for. What was set aside is tried again.
_WAKE = text("""
INSERT INTO collect.stream_state AS s (organization_id, marketplace_account_id, marketplace, stream, slice, lane,
    "interval", priority, next_due_at)
SELECT :organization_id, :account_id, :marketplace, :stream, slice, :lane, :interval, :priority, clock_timestamp()
FROM unnest(CAST(:slices AS text[])) slice
ORDER BY slice
ON CONFLICT (organization_id, marketplace_account_id, stream, slice, lane) DO UPDATE
SET next_due_at = clock_timestamp(), priority = least(s.priority, excluded.priority),
    attempts = CASE WHEN s.state = 'active' THEN s.attempts ELSE 0 END,
    not_before = CASE WHEN s.state = 'active' THEN s.not_before END, state = 'active'
""")

_GAPS = Statement("""
SELECT lower(gap) AS since, upper(gap) AS until
FROM collect.request, unnest(tstzmultirange(time_window) - collected) gap
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND done_at IS NULL AND time_window IS NOT NULL
ORDER BY priority, since
""")

_COLLECTED = Statement("""
UPDATE collect.request
SET collected = collected + tstzmultirange(tstzrange(:since, :until)),
    done_at = CASE WHEN collected + tstzmultirange(tstzrange(:since, :until)) @> time_window THEN clock_timestamp() END,
    outcome = CASE WHEN collected + tstzmultirange(tstzrange(:since, :until)) @> time_window THEN 'collected' END
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND done_at IS NULL AND time_window && tstzrange(:since, :until)
""")

_CLOSE = Statement("""
UPDATE collect.request SET done_at = clock_timestamp(), outcome = :outcome
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND done_at IS NULL
  AND created_at <= :before AND (time_window IS NOT NULL) = :windowed
""")


async def write_down(session: AsyncSession, asked: Asked) -> list[tuple[RequestId, SliceKey]]:
    """Write one request per slice and make the slices due. Raises RequestRefusedByUs, and then nothing is written."""
    now = await _refuse_what_cannot_be(session, asked)
    window = asked.window and _until_horizon(asked.stream, asked.window, now)
    key = SliceKey(
        organization_id=asked.organization_id,
        account_id=asked.account_id,
        marketplace=asked.stream.marketplace.name,
        stream=asked.stream.name,
        lane="live" if window is None else "backfill",
    )
    values: dict[str, Any] = {
        **key.columns(),
        "slices": await _slices(session, asked),
        "since": window and window.start,
        "until": window and window.end,
        "priority": asked.priority,
        "interval": asked.stream.every,
        "asked_by": asked.asked_by,
    }
    # First the slices' rows, which a run locks to begin and to end: so a request is older than a run that sees it, and
    # younger than one that does not, which then leaves it open.
    await session.execute(_WAKE, values)
    written = (await session.execute(_WRITE, values)).all()
    return [
        (
            RequestId(row.id),
            SliceKey(
                organization_id=key.organization_id,
                account_id=key.account_id,
                marketplace=key.marketplace,
                stream=key.stream,
                slice=row.slice,
                lane=key.lane,
            ),
        )
        for row in written
    ]


async def asked_gaps(driver: Driver, key: SliceKey) -> list[Window]:
    """Return what open requests still want of a slice."""
    return [Window(*gap) for gap in await _GAPS.fetch(driver, key.columns())]


async def mark_collected(driver: Driver, key: SliceKey, window: tuple[datetime, datetime]) -> None:
    """Count a complete walk of `window` to the requests that want some of it; close those that have all."""
    await _COLLECTED.execute(driver, {**key.columns(), "since": window[0], "until": window[1]})


async def close_requests(driver: Driver, key: SliceKey, *, outcome: str, before: datetime) -> None:
    """Close the requests of the lane that were written before a run began and that it has served as far as can be."""
    values = {"outcome": outcome, "before": before, "windowed": key.lane == "backfill"}
    await _CLOSE.execute(driver, {**key.columns(), **values})


async def _refuse_what_cannot_be(session: AsyncSession, asked: Asked) -> datetime:
    values = {"organization_id": asked.organization_id, "account_id": asked.account_id, "stream": asked.stream.name}
    row = (await session.execute(_ACCOUNT, values)).one_or_none()
    if row is None:
        raise RequestRefusedByUs(
            f"account {asked.account_id} does not exist in organization {asked.organization_id}: "
            "`collector account list` shows those that do"
        )
    if row.marketplace != asked.stream.marketplace.name:
        raise RequestRefusedByUs(
            f"account {row.name!r} is of {row.marketplace}, which has no stream of {asked.stream.marketplace.name}"
        )
    if "paused" in {row.status, row.organization_status}:
        reason = row.status_reason or row.its_reason
        raise RequestRefusedByUs(f"account {row.name!r} is paused" + (f": {reason}" if reason else ""))
    if row.paused_for_all is not None:
        raise RequestRefusedByUs(
            f"{row.marketplace}/{asked.stream.name} is paused for every account: {row.paused_for_all}"
        )
    if row.streams is not None and asked.stream.name not in row.streams:
        raise RequestRefusedByUs(
            f"account {row.name!r} is not to have the stream {asked.stream.name}: "
            f"`collector account set {asked.account_id} --streams …` says which it has"
        )
    if asked.window is not None:
        refuse_window(asked.stream, asked.window, row.now)
    return row.now  # type: ignore[no-any-return]  # a timestamptz


async def _slices(session: AsyncSession, asked: Asked) -> Sequence[str]:
    found = await session.execute(
        _SLICES,
        {
            "organization_id": asked.organization_id,
            "account_id": asked.account_id,
            "stream": asked.stream.name,
            "slice": asked.slice,
        },
    )
    rows = found.all()
    slices = [row.slice for row in rows if not row.paused]
    if slices:
        return slices
    name = f"{asked.stream.marketplace.name}/{asked.stream.name}"
    if rows:
        raise RequestRefusedByUs(
            f"{name} of this account is paused: {rows[0].reason}; "
            f"`collector resume --account {asked.account_id} --stream {asked.stream.name}` lets it go on"
        )
    if asked.slice is not None:
        raise RequestRefusedByUs(f"{name} of this account has no slice {asked.slice!r}")
    raise RequestRefusedByUs(f"{name} has no slices yet: they are listed by another stream that was not collected")


def _until_horizon(stream: Stream, window: Window, now: datetime) -> Window:
    """Cut off what the API cannot tell yet."""
    assert not isinstance(stream.progress, Snapshot), "refused before"
    if not isinstance(stream.progress, Windows):
        return window
    return Window(window.start, min(window.end, horizon(stream.progress, now)))


INTERACTIVE, SCHEDULED, BACKFILL = 0, 1, 2

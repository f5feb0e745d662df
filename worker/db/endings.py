"""The end of a run: the lease given back, the next due time, the record, and what was set aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from collectors.stream import Answer
from worker.db.accounts import pause_account
from worker.db.models import Quarantined, Run
from worker.db.progress import Lease, OpenWalk
from worker.db.requests import close_requests


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What becomes of a slice after a run."""

    outcome: str
    next_due_at: datetime | None  # None: when somebody asks
    wait: timedelta | None = None  # at least so long
    spends_attempt: bool = True  # False: nothing went wrong
    error: str | None = None
    state: str = "active"
    pause_account: bool = False
    quarantined: Answer | None = field(default=None, repr=False)
    closes_requests: bool = False


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What `collect.run` keeps of a run."""

    started_at: datetime
    pages: int
    records: int
    bytes: int
    requests: int
    seconds_waited: float
    proxy: str | None
    worker: str
    walk: OpenWalk | None  # where it ended
    page_number: int


# A request that was written while the run was under way makes the slice due again at once.
_GIVE_BACK = text("""
UPDATE collect.stream_state s
SET lease_token = NULL, lease_until = NULL, state = :state, last_error = :error,
    priority = CASE WHEN lane = 'live' THEN 1 ELSE 2 END,
    attempts = CASE WHEN :spends_attempt THEN attempts ELSE greatest(attempts - 1, 0) END,
    not_before = clock_timestamp() + CAST(:wait AS interval),
    last_success_at = CASE WHEN :success THEN clock_timestamp() ELSE last_success_at END,
    next_due_at = CASE WHEN EXISTS (
        SELECT FROM collect.request r
        WHERE r.organization_id = s.organization_id AND r.marketplace_account_id = s.marketplace_account_id
          AND r.stream = s.stream AND r.slice = s.slice AND r.done_at IS NULL AND r.created_at > :taken_at
          AND (r.time_window IS NULL) = (s.lane = 'live')
    ) THEN clock_timestamp() ELSE :next_due_at END
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND lease_token = :token
""")


async def end_run(session: AsyncSession, lease: Lease, ending: Ending, record: RunRecord) -> bool:
    """Give the lease back and write the run down. False, and nothing is written, if the lease was no longer ours."""
    key = lease.key
    given_back = await session.execute(
        _GIVE_BACK,
        {
            **key.columns(),
            "token": lease.token,
            "taken_at": lease.taken_at,
            "state": ending.state,
            "error": ending.error,
            "spends_attempt": ending.spends_attempt,
            "wait": ending.wait,
            "success": ending.closes_requests,
            "next_due_at": ending.next_due_at,
        },
    )
    if given_back.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE has it
        return False
    await session.execute(insert(Run).values(_run(lease, ending, record)))
    if ending.quarantined is not None:
        await session.execute(insert(Quarantined).values(_quarantined(lease, ending, record, ending.quarantined)))
    if ending.pause_account:
        await pause_account(session, key, ending.error or ending.outcome)
    if ending.closes_requests or ending.state != "active":
        outcome = "collected" if ending.closes_requests and key.lane == "live" else ending.outcome
        await close_requests(session, key, outcome=outcome, before=lease.taken_at)
    return True


def _run(lease: Lease, ending: Ending, record: RunRecord) -> dict[str, Any]:
    return {
        **_key_columns(lease),
        "id": uuid7(),
        "started_at": record.started_at,
        "finished_at": text("clock_timestamp()"),
        "outcome": ending.outcome,
        "pages": record.pages,
        "records": record.records,
        "bytes": record.bytes,
        "requests": record.requests,
        "seconds_waited": record.seconds_waited,
        "proxy": record.proxy,
        "worker": record.worker,
        "error": ending.error,
    }


def _quarantined(lease: Lease, ending: Ending, record: RunRecord, answer: Answer) -> dict[str, Any]:
    return {
        **_key_columns(lease),
        "walk_id": record.walk and record.walk.id,
        "walk_started_at": record.walk and record.walk.started_at,
        "page_number": record.page_number,
        "request": msgspec.json.encode(answer.request.stored()).decode(),
        "status": answer.status,
        "content_type": answer.content_type,
        "body": answer.body,
        "reason": ending.error or ending.outcome,
    }


def _key_columns(lease: Lease) -> dict[str, Any]:
    columns = lease.key.columns()
    columns["marketplace_account_id"] = columns.pop("account_id")
    return columns

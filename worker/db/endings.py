"""The end of a run: the lease given back, the next due time, the record, and what was set aside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
from worker.logs import mask_text

QUARANTINED = "quarantined"  # the outcome of a run that ended with an unacceptable answer

_LONGEST_REASON = 1000  # characters of what the API said


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What becomes of a slice after a run."""

    outcome: str
    next_due_at: datetime | None  # None: when somebody asks
    wait: timedelta | None = None  # at least so long
    spends_attempt: bool = True  # False: nothing went wrong
    most_attempts: int | None = None  # it is not the slice's fault, so no more than so many are held against it
    error: str | None = None
    state: str = "active"
    pause_account: bool = False
    quarantined: Answer | None = field(default=None, repr=False)
    patience: int = 1  # as many unacceptable answers in a row, and the slice waits for a person
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
SET lease_token = NULL, lease_until = NULL, last_error = :error,
    state = CASE WHEN state = 'active' THEN :state ELSE state END,
    priority = least(CASE WHEN lane = 'live' THEN 1 ELSE 2 END, (
        SELECT min(r.priority) FROM collect.request r
        WHERE r.organization_id = s.organization_id AND r.marketplace_account_id = s.marketplace_account_id
          AND r.stream = s.stream AND r.slice = s.slice AND r.done_at IS NULL
          AND (r.created_at > :serves_until OR NOT :success) AND (r.time_window IS NULL) = (s.lane = 'live'))),
    attempts = CASE WHEN :spends_attempt THEN least(attempts, CAST(:most_attempts AS integer))
                    ELSE greatest(attempts - 1, 0) END,
    not_before = clock_timestamp() + CAST(:wait AS interval),
    last_success_at = CASE WHEN :success THEN clock_timestamp() ELSE last_success_at END,
    next_due_at = CASE WHEN EXISTS (
        SELECT FROM collect.request r
        WHERE r.organization_id = s.organization_id AND r.marketplace_account_id = s.marketplace_account_id
          AND r.stream = s.stream AND r.slice = s.slice AND r.done_at IS NULL AND r.created_at > :serves_until
          AND (r.time_window IS NULL) = (s.lane = 'live')
    ) THEN clock_timestamp() ELSE :next_due_at END
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND lease_token = :token
""")


# Times are told, not now(): only then does the planner leave the other months out.
_EARLIER_RUNS = text("""
SELECT outcome, pages FROM collect.run
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND outcome <> 'put off'
  AND started_at >= :since AND started_at < :until
ORDER BY started_at DESC LIMIT :enough
""")


async def _is_out_of_patience(session: AsyncSession, lease: Lease, ending: Ending, record: RunRecord) -> bool:
    """Tell whether this answer and those of the runs before it, with no page in between, are too many."""
    in_a_row, kept = 1, record.pages
    values = {"since": lease.taken_at - timedelta(days=7), "until": lease.taken_at, "enough": ending.patience}
    for run in await session.execute(_EARLIER_RUNS, {**lease.key.columns(), **values}):
        if kept or run.outcome != QUARANTINED:
            break
        in_a_row, kept = in_a_row + 1, run.pages
    return in_a_row >= ending.patience


async def end_run(session: AsyncSession, lease: Lease, ending: Ending, record: RunRecord) -> bool:
    """Give the lease back and write the run down. False, and nothing is written, if the lease was no longer ours."""
    key = lease.key
    if ending.quarantined is not None and await _is_out_of_patience(session, lease, ending, record):
        ending = replace(ending, state="quarantined")
    given_back = await session.execute(
        _GIVE_BACK,
        {
            **key.columns(),
            "token": lease.token,
            "serves_until": lease.serves_until,
            "state": ending.state,
            "error": ending.error,
            "spends_attempt": ending.spends_attempt,
            "most_attempts": ending.most_attempts,
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
        await close_requests(session, key, outcome=outcome, before=lease.serves_until)
    return True


def sayable(why: str) -> str:
    """Return what was said as it can be stored and shown: short, without keys and what PostgreSQL takes for no text."""
    # Cut before masking, or a body of megabytes would be searched; and after, or half a key could be left at the end.
    said = mask_text(why[: 4 * _LONGEST_REASON]).replace("\0", "\ufffd")
    said = said.encode(errors="replace").decode()
    return said if len(said) <= _LONGEST_REASON else said[:_LONGEST_REASON] + " …"


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

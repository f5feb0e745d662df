"""The end of a run: the lease given back, the next due time, the record, and what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from uuid_utils.compat import uuid7

from worker.db.accounts import pause_account
from worker.db.driver import Driver, Statement
from worker.db.progress import Lease
from worker.db.quarantine import Refused, set_aside
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
    patience: int = (
        1  # after as many runs in a row that ended with an unacceptable answer, the slice waits for a person
    )
    goes_on_at: datetime | None = None  # … or goes on then, for the answer kept it from nothing else
    closes_requests: bool = False


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What `collect.run` keeps of a run."""

    started_at: datetime
    pages: int
    records: int
    bytes: int
    pages_same: int  # as they were in the walk before, and not stored again
    bytes_same: int
    requests: int
    seconds_waited: float
    proxy: str | None
    worker: str
    refused: Sequence[Refused] = field(repr=False)  # that are not in quarantine yet


# A request that was written while the run was under way makes the slice due again at once.
_GIVE_BACK = Statement("""
UPDATE collect.stream_state s
SET lease_token = NULL, lease_until = NULL,
    last_error = CASE WHEN state = 'unavailable' AND NOT :answered THEN last_error ELSE :error END,
    state = CASE WHEN state = 'active' OR (state = 'unavailable' AND :answered) THEN :state ELSE state END,
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

_WRITE_DOWN = Statement("""
INSERT INTO collect.run (id, organization_id, marketplace_account_id, marketplace, stream, slice, lane, started_at,
    finished_at, outcome, pages, records, bytes, pages_same, bytes_same, requests, seconds_waited, proxy, worker, error)
VALUES (:id, :organization_id, :marketplace_account_id, :marketplace, :stream, :slice, :lane, :started_at,
    clock_timestamp(), :outcome, :pages, :records, :bytes, :pages_same, :bytes_same, :requests, :seconds_waited, :proxy,
    :worker, :error)
""")

# Times are told, not now(): only then does the planner leave the other months out.
_EARLIER_RUNS = Statement("""
SELECT outcome, pages FROM collect.run
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND outcome <> 'put off'
  AND started_at >= :since AND started_at < :until
ORDER BY started_at DESC LIMIT :enough
""")


async def _is_out_of_patience(driver: Driver, lease: Lease, ending: Ending, record: RunRecord) -> bool:
    """Tell whether this answer and those of the runs before it are too many.

    A page in between begins the count again, unless all that was left to do was done each time.
    """
    in_a_row, kept = 1, record.pages
    values = {"since": lease.taken_at - timedelta(days=7), "until": lease.taken_at, "enough": ending.patience}
    for run in await _EARLIER_RUNS.fetch(driver, {**lease.key.columns(), **values}):
        if (kept and ending.goes_on_at is None) or run["outcome"] != QUARANTINED:
            break
        in_a_row, kept = in_a_row + 1, run["pages"]
    return in_a_row >= ending.patience


async def end_run(driver: Driver, lease: Lease, ending: Ending, record: RunRecord) -> bool:
    """Give the lease back and write the run down. False, and nothing is written, if the lease was no longer ours."""
    key = lease.key
    gives_up = ending.outcome == QUARANTINED and await _is_out_of_patience(driver, lease, ending, record)
    if gives_up and ending.goes_on_at is not None:
        ending = replace(ending, next_due_at=ending.goes_on_at, wait=None)
    elif gives_up:
        ending = replace(ending, state="quarantined")
    # What else became of the run says nothing of whether the account may have the stream.
    answered = ending.closes_requests or ending.state != "active" or ending.outcome == QUARANTINED or record.pages > 0
    given_back = await _GIVE_BACK.execute(
        driver,
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
            "answered": answered,
            "next_due_at": ending.next_due_at,
        },
    )
    if not given_back:
        return False
    run = {"id": uuid7(), **key.account_columns(), **vars(record), "outcome": ending.outcome, "error": ending.error}
    await _WRITE_DOWN.execute(driver, run)
    if record.refused:
        await set_aside(driver, key, record.refused)
    if ending.pause_account:
        await pause_account(driver, key, ending.error or ending.outcome)
    if ending.closes_requests or gives_up or ending.state != "active":
        outcome = "collected" if ending.closes_requests and key.lane == "live" else ending.outcome
        await close_requests(driver, key, outcome=outcome, before=lease.serves_until)
    return True


def sayable(why: str) -> str:
    """Return what was said as it can be stored and shown: short, without keys and what PostgreSQL takes for no text."""
    # Cut before masking, or a body of megabytes would be searched; and after, or half a key could be left at the end.
    said = mask_text(why[: 4 * _LONGEST_REASON]).replace("\0", "\ufffd")
    said = said.encode(errors="replace").decode()
    return said if len(said) <= _LONGEST_REASON else said[:_LONGEST_REASON] + " …"

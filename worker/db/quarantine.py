"""Answers that could not be accepted: set aside by a run, looked at and dealt with by an administrator."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Answer
from worker.db.administration import NotPossible
from worker.db.driver import Driver, Statement
from worker.db.position import Position, encode
from worker.db.progress import AccountId, Lease, SliceKey
from worker.db.tenancy import OrganizationId

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An answer that could not be accepted, without the account's keys, and where its slice stood then."""

    answer: Answer = field(repr=False)
    sha256: bytes  # of the body as it came
    reason: str
    position: Position


_FROM = """
FROM collect.quarantine q
JOIN core.marketplace_account a ON a.organization_id = q.organization_id AND a.id = q.marketplace_account_id
JOIN core.organization o ON o.id = q.organization_id
"""

_COLUMNS = """
q.id, q.at, o.name AS organization, q.organization_id, q.marketplace, a.name AS account, q.marketplace_account_id,
q.stream, q.slice, q.lane, q.walk_id, q.walk_started_at, q.page_number, q.status, q.content_type,
coalesce(octet_length(q.body), 0) AS size, q.times, q.reason,
q.replayed_at, q.dropped_at, CAST(q.request AS text) AS request
"""

_WANTED = """
WHERE (CAST(:organization_id AS uuid) IS NULL OR q.organization_id = :organization_id)
  AND (CAST(:account_id AS uuid) IS NULL OR q.marketplace_account_id = :account_id)
  AND (:dealt_with OR q.replayed_at IS NULL AND q.dropped_at IS NULL)
"""

# Without the bodies, which may be tens of megabytes each: their sizes are told without reading them.
_LIST = text(f"SELECT {_COLUMNS} {_FROM} {_WANTED} ORDER BY q.at DESC, q.id DESC LIMIT :limit")
_COUNT = text(f"SELECT count(*) FROM collect.quarantine q {_WANTED}")

_FIND = text(
    f"SELECT {_COLUMNS}, q.body, sha256(q.body) = q.sha256 AS whole, CAST(q.position AS text) AS position,"
    f" a.external_id AS seller {_FROM} WHERE q.id = :id"
)

_LOCK = text("SELECT FROM collect.quarantine WHERE id = :id FOR UPDATE")

_REPLAYED = text("UPDATE collect.quarantine SET replayed_at = clock_timestamp() WHERE id = :id")

_DROP = text("""
UPDATE collect.quarantine q SET dropped_at = clock_timestamp()
WHERE q.replayed_at IS NULL AND q.dropped_at IS NULL
  AND (CAST(:ids AS uuid[]) IS NULL OR q.id = ANY(:ids))
  AND (CAST(:account_id AS uuid) IS NULL OR q.marketplace_account_id = :account_id)
  AND (CAST(:stream AS text) IS NULL OR :stream IN (q.stream, q.marketplace || '/' || q.stream))
RETURNING q.id, q.organization_id, q.marketplace_account_id, q.marketplace, q.stream, q.slice, q.lane
""")

# One that an administrator has in hand is passed over: that transaction may wait for the slice's row, which is ours.
_COUNT_AGAIN = Statement("""
UPDATE collect.quarantine
SET times = times + 1, at = now(), walk_id = :walk_id, walk_started_at = :walk_started_at, page_number = :page_number,
    position = CAST(:position AS json), reason = :reason
WHERE id = (
    SELECT id FROM collect.quarantine
    WHERE organization_id = :organization_id AND marketplace_account_id = :marketplace_account_id
      AND stream = :stream AND slice = :slice AND lane = :lane AND replayed_at IS NULL AND dropped_at IS NULL
      AND sha256 = :sha256 AND status = :status AND CAST(request AS text) = :request
    ORDER BY at DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
""")

_SET_ASIDE = Statement("""
INSERT INTO collect.quarantine (organization_id, marketplace_account_id, marketplace, stream, slice, lane, walk_id,
    walk_started_at, page_number, position, request, status, sha256, reason, content_type, body)
VALUES (:organization_id, :marketplace_account_id, :marketplace, :stream, :slice, :lane, :walk_id,
    :walk_started_at, :page_number, :position, :request, :status, :sha256, :reason, :content_type, :body)
""")

# Not what was retired. What is unavailable stays so until it answers. A worker that is at it keeps its lease.
_WAKE = text("""
UPDATE collect.stream_state
SET state = CASE WHEN state = 'unavailable' THEN state ELSE 'active' END,
    next_due_at = clock_timestamp(), not_before = NULL, attempts = 0,
    lease_until = CASE WHEN lease_token = :token THEN NULL ELSE lease_until END,
    lease_token = nullif(lease_token, :token)
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id
  AND stream = :stream AND slice = :slice AND lane = :lane AND state IN ('active', 'unavailable', 'quarantined')
""")


async def set_aside(driver: Driver, key: SliceKey, refused: Sequence[Refused]) -> None:
    """Put answers into quarantine, in the transaction of whoever holds the slice's lease.

    One that has come before, to the same request, and waits there is counted, with where the slice stands now.
    """
    for one in refused:
        answer, walk = one.answer, one.position.walk
        values = {
            **key.account_columns(),
            "walk_id": walk and walk.id,
            "walk_started_at": walk and walk.started_at,
            "page_number": one.position.page_number,
            "position": encode(one.position),
            "request": msgspec.json.encode(answer.request.stored()).decode(),
            "status": answer.status,
            "sha256": one.sha256,
            "reason": one.reason,
            "content_type": answer.content_type,
            "body": answer.body,
        }
        if not await _COUNT_AGAIN.execute(driver, values):
            await _SET_ASIDE.execute(driver, values)


async def list_quarantine(
    session: AsyncSession,
    *,
    organization_id: OrganizationId | None,
    account_id: UUID | None,
    dealt_with: bool,
    limit: int,
) -> tuple[list[Row], int]:
    """Return what is in quarantine, newest first, and how many there are beyond the limit.

    `dealt_with`: also what was replayed or dropped.
    """
    values = {"organization_id": organization_id, "account_id": account_id, "dealt_with": dealt_with}
    found = await session.execute(_LIST, {**values, "limit": limit})
    rows: list[Row] = [dict(row) for row in found.mappings()]
    return rows, int((await session.execute(_COUNT, values)).scalar_one()) - len(rows)


async def find_quarantined(session: AsyncSession, quarantined_id: UUID) -> Row:
    """Return one answer with its body. Raises NotPossible if there is none.

    `whole` is False if the account's keys were taken out, None if an earlier release did not note what came.
    """
    row = (await session.execute(_FIND, {"id": quarantined_id})).mappings().one_or_none()
    if row is None:
        raise NotPossible(
            f"nothing in quarantine has the id {quarantined_id}: `collector quarantine list` shows what there is"
        )
    return dict(row)


async def find_undecided(session: AsyncSession, quarantined_id: UUID) -> Row:
    """The same, locked until the transaction's end. Raises NotPossible if it was dealt with already."""
    await session.execute(_LOCK, {"id": quarantined_id})
    row = await find_quarantined(session, quarantined_id)
    for what in ("replayed", "dropped"):
        if (at := row[f"{what}_at"]) is not None:
            raise NotPossible(f"this answer was {what} already, at {at:%Y-%m-%d %H:%M:%S} UTC: nothing is left to do")
    return row


async def drop(session: AsyncSession, ids: Collection[UUID]) -> list[SliceKey]:
    """Give answers up, and let their slices ask the marketplace again; returns the slice of each.

    Raises NotPossible if one of them is dealt with or unknown, and then none is.
    """
    rows = await _drop(session, ids=list(ids))
    for missing in set(ids) - {row["id"] for row in rows}:
        await find_undecided(session, missing)  # says why it was not dropped
    return [key_of(row) for row in rows]


async def drop_all(session: AsyncSession, *, account_id: UUID | None, stream: str | None) -> list[SliceKey]:
    """Give up all that waits of an account, of a stream, or of both. Raises NotPossible if there is nothing."""
    rows = await _drop(session, account_id=account_id, stream=stream)
    if not rows:
        raise NotPossible("there is nothing to drop: `collector quarantine list` shows what there is")
    return [key_of(row) for row in rows]


async def _drop(
    session: AsyncSession, *, ids: list[UUID] | None = None, account_id: UUID | None = None, stream: str | None = None
) -> list[Row]:
    dropped = await session.execute(_DROP, {"ids": ids, "account_id": account_id, "stream": stream})
    rows: list[Row] = [dict(row) for row in dropped.mappings()]
    for key in sorted({key_of(row) for row in rows}, key=lambda key: (key.account_id, str(key))):
        await session.execute(_WAKE, {**key.columns(), "token": None})
    return rows


async def mark_replayed(session: AsyncSession, quarantined_id: UUID, lease: Lease) -> None:
    """Say that an answer was accepted after all, give the lease back, and let the slice go on behind it."""
    await session.execute(_REPLAYED, {"id": quarantined_id})
    await session.execute(_WAKE, {**lease.key.columns(), "token": lease.token})


def key_of(row: Row) -> SliceKey:
    return SliceKey(
        organization_id=OrganizationId(row["organization_id"]),
        account_id=AccountId(row["marketplace_account_id"]),
        marketplace=row["marketplace"],
        stream=row["stream"],
        slice=row["slice"],
        lane=row["lane"],
    )

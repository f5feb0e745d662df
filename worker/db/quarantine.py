"""Answers that could not be accepted: set aside by a run, looked at and dealt with by an administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Answer
from worker.db.administration import NotPossible
from worker.db.models import Quarantined
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
coalesce(octet_length(q.body), 0) AS size, q.reason,
q.replayed_at, q.dropped_at, CAST(q.request AS text) AS request
"""

_LIST = text(f"""
SELECT {_COLUMNS} {_FROM}
WHERE (CAST(:organization_id AS uuid) IS NULL OR q.organization_id = :organization_id)
  AND (CAST(:account_id AS uuid) IS NULL OR q.marketplace_account_id = :account_id)
  AND (:dealt_with OR q.replayed_at IS NULL AND q.dropped_at IS NULL)
ORDER BY q.at, q.id
""")

_FIND = text(
    f"SELECT {_COLUMNS}, q.body, sha256(q.body) = q.sha256 AS whole, CAST(q.position AS text) AS position,"
    f" a.external_id AS seller {_FROM} WHERE q.id = :id"
)

_LOCK = text("SELECT FROM collect.quarantine WHERE id = :id FOR UPDATE")

_REPLAYED = text("UPDATE collect.quarantine SET replayed_at = clock_timestamp() WHERE id = :id")
_DROPPED = text("UPDATE collect.quarantine SET dropped_at = clock_timestamp() WHERE id = :id")

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


async def set_aside(session: AsyncSession, key: SliceKey, refused: Sequence[Refused]) -> None:
    """Put answers into quarantine, in the transaction of whoever holds the slice's lease."""
    for one in refused:
        answer, walk = one.answer, one.position.walk
        await session.execute(
            insert(Quarantined).values(
                **key.account_columns(),
                walk_id=walk and walk.id,
                walk_started_at=walk and walk.started_at,
                page_number=one.position.page_number,
                position=encode(one.position),
                request=msgspec.json.encode(answer.request.stored()).decode(),
                status=answer.status,
                content_type=answer.content_type,
                body=answer.body,
                sha256=one.sha256,
                reason=one.reason,
            )
        )


async def list_quarantine(
    session: AsyncSession, *, organization_id: OrganizationId | None, account_id: UUID | None, dealt_with: bool
) -> list[Row]:
    """Return what is in quarantine, oldest first; `dealt_with`: also what was replayed or dropped."""
    values = {"organization_id": organization_id, "account_id": account_id, "dealt_with": dealt_with}
    return [dict(row) for row in (await session.execute(_LIST, values)).mappings()]


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


async def drop(session: AsyncSession, quarantined_id: UUID) -> SliceKey:
    """Give an answer up, and let its slice ask the marketplace again; returns the slice."""
    key = key_of(await find_undecided(session, quarantined_id))
    await session.execute(_DROPPED, {"id": quarantined_id})
    await session.execute(_WAKE, {**key.columns(), "token": None})
    return key


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

"""Pauses that a person orders: of an organization, an account, a stream, a marketplace. For collector_admin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from worker.db.administration import NotPossible, Row, resume_account
from worker.db.progress import AccountId
from worker.db.tenancy import OrganizationId


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is paused: an organization, an account or one stream of it, or for everybody a marketplace or its stream."""

    organization_id: OrganizationId | None = None
    account_id: AccountId | None = None
    marketplace: str | None = None
    stream: str | None = None


_PAUSE_ORGANIZATION = text("""
UPDATE core.organization SET status = 'paused', status_reason = :reason, paused_until = :until
WHERE id = :organization_id
""")

_PAUSE_ACCOUNT = text("""
UPDATE core.marketplace_account SET status = 'paused', status_reason = :reason, paused_until = :until
WHERE id = :account_id
""")

# The end of a pause makes active what was paused, so what a person has to mend first must not become it.
_PAUSE_STREAM = text("""
UPDATE collect.stream_state SET state = 'paused', state_reason = :reason, paused_until = :until
WHERE marketplace_account_id = :account_id AND stream = :stream AND state IN ('active', 'paused')
""")

_LEFT_ALONE = text("""
SELECT state, count(*) AS slices FROM collect.stream_state
WHERE marketplace_account_id = :account_id AND stream = :stream AND state IN ('quarantined', 'unavailable')
GROUP BY state ORDER BY state
""")

_PAUSE_FOR_ALL = text("""
INSERT INTO collect.pause (marketplace, stream, reason, until) VALUES (:marketplace, :stream, :reason, :until)
ON CONFLICT (marketplace, stream) DO UPDATE SET reason = excluded.reason, until = excluded.until
""")

_RESUME_ORGANIZATION = text("""
UPDATE core.organization SET status = 'active', status_reason = NULL, paused_until = NULL
WHERE id = :organization_id AND status = 'paused'
""")

_RESUME_STREAM = text("""
UPDATE collect.stream_state
SET state = 'active', state_reason = NULL, paused_until = NULL, attempts = 0, not_before = NULL
WHERE marketplace_account_id = :account_id AND stream = :stream AND state = 'paused'
""")

_RESUME_FOR_ALL = text("DELETE FROM collect.pause WHERE marketplace = :marketplace AND stream = :stream")

_FOR_ALL = text("SELECT marketplace, stream, reason, until, created_at FROM collect.pause ORDER BY marketplace, stream")

# Longest out of use first. A live row that is `paused` or `quarantined` waits for a person, `unavailable` for a day.
_STATES = text("""
SELECT o.name AS organization, a.name AS account, a.id AS account_id, s.marketplace, s.stream, s.slice, s.lane, s.state,
    coalesce(s.state_reason, s.last_error) AS reason, s.paused_until, s."interval" AS every,
    s.every_override IS NOT NULL AS overridden, s.attempts, s.last_success_at, s.updated_at AS since
FROM collect.stream_state s
JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
JOIN core.organization o ON o.id = s.organization_id
WHERE (CAST(:account_id AS uuid) IS NULL OR a.id = :account_id)
  AND s.state = ANY (CAST(:states AS text[]))
ORDER BY o.name, s.marketplace, a.name, s.stream, s.slice, s.lane
""")

DEAD = ("quarantined", "unavailable", "paused")
KNOWN = ("active", *DEAD)


async def pause(session: AsyncSession, place: Place, reason: str, until: datetime | None) -> str:
    """Offer nothing of it any more, until then or until somebody resumes it. What runs ends at its own pace.

    Returns what of a stream was left as it is, since it is out of use already: "2 quarantined, 1 unavailable", or "".
    Raises NotPossible if that is all there is.
    """
    values = {"reason": reason, "until": until}
    if place.organization_id is not None:
        await session.execute(_PAUSE_ORGANIZATION, {**values, "organization_id": place.organization_id})
    elif place.account_id is not None and place.stream is None:
        await session.execute(_PAUSE_ACCOUNT, {**values, "account_id": place.account_id})
    elif place.account_id is not None:
        return await _pause_stream(session, {"account_id": place.account_id, "stream": place.stream}, values)
    else:
        for_all = {"marketplace": place.marketplace, "stream": place.stream or ""}
        await session.execute(_PAUSE_FOR_ALL, {**values, **for_all})
    return ""


async def _pause_stream(session: AsyncSession, of_stream: Mapping[str, object], values: Mapping[str, object]) -> str:
    paused = await session.execute(_PAUSE_STREAM, {**values, **of_stream})
    left = ", ".join(f"{row.slices} {row.state}" for row in await session.execute(_LEFT_ALONE, of_stream))
    if paused.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE has it
        stream, account = of_stream["stream"], of_stream["account_id"]
        raise NotPossible(
            f"all of the stream {stream} is out of use already ({left}) and stays so: "
            f"`collector stream list --dead --account {account}` says why"
            if left
            else f"the account has nothing of the stream {stream} to pause: "
            f"`collector stream list --account {account}` shows what it has"
        )
    return left


async def resume(session: AsyncSession, place: Place) -> None:
    """Let it go on. Raises NotPossible if it was not paused."""
    if place.organization_id is not None:
        resumed = await session.execute(_RESUME_ORGANIZATION, {"organization_id": place.organization_id})
    elif place.account_id is not None and place.stream is None:
        await resume_account(session, place.account_id)
        return
    elif place.account_id is not None:
        resumed = await session.execute(_RESUME_STREAM, {"account_id": place.account_id, "stream": place.stream})
    else:
        for_all = {"marketplace": place.marketplace, "stream": place.stream or ""}
        resumed = await session.execute(_RESUME_FOR_ALL, for_all)
    if resumed.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE has it
        raise NotPossible("that is not paused: `collector stream list --dead` shows what is")


async def list_pauses(session: AsyncSession) -> list[Row]:
    """Return the marketplaces and streams that are paused for everybody."""
    return [dict(row) for row in (await session.execute(_FOR_ALL)).mappings()]


async def list_streams(session: AsyncSession, account_id: AccountId | None, *, dead: bool) -> list[Row]:
    """Return the slices of one account or of all, with the reason of those that are out of use (`dead`: only those)."""
    values = {"account_id": account_id, "states": list(DEAD if dead else KNOWN)}
    return [dict(row) for row in (await session.execute(_STATES, values)).mappings()]

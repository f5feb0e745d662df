"""What the database knows of the accounts' keys: until when they are good, and when somebody last looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from worker.db.progress import AccountId
from worker.db.tenancy import OrganizationId


@dataclass(frozen=True, kw_only=True)
class KeyRow:
    """The key of one active account; nothing of it is secret."""

    organization: str
    organization_id: OrganizationId
    account: str  # its name
    marketplace_account_id: AccountId
    marketplace: str
    key_expires_at: datetime | None
    key_checked_at: datetime | None


_KEYS = text("SELECT * FROM collect.keys()")

# Of the workers that find it due at the same time, one gets it.
_CLAIM = text("""
UPDATE core.marketplace_account SET key_checked_at = clock_timestamp()
WHERE organization_id = :organization_id AND id = :account_id
  AND (key_checked_at IS NULL OR key_checked_at < clock_timestamp() - CAST(:every AS interval))
RETURNING id
""")

_RECORD = text("""
UPDATE core.marketplace_account SET key_checked_at = clock_timestamp(), key_expires_at = :expires_at
WHERE organization_id = :organization_id AND id = :account_id
RETURNING old.key_expires_at IS DISTINCT FROM new.key_expires_at AS is_another
""")

# What has brought data is left for the API itself to refuse; and what somebody asked for ends as every request does.
_LEAVE_OUT = text("""
UPDATE collect.stream_state s
SET state = 'unavailable', last_error = w.why, next_due_at = clock_timestamp() + interval '1 day'
FROM unnest(CAST(:streams AS text[]), CAST(:whys AS text[])) w (stream, why)
WHERE s.organization_id = :organization_id AND s.marketplace_account_id = :account_id AND s.stream = w.stream
  AND s.lane = 'live' AND s.state = 'active' AND s.last_success_at IS NULL
  AND (s.lease_until IS NULL OR s.lease_until <= clock_timestamp())
  AND NOT EXISTS (
      SELECT FROM collect.request r
      WHERE r.organization_id = s.organization_id AND r.marketplace_account_id = s.marketplace_account_id
        AND r.stream = s.stream AND r.slice = s.slice AND r.done_at IS NULL)
""")

_TRY_AGAIN = text("""
UPDATE collect.stream_state SET next_due_at = clock_timestamp(), not_before = NULL
WHERE organization_id = :organization_id AND marketplace_account_id = :account_id AND state = 'unavailable'
  AND stream <> ALL (CAST(:streams AS text[]))
""")


async def read_keys(session: AsyncSession) -> list[KeyRow]:
    """Return the keys of all active accounts of all tenants."""
    return [KeyRow(**row._mapping) for row in await session.execute(_KEYS)]  # noqa: SLF001


async def claim_check(
    session: AsyncSession, organization_id: OrganizationId, account_id: AccountId, *, every: timedelta
) -> bool:
    """Take the right to look at a key that nobody looked at for so long. False: somebody did."""
    values = {"organization_id": organization_id, "account_id": account_id, "every": every}
    return (await session.execute(_CLAIM, values)).first() is not None


async def record_key(
    session: AsyncSession,
    organization_id: OrganizationId,
    account_id: AccountId,
    *,
    expires_at: datetime | None,
    refused: Mapping[str, str],
    retry: bool = False,
) -> None:
    """Write down what is known of a key. `refused`: the streams that it cannot have → why.

    Those are left out if they never brought data. The others that are unavailable are tried at once if the key is
    another than before, or with `retry`.
    """
    values = {"organization_id": organization_id, "account_id": account_id}
    of_refused = {"streams": list(refused), "whys": list(refused.values())}
    is_another = (await session.execute(_RECORD, {**values, "expires_at": expires_at})).scalar_one()
    await session.execute(_LEAVE_OUT, {**values, **of_refused})
    if is_another or retry:
        await session.execute(_TRY_AGAIN, {**values, "streams": of_refused["streams"]})

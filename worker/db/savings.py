"""What was not stored because it is as it was: pages that point at the same page of the walk before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Of a slice and lane: what came, and how much of it was pointed at and not stored again."""

    organization_id: UUID
    marketplace_account_id: UUID
    stream: str
    slice: str
    lane: str
    pages: int
    pages_same: int
    bytes: int
    bytes_same: int

    @property
    def share(self) -> float:
        """Return which part of the bytes was saved, from 0 to 1."""
        return self.bytes_same / self.bytes if self.bytes else 0.0


_SAVINGS = text("SELECT * FROM collect.savings(:since, :until)")


async def savings(session: AsyncSession, since: datetime, until: datetime) -> list[Saving]:
    """Return what the runs begun in `[since, until)` saved, for each slice and lane that brought a page.

    Of all tenants: it needs no tenant's transaction. Runs of before release 0011 count as if they had saved nothing.
    """
    return [Saving(**row) for row in (await session.execute(_SAVINGS, {"since": since, "until": until})).mappings()]

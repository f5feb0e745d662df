"""What an account wants other than the registry says: which streams, and how often. For collector_admin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Stream
from worker.db.administration import NotPossible
from worker.db.progress import AccountId
from worker.db.reconcile import reconcile_account
from worker.db.tenancy import OrganizationId

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=31)


@dataclass(frozen=True, kw_only=True)
class FoundAccount:
    """An account that somebody named."""

    id: AccountId
    organization_id: OrganizationId
    marketplace: str
    name: str


_FIND = text("""
SELECT id, organization_id, marketplace, name FROM core.marketplace_account
WHERE name = :named OR id::text = lower(:named) ORDER BY id LIMIT 2
""")

_SET_STREAMS = text("UPDATE core.marketplace_account SET streams = CAST(:streams AS text[]) WHERE id = :account_id")

# A shorter interval counts from now on. Those that are retired keep it for when they come back.
_SET_EVERY = text("""
UPDATE collect.stream_state
SET every_override = :wished, "interval" = coalesce(:wished, CAST(:usual AS interval)),
    next_due_at = CASE WHEN state <> 'retired'
        THEN least(next_due_at, clock_timestamp() + coalesce(:wished, CAST(:usual AS interval))) END
WHERE marketplace_account_id = :account_id AND stream = :stream AND lane = 'live'
""")

_NOW = text("SELECT clock_timestamp()")


async def find_account(session: AsyncSession, named: str) -> FoundAccount:
    """Find an account by its id, or by its name if no other has it. Raises NotPossible."""
    found = (await session.execute(_FIND, {"named": named})).mappings().all()
    if not found:
        raise NotPossible(f"no account is called {named!r}: `collector account list` shows those there are")
    if len(found) > 1:
        raise NotPossible(f"several accounts are called {named!r}: give the id that `collector account list` shows")
    return FoundAccount(**found[0])


def chosen(streams: Mapping[str, Stream], marketplace: str, names: Sequence[str]) -> list[str]:
    """Return the named streams and all that bring their slices and ids, in the registry's order. Raises NotPossible."""
    wanted: set[str] = set()
    more = {named_stream(streams, marketplace, name).name for name in names}
    while more:
        wanted |= more
        more = {needed for name in more for needed in streams[name].needs_streams} - wanted
    return [name for name in streams if name in wanted]


def named_stream(streams: Mapping[str, Stream], marketplace: str, name: str) -> Stream:
    """Find a stream by its name, with or without the marketplace's. Raises NotPossible with the nearest names."""
    found = streams.get(name.strip().removeprefix(f"{marketplace}/"))
    if found is None:
        near = get_close_matches(name, streams, n=3, cutoff=0.5)
        instead = f"did you mean {' or '.join(near)}?" if near else f"`collector streams --marketplace {marketplace}`"
        raise NotPossible(f"{marketplace} has no stream {name!r}: {instead}")
    return found


async def set_streams(
    session: AsyncSession, account: FoundAccount, names: Sequence[str] | None, streams: Mapping[str, Stream]
) -> None:
    """Collect only these streams of the account, or all there are; what it no longer has keeps its position."""
    values = {"account_id": account.id, "streams": None if names is None else list(names)}
    await session.execute(_SET_STREAMS, values)
    now = (await session.execute(_NOW)).scalar_one()
    await reconcile_account(session, account.organization_id, account.id, streams, now)


async def set_every(session: AsyncSession, account: FoundAccount, stream: Stream, every: timedelta | None) -> None:
    """Collect a stream of the account this often, or as often as the registry says. Raises NotPossible."""
    if every is not None and not SHORTEST <= every <= LONGEST:
        raise NotPossible("an interval is from one minute to 31 days: write 30min, 2h or 1d")
    values = {"account_id": account.id, "stream": stream.name, "wished": every, "usual": stream.every}
    changed = await session.execute(_SET_EVERY, values)
    if changed.rowcount == 0:  # type: ignore[attr-defined]  # an UPDATE has it
        raise NotPossible(
            f"account {account.name!r} has nothing of the stream {stream.name}: "
            f"`collector stream list --account {account.id}` shows what it has"
        )

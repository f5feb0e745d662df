"""The keys of accounts: each is looked at once a day for what it may do and until when, and its end is warned of ahead.

What a key says of itself costs no request. A marketplace whose keys say little is asked one question more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from collectors.errors import AccountRefused, CollectError
from collectors.keys import Knowledge, Preflight, ignored, refused_streams
from collectors.stream import Answer, Request, Secret, Stream
from worker.db.accounts import Account, load_account, load_proxies
from worker.db.endings import sayable
from worker.db.keys import KeyRow, claim_check, read_keys, record_key
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId, system_transaction, tenant_driver, tenant_transaction
from worker.http.fetch import AccountFetch
from worker.resources import Resources
from worker.secrets import Resolve, SecretUnavailable
from worker.ways import proxies_of

log = structlog.get_logger(__name__)

WARN_WITHIN = timedelta(days=14)
CHECKED_EVERY = timedelta(days=1)
_AT_ONCE = 8  # accounts

Ask = Callable[[Request, Secret], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found of an account's key. Nothing of it is secret."""

    knowledge: Knowledge = field(default_factory=Knowledge)
    resolves: bool = True
    asked: bool = False  # the marketplace answered
    is_complete: bool = False  # all that can be known is known
    refused: Mapping[str, str] = field(default_factory=dict)  # stream → why the key cannot have it
    problems: tuple[str, ...] = ()  # what has to be mended, a sentence each
    notes: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether it may be written down: what could not be asked must not take the place of an earlier answer."""
        return self.resolves and self.is_complete


def days_left(expires_at: datetime, now: datetime) -> int:
    """Return the whole days that a key is yet good for; negative when it is over."""
    return (expires_at - now) // timedelta(days=1)


async def look_at(
    account: Account, streams: Iterable[Stream], *, resolve: Resolve, now: datetime, ask: Ask | None, thorough: bool
) -> Checked:
    """Look at an account's key. `ask`: how to ask the marketplace; None: not at all.

    `thorough`: ask even where the key says as much, to see that it is taken.
    """
    streams = list(streams)
    marketplace = streams[0].marketplace
    try:
        secret = await resolve(account.secret_ref, marketplace.secret_fields, fresh=True)
    except SecretUnavailable as error:
        return Checked(resolves=False, problems=(str(error),))
    knowledge = Knowledge() if marketplace.knows is None else marketplace.knows(secret)
    preflight = marketplace.preflight
    names = list(ignored(marketplace, secret))
    asked, problems = False, [name.words for name in names if name.misspelt]
    notes = [name.words for name in names if not name.misspelt]
    if ask is not None and preflight is not None and (preflight.tells_more or thorough):
        try:
            knowledge = knowledge.with_more(await _told(preflight, ask, secret))
            asked = True
        except AccountRefused as error:
            problems.append(sayable(str(error)))
        except (CollectError, SecretUnavailable) as error:
            notes.append(f"{marketplace.name} did not tell: {sayable(str(error))}")
    problems += _wrong(knowledge, account.external_id, now)
    return Checked(
        knowledge=knowledge,
        asked=asked,
        is_complete=asked or preflight is None or not preflight.tells_more,
        refused=refused_streams(knowledge, streams, seller=account.external_id, now=now),
        problems=tuple(problems),
        notes=tuple(notes),
    )


async def _told(preflight: Preflight, ask: Ask, secret: Secret) -> Knowledge:
    # Not repeatable: one request, whatever comes of it.
    return preflight.read(await ask(replace(preflight.request, repeatable=False), secret))


def _wrong(knowledge: Knowledge, seller: str, now: datetime) -> Iterable[str]:
    if others := sorted(knowledge.sellers - {seller}):
        yield f"the key is of the seller {', '.join(others)} and the account of {seller}: correct one of them"
    expires_at = knowledge.expires_at
    if expires_at is not None and expires_at <= now:
        yield f"the key expired on {expires_at:%Y-%m-%d}: give the account a new one, then `collector account resume`"


async def check_account(
    resources: Resources,
    organization_id: OrganizationId,
    account_id: AccountId,
    marketplace: str,
    *,
    by_hand: bool = False,
) -> Checked:
    """Look at an account's key, ask its marketplace if that tells more (or `by_hand`), and write down what is known.

    The request goes out as every other of the account does.
    """
    key = SliceKey(organization_id=organization_id, account_id=account_id, marketplace=marketplace, stream="key")
    async with tenant_driver(resources.sessions, organization_id) as driver:
        account = await load_account(driver, key)
        rows = await load_proxies(driver, account.proxy_group)
    streams = resources.streams[marketplace].values()
    # No stream's needs, limits or rows: this is a question about the key.
    stream = replace(next(iter(streams)), name="key", needs="", buckets=(), sellers=lambda _: ())

    async def ask(request: Request, secret: Secret) -> Answer:
        fetch = AccountFetch(
            fetcher=resources.fetcher,
            stream=stream,
            seller=account.external_id,
            account_id=str(account_id),
            secret=secret,
            resolve=partial(resources.secret, account.secret_ref, stream.marketplace.secret_fields, fresh=True),
            proxy_group=account.proxy_group,
            proxies=await proxies_of(resources, rows),
        )
        try:
            return await fetch(request)
        finally:
            fetch.release()

    now = resources.clock.now()
    checked = await look_at(account, streams, resolve=resources.secret, now=now, ask=ask, thorough=by_hand)
    if checked.is_known:
        async with tenant_transaction(resources.sessions, organization_id) as session:
            await record_key(
                session,
                organization_id,
                account_id,
                expires_at=checked.knowledge.expires_at,
                refused=checked.refused,
                retry=by_hand,
            )
    return checked


async def check_due(resources: Resources) -> None:
    """Look at the keys that nobody looked at for a day, and warn of what is wrong with them."""
    async with system_transaction(resources.sessions) as session:
        rows = await read_keys(session)
    now = resources.clock.now()
    room = asyncio.Semaphore(_AT_ONCE)

    async def check(row: KeyRow) -> None:
        async with room:
            try:
                await _check_and_warn(resources, row)
            except (DBAPIError, PoolTimeout, OSError) as error:  # its neighbours go on; it is looked at in a day
                log.warning("key not checked", **_whose(row), error=type(error).__name__)

    due = [row for row in rows if row.key_checked_at is None or row.key_checked_at < now - CHECKED_EVERY]
    await asyncio.gather(*(check(row) for row in due if row.marketplace in resources.streams))


async def warn_ahead(resources: Resources) -> None:
    """Warn of the keys that are known to end soon."""
    async with system_transaction(resources.sessions) as session:
        for row in await read_keys(session):
            _warn(row, row.key_expires_at, resources.clock.now())


async def _check_and_warn(resources: Resources, row: KeyRow) -> None:
    async with tenant_transaction(resources.sessions, row.organization_id) as session:
        if not await claim_check(session, row.organization_id, row.marketplace_account_id, every=CHECKED_EVERY):
            return
    checked = await check_account(resources, row.organization_id, row.marketplace_account_id, row.marketplace)
    for words in (*checked.problems, *checked.notes):
        log.warning("key not in order", **_whose(row), why=words)
    _warn(row, checked.knowledge.expires_at or row.key_expires_at, resources.clock.now())


def _warn(row: KeyRow, expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at - now <= WARN_WITHIN:
        log.warning("key expires", **_whose(row), days_left=days_left(expires_at, now))


def _whose(row: KeyRow) -> dict[str, str]:
    return {
        "organization": str(row.organization_id),
        "account": str(row.marketplace_account_id),
        "name": row.account,
        "marketplace": row.marketplace,
    }

"""What an administrator does: organizations, accounts, proxies. Done as collector_admin, who sees every tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from collectors.stream import Stream
from worker.db.engine import Sessions
from worker.db.migrate import require_current
from worker.db.progress import AccountId
from worker.db.reconcile import reconcile_account
from worker.db.tenancy import OrganizationId, system_transaction

Row = Mapping[str, Any]


class NotPossible(Exception):
    """It cannot be done. The message is one sentence: what is wrong, what to do."""


@dataclass(frozen=True, kw_only=True)
class NewAccount:
    """An account to be; `secret_ref` says where its secret is, and is none itself."""

    marketplace: str
    name: str
    external_id: str
    secret_ref: str
    proxy_group: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewProxy:
    """A proxy to be; its user and password are behind `secret_ref`, not in the URL."""

    name: str
    group: str
    url: str
    secret_ref: str | None = None
    max_accounts: int = 20


_MAY_BECOME = text("""
SELECT current_user AS login, pg_has_role(current_user, oid, 'SET') AS may
FROM pg_roles WHERE rolname = 'collector_admin'
""")
_BECOME = text("SET LOCAL ROLE collector_admin")

_ADD_ORGANIZATION = text("""
INSERT INTO core.organization (name) VALUES (:name) ON CONFLICT (name) DO NOTHING RETURNING id
""")

_ORGANIZATIONS = text("""
SELECT o.id, o.name, o.status, o.status_reason, o.paused_until, count(a.id) AS accounts, o.created_at
FROM core.organization o LEFT JOIN core.marketplace_account a ON a.organization_id = o.id
GROUP BY o.id ORDER BY o.name
""")

# A name wins: somebody may have called an organization by another's id, but nobody can guess that.
_FIND_ORGANIZATION = text("""
SELECT id FROM core.organization WHERE name = :name_or_id OR id::text = lower(:name_or_id)
ORDER BY name = :name_or_id DESC LIMIT 1
""")

_ADD_ACCOUNT = text("""
INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref, proxy_group)
VALUES (:organization_id, :marketplace, :name, :external_id, :secret_ref, :proxy_group)
ON CONFLICT (organization_id, marketplace, name) DO NOTHING RETURNING id
""")

_FIND_ACCOUNT = text("""
SELECT id FROM core.marketplace_account
WHERE organization_id = :organization_id AND marketplace = :marketplace AND name = :name
""")

_ACCOUNTS = text("""
SELECT a.id, o.id AS organization_id, o.name AS organization, a.marketplace, a.name, a.external_id, a.secret_ref,
       a.proxy_group, a.status, a.status_reason, a.key_expires_at, a.paused_until,
       a.streams
FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
WHERE CAST(:organization_id AS uuid) IS NULL OR o.id = :organization_id
ORDER BY o.name, a.marketplace, a.name
""")

_RESUME = text("""
UPDATE core.marketplace_account SET status = 'active', status_reason = NULL, paused_until = NULL,
    key_checked_at = NULL
WHERE id = :account_id RETURNING name
""")

# What failed because of the account is tried at once; the buckets still know of limits.
_TRY_NOW = text("""
UPDATE collect.stream_state
SET attempts = 0, not_before = NULL,
    next_due_at = CASE WHEN state = 'unavailable' THEN clock_timestamp() ELSE next_due_at END
WHERE marketplace_account_id = :account_id AND state IN ('active', 'unavailable') AND last_error IS NOT NULL
""")

_ADD_PROXY = """
INSERT INTO core.proxy (name, proxy_group, url, secret_ref, max_accounts)
VALUES (:name, :group, :url, :secret_ref, :max_accounts) ON CONFLICT (name)
"""

_ADD_NEW_PROXY = text(f"{_ADD_PROXY} DO NOTHING RETURNING id")

# The address that it goes out by belongs to what was there before.
_REPLACE_PROXY = text(f"""{_ADD_PROXY} DO UPDATE
SET proxy_group = excluded.proxy_group, url = excluded.url, secret_ref = excluded.secret_ref, status = 'active',
    max_accounts = excluded.max_accounts, egress = NULL
RETURNING id
""")

_PROXIES = text("""
SELECT name, proxy_group AS "group", url, secret_ref, status, max_accounts, host(egress) AS egress
FROM core.proxy ORDER BY proxy_group, name
""")

_SEE_EGRESS = text("""
UPDATE core.proxy SET egress = CAST(:egress AS text)::inet
WHERE name = :name AND host(egress) IS DISTINCT FROM :egress
""")

_REMOVE_PROXY = text("DELETE FROM core.proxy WHERE name = :name RETURNING proxy_group")

_LEFT_WITHOUT = text("""
SELECT count(*) FROM core.marketplace_account
WHERE proxy_group = :group
  AND NOT EXISTS (SELECT FROM core.proxy WHERE proxy_group = :group AND status = 'active')
""")

_NOW = text("SELECT clock_timestamp()")


@asynccontextmanager
async def admin_transaction(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """Open a transaction in which we are collector_admin. Raises NotMigrated, or NotPossible for another login."""
    async with system_transaction(sessions) as session:
        found = (await session.execute(_MAY_BECOME)).one_or_none()
        if found is not None and found.may:
            await session.execute(_BECOME)
        await require_current(await session.connection())
        if found is None or not found.may:
            login = "this login" if found is None else found.login
            raise NotPossible(
                f"{login} may not become collector_admin: "
                "set COLLECTOR_OWNER_DATABASE_URL to the URL of collector_owner, who ran the migrations"
            )
        yield session


async def add_organization(session: AsyncSession, name: str) -> OrganizationId:
    _refuse_blank("an organization's name", name)
    found = (await session.execute(_ADD_ORGANIZATION, {"name": name})).scalar_one_or_none()
    if found is None:
        raise NotPossible(f"there is an organization {name!r} already: choose another name")
    return OrganizationId(found)


async def list_organizations(session: AsyncSession) -> list[Row]:
    return [dict(row) for row in (await session.execute(_ORGANIZATIONS)).mappings()]


async def find_organization(session: AsyncSession, name_or_id: str) -> OrganizationId:
    found = (await session.execute(_FIND_ORGANIZATION, {"name_or_id": name_or_id})).scalar_one_or_none()
    if found is None:
        raise NotPossible(f"no organization is called {name_or_id!r}: `collector org list` shows those there are")
    return OrganizationId(found)


async def add_account(
    session: AsyncSession, organization_id: OrganizationId, account: NewAccount, streams: Mapping[str, Stream]
) -> AccountId:
    """Write an account down and make every stream of it due."""
    _refuse_blank("an account's name", account.name)
    _refuse_blank("an account's external id", account.external_id)
    if account.proxy_group is not None:
        _refuse_blank("a proxy group's name", account.proxy_group)
    values = {
        "organization_id": organization_id,
        "marketplace": account.marketplace,
        "name": account.name,
        "external_id": account.external_id,
        "secret_ref": account.secret_ref,
        "proxy_group": account.proxy_group,
    }
    found = (await session.execute(_ADD_ACCOUNT, values)).scalar_one_or_none()
    if found is None:
        raise NotPossible(
            f"the organization has an account {account.name!r} in {account.marketplace} already: choose another name"
        )
    now = (await session.execute(_NOW)).scalar_one()
    await reconcile_account(session, organization_id, AccountId(found), streams, now)
    return AccountId(found)


async def find_account(
    session: AsyncSession, organization_id: OrganizationId, marketplace: str, name: str
) -> AccountId | None:
    values = {"organization_id": organization_id, "marketplace": marketplace, "name": name}
    found = (await session.execute(_FIND_ACCOUNT, values)).scalar_one_or_none()
    return None if found is None else AccountId(found)


async def list_accounts(session: AsyncSession, organization_id: OrganizationId | None) -> list[Row]:
    found = await session.execute(_ACCOUNTS, {"organization_id": organization_id})
    return [dict(row) for row in found.mappings()]


async def resume_account(session: AsyncSession, account_id: UUID) -> str:
    """Let a paused account be collected again; its name."""
    name = (await session.execute(_RESUME, {"account_id": account_id})).scalar_one_or_none()
    if name is None:
        raise NotPossible(f"no account has the id {account_id}: `collector account list` shows those there are")
    await session.execute(_TRY_NOW, {"account_id": account_id})
    return str(name)


async def add_proxy(session: AsyncSession, proxy: NewProxy, *, replace: bool = False) -> None:
    """Write a proxy down. `replace`: in place of the one of this name, if there is one."""
    _refuse_blank("a proxy's name", proxy.name)
    _refuse_blank("a proxy group's name", proxy.group)
    values = {
        "name": proxy.name,
        "group": proxy.group,
        "url": proxy.url,
        "secret_ref": proxy.secret_ref,
        "max_accounts": proxy.max_accounts,
    }
    written = await session.execute(_REPLACE_PROXY if replace else _ADD_NEW_PROXY, values)
    if written.scalar_one_or_none() is None:
        raise NotPossible(f"there is a proxy {proxy.name!r} already: choose another name, or say --replace")


async def list_proxies(session: AsyncSession) -> list[Row]:
    return [dict(row) for row in (await session.execute(_PROXIES)).mappings()]


async def see_egress(session: AsyncSession, proxy: str, egress: str) -> None:
    """Write down the address that a proxy was seen to go out by."""
    await session.execute(_SEE_EGRESS, {"name": proxy, "egress": egress})


async def remove_proxy(session: AsyncSession, name: str, *, force: bool = False) -> None:
    """Take a proxy out. `force`: even if accounts are left that may then not go out at all."""
    group = (await session.execute(_REMOVE_PROXY, {"name": name})).scalar_one_or_none()
    if group is None:
        raise NotPossible(f"no proxy is called {name!r}: `collector proxy list` shows those there are")
    left = (await session.execute(_LEFT_WITHOUT, {"group": group})).scalar_one()
    if left and not force:
        raise NotPossible(
            f"{name} is the last proxy of the group {group!r}, which accounts use ({left}): "
            "add another first, or say --force to stop them"
        )


def _refuse_blank(what: str, value: str) -> None:
    # PostgreSQL cannot store a NUL, and says so in words of its own.
    if not value.strip() or not value.isprintable():
        raise NotPossible(f"{what} must not be empty nor hold control characters")

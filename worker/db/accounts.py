"""Accounts and the proxies that they go through, as a run needs them."""

from __future__ import annotations

from dataclasses import dataclass

from worker.db.driver import Driver, Statement
from worker.db.progress import SliceKey


@dataclass(frozen=True, kw_only=True)
class Account:
    """One seller account, without its secret."""

    name: str
    marketplace: str
    external_id: str  # the marketplace's own id of the seller
    secret_ref: str
    proxy_group: str | None


@dataclass(frozen=True, kw_only=True)
class ProxyRow:
    """A proxy without its credentials."""

    name: str
    group: str
    url: str
    secret_ref: str | None
    egress: str | None  # the address that it was seen to go out by
    most_accounts: int


_ACCOUNT = Statement("""
SELECT name, marketplace, external_id, secret_ref, proxy_group
FROM core.marketplace_account WHERE organization_id = :organization_id AND id = :account_id
""")

_ACTIVE = """
SELECT name, proxy_group AS "group", url, secret_ref, host(egress) AS egress, max_accounts AS most_accounts
FROM core.proxy WHERE status = 'active'"""

_PROXIES = Statement(f"{_ACTIVE} AND proxy_group = :proxy_group ORDER BY name")
_EVERY_PROXY = Statement(f"{_ACTIVE} ORDER BY name")

_PAUSE = Statement("""
UPDATE core.marketplace_account SET status = 'paused', status_reason = :reason, paused_until = NULL
WHERE organization_id = :organization_id AND id = :account_id
""")


async def load_account(driver: Driver, key: SliceKey) -> Account:
    (row,) = await _ACCOUNT.fetch(driver, key.columns())
    return Account(**row)


async def load_proxies(driver: Driver, proxy_group: str | None) -> list[ProxyRow]:
    if proxy_group is None:
        return []
    return [ProxyRow(**row) for row in await _PROXIES.fetch(driver, {"proxy_group": proxy_group})]


async def load_every_proxy(driver: Driver) -> list[ProxyRow]:
    return [ProxyRow(**row) for row in await _EVERY_PROXY.fetch(driver, {})]


async def pause_account(driver: Driver, key: SliceKey, reason: str) -> None:
    """Stop every stream of the account until a person has mended it."""
    await _PAUSE.execute(driver, {**key.columns(), "reason": reason})

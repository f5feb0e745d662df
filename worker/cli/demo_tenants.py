"""Who is in the demo: two organizations with an account in every marketplace, two proxies, and their secrets."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from collectors.registry import STREAMS
from sandbox.proxies import Proxies
from sandbox.server import Sandbox
from worker.db.administration import (
    NewAccount,
    NewProxy,
    NotPossible,
    add_account,
    add_organization,
    add_proxy,
    find_account,
    find_organization,
    resume_account,
)
from worker.db.progress import AccountId
from worker.db.tenancy import OrganizationId
from worker.http.proxies import parse_proxy_url

ORGANIZATIONS = ("Sunrise Trading", "Northern Goods")
EGRESS = "egress"


@dataclass(frozen=True)
class DemoAccount:
    """One account of the demo."""

    organization: str
    organization_id: OrganizationId
    id: AccountId
    marketplace: str


async def settle(session: AsyncSession, box: Sandbox, proxies: Proxies, place: Path) -> list[DemoAccount]:
    """Make the organizations, accounts and proxies, or take those of an earlier demo; write their secrets anew."""
    for number, url in enumerate(proxies.urls, 1):
        await add_proxy(session, _proxy(url, f"demo-proxy-{number}", place), replace=True)
    accounts = []
    for number, name in enumerate(ORGANIZATIONS, 1):
        try:
            organization = await find_organization(session, name)
        except NotPossible:
            organization = await add_organization(session, name)
        for marketplace in box.marketplaces:
            new = _account(box, marketplace, number, name, place)
            account = await find_account(session, organization, marketplace, new.name)
            if account is None:
                account = await add_account(session, organization, new, STREAMS[marketplace])
            else:
                await resume_account(session, account)
            accounts.append(DemoAccount(name, organization, account, marketplace))
    return accounts


def example_accounts(box: Sandbox, place: Path) -> Mapping[str, NewAccount]:
    """Write a secret for one seller of every marketplace; what to add them as."""
    return {marketplace: _account(box, marketplace, 1, "example", place) for marketplace in box.marketplaces}


def example_proxies(proxies: Proxies, place: Path) -> list[NewProxy]:
    """Write the secrets of the proxies; what to add them as."""
    return [_proxy(url, f"demo-proxy-{number}", place) for number, url in enumerate(proxies.urls, 1)]


def _account(box: Sandbox, marketplace: str, number: int, organization: str, place: Path) -> NewAccount:
    seller = box.seller(marketplace, number)
    slug = re.sub(r"\W+", "-", organization.lower())
    secret = write_private(place / f"{slug}-{marketplace}", box.credentials(marketplace, seller))
    return NewAccount(
        marketplace=marketplace,
        name=f"{marketplace} shop",
        external_id=seller,
        secret_ref=f"file:{secret}",
        proxy_group=EGRESS,
    )


def _proxy(url: str, name: str, place: Path) -> NewProxy:
    address, _ = parse_proxy_url(url)
    parts = urlsplit(url)
    fields = {"user": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    secret = write_private(place / name, json.dumps(fields))
    return NewProxy(name=name, group=EGRESS, url=address, secret_ref=f"file:{secret}")


def write_private(path: Path, text: str) -> Path:
    """Write a file that only we can read, all at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)
    return path

"""Whose rows are to be read: the organization and its accounts, as somebody names them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from worker.cli.errors import Refused
from worker.cli.opening import as_admin, as_worker
from worker.db.administration import find_organization, list_organizations
from worker.db.bronze import accounts_of, may_locate, organization_of
from worker.db.tenancy import system_transaction
from worker.settings import Settings


async def organization_named(settings: Settings, organization: str | None, account: UUID | None) -> UUID:
    """Find the one whose rows are to be read. Only a name needs the owner's URL. Raises Refused, NotPossible."""
    if organization is not None:
        try:
            return UUID(organization)
        except ValueError:
            async with as_admin(settings) as session:
                return await find_organization(session, organization)
    if account is None:
        raise Refused("say whose pages: --organization, or --account")
    async with as_worker(settings) as sessions, system_transaction(sessions) as session:
        if not await may_locate(session):
            raise Refused("a reader may not ask whose an account is: say --organization with its id")
        found = await organization_of(session, account)
    if found is None:
        raise Refused(f"no account has the id {account}: `collector account list` shows those there are")
    return found


async def organizations_named(settings: Settings, organization: str | None, account: UUID | None) -> list[UUID]:
    """Find the one, or all there are."""
    if organization is not None or account is not None:
        return [await organization_named(settings, organization, account)]
    async with as_admin(settings) as session:
        return [row["id"] for row in await list_organizations(session)]


async def accounts_in(
    session: AsyncSession, *, organization: UUID, marketplace: str | None, account: UUID | None
) -> list[UUID]:
    """Return the tenant's accounts of the marketplace, or of all; or the one that was asked for. Raises Refused."""
    found = await accounts_of(session, marketplace=marketplace, account=account)
    if not found:
        what = "no account" if account is None else f"no account {account}"
        of_marketplace = "" if marketplace is None else f" of {marketplace}"
        raise Refused(f"organization {organization} has {what}{of_marketplace}: `collector account list` shows all")
    return found

"""The ways out that a run has: the proxies of its group, with their credentials."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from worker.db.accounts import ProxyRow
from worker.http.proxies import Proxy
from worker.resources import Resources
from worker.secrets import SecretUnavailable

log = structlog.get_logger(__name__)


async def proxies_of(resources: Resources, rows: Sequence[ProxyRow]) -> list[Proxy]:
    """Return those whose secret can be had. Raises SecretUnavailable if none of them is left."""
    found = []
    for row in rows:
        try:
            found.append(await _proxy(resources, row))
        except SecretUnavailable as error:
            log.warning("a proxy is left out", proxy=row.name, error=str(error))
            missing = error
    if rows and not found:
        raise missing
    return found


async def _proxy(resources: Resources, row: ProxyRow) -> Proxy:
    credentials = None
    if row.secret_ref is not None:
        secret = await resources.secret(row.secret_ref, ("user", "password"))
        credentials = (secret["user"], secret["password"])
    return Proxy(
        name=row.name,
        group=row.group,
        url=row.url,
        credentials=credentials,
        egress=row.egress,
        most_accounts=row.most_accounts,
    )

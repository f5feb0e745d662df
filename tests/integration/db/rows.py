"""A valid row of every tenant table, for the tests of who may see and write which."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy import Table as SqlTable
from uuid_utils.compat import uuid7

from worker.db.models import Table

TENANT_TABLES = [
    table
    for table in Table.metadata.sorted_tables
    if "organization_id" in table.columns or table.fullname == "core.organization"
]
PARTITIONED = ["raw.payload", "collect.walk", "collect.run"]
STATED_FOR_ACCOUNT = ["collect.stream_state", "collect.coverage", "collect.request", "collect.quarantine"]


@dataclass(frozen=True)
class Tenant:
    organization_id: UUID
    account_id: UUID
    user_id: UUID


def table_named(fullname: str) -> SqlTable:
    return Table.metadata.tables[fullname]


def tenant_column(table: SqlTable) -> Column[UUID]:
    return cast("Column[UUID]", table.columns["id" if table.fullname == "core.organization" else "organization_id"])


def row_of(table: SqlTable, tenant: Tenant, **changes: object) -> dict[str, object]:
    """What the table cannot do without, `changes` on top."""
    now = datetime.now(UTC)
    known: dict[str, object] = {
        "id": uuid7(),
        "organization_id": tenant.organization_id,
        "marketplace_account_id": tenant.account_id,
        "user_id": tenant.user_id,
        "name": f"{table.name} {tenant.organization_id}",
        "role": "member",
        "marketplace": "wildberries",
        "external_id": "123",
        "secret_ref": "env:TOKEN",
        "stream": "orders",
        "slice": "",
        "lane": "live",
        "page_number": 0,
        "fetched_at": now,
        "started_at": now,
        "finished_at": now,
        "request": '{"method": "GET"}',
        "status": 200,
        "sha256": bytes(32),
        "interval": timedelta(minutes=30),
        "asked_by": "a test",
        "outcome": "done",
        "worker": "worker-1",
        "reason": "cannot be read",
    }
    wanted = {
        column.name: known[column.name]
        for column in table.columns
        if column.primary_key or (not column.nullable and column.server_default is None)
    }
    if table.fullname == "core.organization":
        wanted["id"] = tenant.organization_id
    if table.fullname == "core.marketplace_account":
        wanted["id"] = tenant.account_id
    return wanted | changes

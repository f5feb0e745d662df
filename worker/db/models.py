"""The tables, for queries. The migrations make them, a test holds the two together; checks and policies are there."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import (
    ARRAY,
    BYTEA,
    DOUBLE_PRECISION,
    INET,
    INTERVAL,
    TSTZMULTIRANGE,
    TSTZRANGE,
    Range,
)
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

Window = Range[datetime]


class JsonText(UserDefinedType[str]):
    """A `json` column as the text it was stored as (`make_engine` keeps the driver from parsing it).

    SQLAlchemy's own JSON would parse it, and store a JSON null for None.
    """

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


class Xid8(UserDefinedType[int]):
    """The number of a transaction, which never wraps around."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "XID8"


ischema_names["xid8"] = Xid8  # SQLAlchemy does not know it and would warn when it reads a schema


class Table(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it as an instance variable
        datetime: DateTime(timezone=True),
        timedelta: INTERVAL,
        str: Text,
        bytes: BYTEA,
        Window: TSTZRANGE,
        list[Window]: TSTZMULTIRANGE,
    }


NOW = text("now()")
NEW_ID = text("uuidv7()")


def _of_account() -> ForeignKeyConstraint:
    # Both columns: an id alone would tell one tenant that another's account exists.
    return ForeignKeyConstraint(
        ["organization_id", "marketplace_account_id"],
        ["core.marketplace_account.organization_id", "core.marketplace_account.id"],
        ondelete="CASCADE",
    )


class Organization(Table):
    __tablename__ = "organization"
    __table_args__ = (UniqueConstraint("name", name="organization_name_key"), {"schema": "core"})

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    status_reason: Mapped[str | None]
    paused_until: Mapped[datetime | None]


class User(Table):
    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("email", name="user_email_key"), {"schema": "core"})

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    email: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Membership(Table):
    __tablename__ = "membership"
    __table_args__ = (Index("membership_user_idx", "user_id"), {"schema": "core"})

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("core.organization.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.user.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str]


class MarketplaceAccount(Table):
    __tablename__ = "marketplace_account"
    __table_args__ = (
        UniqueConstraint("organization_id", "id", name="marketplace_account_tenant_key"),
        UniqueConstraint("organization_id", "marketplace", "name", name="marketplace_account_name_key"),
        {"schema": "core"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("core.organization.id"))
    marketplace: Mapped[str]
    name: Mapped[str]
    external_id: Mapped[str]
    secret_ref: Mapped[str]
    proxy_group: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")
    status_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    paused_until: Mapped[datetime | None]
    streams: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # None: all there are
    key_expires_at: Mapped[datetime | None]
    key_checked_at: Mapped[datetime | None]


class Proxy(Table):
    __tablename__ = "proxy"
    __table_args__ = (UniqueConstraint("name", name="proxy_name_key"), {"schema": "core"})

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    name: Mapped[str]
    proxy_group: Mapped[str]
    url: Mapped[str]
    secret_ref: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    max_accounts: Mapped[int] = mapped_column(server_default="20")
    egress: Mapped[str | None] = mapped_column(INET)


class AuditEntry(Table):
    __tablename__ = "audit"
    __table_args__ = (Index("audit_at_idx", "at"), {"schema": "core"})

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    db_user: Mapped[str]
    db_role: Mapped[str | None]
    operation: Mapped[str]
    table_name: Mapped[str]
    row_id: Mapped[UUID]


class Payload(Table):
    """One response, whole. Made by the client: `id` (UUID v7) and `fetched_at`, both fixed before the first attempt."""

    __tablename__ = "payload"
    __table_args__ = (
        Index("payload_stream_idx", "organization_id", "marketplace_account_id", "stream", "fetched_at"),
        {"schema": "raw", "postgresql_partition_by": "RANGE (fetched_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    marketplace: Mapped[str]
    stream: Mapped[str]
    slice: Mapped[str] = mapped_column(server_default="")
    lane: Mapped[str]
    walk_id: Mapped[UUID | None]
    walk_started_at: Mapped[datetime | None]
    page_number: Mapped[int]
    part: Mapped[int] = mapped_column(server_default="0")
    parts_id: Mapped[UUID | None]
    time_window: Mapped[Window | None]
    fetched_at: Mapped[datetime] = mapped_column(primary_key=True)
    request: Mapped[str] = mapped_column(JsonText)
    status: Mapped[int] = mapped_column(SmallInteger)
    content_type: Mapped[str | None]
    file_name: Mapped[str | None]
    payload: Mapped[str | None] = mapped_column(JsonText)
    body: Mapped[bytes | None]
    body_reason: Mapped[str | None]
    same_as: Mapped[UUID | None]
    same_as_fetched_at: Mapped[datetime | None]
    sha256: Mapped[bytes]
    record_count: Mapped[int | None]
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))


class Walk(Table):
    __tablename__ = "walk"
    __table_args__ = (
        Index("walk_stream_idx", "organization_id", "marketplace_account_id", "stream", "slice", "started_at"),
        Index(
            "walk_current_idx",
            "organization_id",
            "marketplace_account_id",
            "stream",
            "slice",
            "started_at",
            postgresql_where=text("completed_at IS NOT NULL AND superseded_at IS NULL"),
        ),
        {"schema": "collect", "postgresql_partition_by": "RANGE (started_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    marketplace: Mapped[str]
    stream: Mapped[str]
    slice: Mapped[str] = mapped_column(server_default="")
    lane: Mapped[str]
    time_window: Mapped[Window | None]
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    completed_at: Mapped[datetime | None]
    completed_xid: Mapped[int | None] = mapped_column(Xid8)
    superseded_at: Mapped[datetime | None]
    cut_at: Mapped[datetime | None]
    pages: Mapped[int] = mapped_column(server_default="0")
    records: Mapped[int] = mapped_column(BigInteger, server_default="0")
    declared_total: Mapped[int | None] = mapped_column(BigInteger)
    total_changed: Mapped[bool] = mapped_column(server_default=text("false"))


class StreamState(Table):
    __tablename__ = "stream_state"
    __table_args__ = (
        _of_account(),
        Index(
            "stream_state_due_idx",
            "next_due_at",
            postgresql_where=text("state IN ('active', 'unavailable') AND next_due_at IS NOT NULL"),
        ),
        Index("stream_state_paused_idx", "paused_until", postgresql_where=text("paused_until IS NOT NULL")),
        {"schema": "collect"},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    marketplace_account_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    slice: Mapped[str] = mapped_column(primary_key=True, server_default="")
    lane: Mapped[str] = mapped_column(primary_key=True)
    marketplace: Mapped[str]
    position: Mapped[str | None] = mapped_column(JsonText)
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    interval: Mapped[timedelta]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    next_due_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(server_default="active")
    last_error: Mapped[str | None]
    last_success_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    every_override: Mapped[timedelta | None]
    state_reason: Mapped[str | None]
    paused_until: Mapped[datetime | None]


class Pause(Table):
    """A marketplace, or one stream of it, that nobody's accounts are asked for. The stream '' is all of them."""

    __tablename__ = "pause"
    __table_args__ = ({"schema": "collect"},)

    marketplace: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True, server_default="")
    reason: Mapped[str]
    until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Coverage(Table):
    __tablename__ = "coverage"
    __table_args__ = (_of_account(), {"schema": "collect"})

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    marketplace_account_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    slice: Mapped[str] = mapped_column(primary_key=True, server_default="")
    wanted_from: Mapped[datetime | None]
    covered: Mapped[list[Window]] = mapped_column(server_default="{}")
    settled: Mapped[list[Window]] = mapped_column(server_default="{}")


class CollectionRequest(Table):
    """What somebody asked for, a row for each slice. `time_window` None asks for what is due by itself."""

    __tablename__ = "request"
    __table_args__ = (
        _of_account(),
        Index(
            "request_open_idx",
            "organization_id",
            "marketplace_account_id",
            "stream",
            postgresql_where=text("done_at IS NULL"),
        ),
        {"schema": "collect"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    stream: Mapped[str]
    slice: Mapped[str] = mapped_column(server_default="")
    time_window: Mapped[Window | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    asked_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    done_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    collected: Mapped[list[Window]] = mapped_column(server_default="{}")


class Run(Table):
    __tablename__ = "run"
    __table_args__ = (
        Index("run_stream_idx", "organization_id", "marketplace_account_id", "stream", "slice", "started_at"),
        {"schema": "collect", "postgresql_partition_by": "RANGE (started_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    marketplace: Mapped[str]
    stream: Mapped[str]
    slice: Mapped[str] = mapped_column(server_default="")
    lane: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    finished_at: Mapped[datetime]
    outcome: Mapped[str]
    pages: Mapped[int] = mapped_column(server_default="0")
    records: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    requests: Mapped[int] = mapped_column(server_default="0")
    seconds_waited: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    proxy: Mapped[str | None]
    worker: Mapped[str]
    error: Mapped[str | None]
    pages_same: Mapped[int] = mapped_column(server_default="0")
    bytes_same: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Quarantined(Table):
    __tablename__ = "quarantine"
    __table_args__ = (
        _of_account(),
        Index("quarantine_stream_idx", "organization_id", "marketplace_account_id", "stream", "slice", "at"),
        Index(
            "quarantine_open_idx",
            "marketplace",
            "stream",
            postgresql_where=text("replayed_at IS NULL AND dropped_at IS NULL"),
        ),
        {"schema": "collect"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    organization_id: Mapped[UUID]
    marketplace_account_id: Mapped[UUID]
    marketplace: Mapped[str]
    stream: Mapped[str]
    slice: Mapped[str] = mapped_column(server_default="")
    lane: Mapped[str]
    walk_id: Mapped[UUID | None]
    walk_started_at: Mapped[datetime | None]
    page_number: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    request: Mapped[str] = mapped_column(JsonText)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    content_type: Mapped[str | None]
    body: Mapped[bytes | None]
    reason: Mapped[str]
    replayed_at: Mapped[datetime | None]
    dropped_at: Mapped[datetime | None]
    sha256: Mapped[bytes | None]
    position: Mapped[str | None] = mapped_column(JsonText)
    times: Mapped[int] = mapped_column(server_default="1")


class Bucket(Table):
    """A wait of over a minute, or that a marketplace was in use. Only the functions collect.bucket_… reach it."""

    __tablename__ = "bucket"
    __table_args__ = ({"schema": "collect"},)

    key: Mapped[str] = mapped_column(primary_key=True)
    not_before: Mapped[datetime]

"""What was collected (raw.payload) and how far each stream has come (collect.*)."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# No foreign keys from the partitioned tables: each new partition would lock the referenced table.
TABLES = (
    """
    CREATE TABLE raw.payload (
        id                     uuid        NOT NULL,
        organization_id        uuid        NOT NULL,
        marketplace_account_id uuid        NOT NULL,
        marketplace            text        NOT NULL,
        stream                 text        NOT NULL,
        slice                  text        NOT NULL DEFAULT '',
        lane                   text        NOT NULL CHECK (lane IN ('live', 'backfill')),
        walk_id                uuid,
        walk_started_at        timestamptz,
        page_number            integer     NOT NULL,
        part                   integer     NOT NULL DEFAULT 0,
        parts_id               uuid,
        time_window            tstzrange,
        fetched_at             timestamptz NOT NULL,
        request                json        NOT NULL,
        status                 smallint    NOT NULL,
        content_type           text,
        file_name              text,
        payload                json,
        body                   bytea,
        body_reason            text,
        same_as                uuid,
        same_as_fetched_at     timestamptz,
        sha256                 bytea       NOT NULL CHECK (octet_length(sha256) = 32),
        record_count           integer,
        xid                    xid8        NOT NULL DEFAULT pg_current_xact_id(),
        CONSTRAINT payload_one_content CHECK (num_nonnulls(payload, body, same_as) <= 1),
        CONSTRAINT payload_body_reason CHECK ((body IS NULL) = (body_reason IS NULL)),
        CONSTRAINT payload_same_as CHECK ((same_as IS NULL) = (same_as_fetched_at IS NULL)),
        CONSTRAINT payload_walk CHECK ((walk_id IS NULL) = (walk_started_at IS NULL)),
        PRIMARY KEY (id, fetched_at)
    ) PARTITION BY RANGE (fetched_at)
    """,
    """
    CREATE INDEX payload_stream_idx
        ON raw.payload (organization_id, marketplace_account_id, stream, fetched_at)
    """,
    """
    CREATE TABLE collect.walk (
        id                     uuid        NOT NULL,
        organization_id        uuid        NOT NULL,
        marketplace_account_id uuid        NOT NULL,
        marketplace            text        NOT NULL,
        stream                 text        NOT NULL,
        slice                  text        NOT NULL DEFAULT '',
        lane                   text        NOT NULL CHECK (lane IN ('live', 'backfill')),
        time_window            tstzrange,
        started_at             timestamptz NOT NULL,
        completed_at           timestamptz,
        completed_xid          xid8,
        superseded_at          timestamptz,
        cut_at                 timestamptz,
        pages                  integer     NOT NULL DEFAULT 0,
        records                bigint      NOT NULL DEFAULT 0,
        declared_total         bigint,
        total_changed          boolean     NOT NULL DEFAULT false,
        CONSTRAINT walk_completed CHECK ((completed_at IS NULL) = (completed_xid IS NULL)),
        PRIMARY KEY (id, started_at)
    ) PARTITION BY RANGE (started_at)
    """,
    """
    CREATE INDEX walk_stream_idx
        ON collect.walk (organization_id, marketplace_account_id, stream, slice, started_at)
    """,
    """
    CREATE INDEX walk_current_idx
        ON collect.walk (organization_id, marketplace_account_id, stream, slice, started_at)
        WHERE completed_at IS NOT NULL AND superseded_at IS NULL
    """,
    """
    CREATE TABLE collect.run (
        id                     uuid             NOT NULL,
        organization_id        uuid             NOT NULL,
        marketplace_account_id uuid             NOT NULL,
        marketplace            text             NOT NULL,
        stream                 text             NOT NULL,
        slice                  text             NOT NULL DEFAULT '',
        lane                   text             NOT NULL CHECK (lane IN ('live', 'backfill')),
        started_at             timestamptz      NOT NULL,
        finished_at            timestamptz      NOT NULL,
        outcome                text             NOT NULL,
        pages                  integer          NOT NULL DEFAULT 0,
        records                bigint           NOT NULL DEFAULT 0,
        bytes                  bigint           NOT NULL DEFAULT 0,
        requests               integer          NOT NULL DEFAULT 0,
        seconds_waited         double precision NOT NULL DEFAULT 0,
        proxy                  text,
        worker                 text             NOT NULL,
        error                  text,
        PRIMARY KEY (id, started_at)
    ) PARTITION BY RANGE (started_at)
    """,
    """
    CREATE INDEX run_stream_idx
        ON collect.run (organization_id, marketplace_account_id, stream, slice, started_at)
    """,
    """
    CREATE TABLE collect.stream_state (
        organization_id        uuid        NOT NULL,
        marketplace_account_id uuid        NOT NULL,
        stream                 text        NOT NULL,
        slice                  text        NOT NULL DEFAULT '',
        lane                   text        NOT NULL CHECK (lane IN ('live', 'backfill')),
        marketplace            text        NOT NULL,
        position               json,
        version                bigint      NOT NULL DEFAULT 0,
        "interval"             interval    NOT NULL,
        priority               smallint    NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
        next_due_at            timestamptz,
        not_before             timestamptz,
        lease_token            uuid,
        lease_until            timestamptz,
        attempts               integer     NOT NULL DEFAULT 0,
        state                  text        NOT NULL DEFAULT 'active'
            CHECK (state IN ('active', 'paused', 'unavailable', 'quarantined', 'retired')),
        last_error             text,
        last_success_at        timestamptz,
        created_at             timestamptz NOT NULL DEFAULT now(),
        updated_at             timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (organization_id, marketplace_account_id, stream, slice, lane),
        FOREIGN KEY (organization_id, marketplace_account_id)
            REFERENCES core.marketplace_account (organization_id, id) ON DELETE CASCADE
    ) WITH (fillfactor = 80)  -- leases and due times change all day: leave room to change a row in place
    """,
    """
    CREATE INDEX stream_state_due_idx
        ON collect.stream_state (next_due_at) WHERE state = 'active' AND next_due_at IS NOT NULL
    """,
    """
    CREATE TABLE collect.coverage (
        organization_id        uuid           NOT NULL,
        marketplace_account_id uuid           NOT NULL,
        stream                 text           NOT NULL,
        slice                  text           NOT NULL DEFAULT '',
        wanted_from            timestamptz,
        covered                tstzmultirange NOT NULL DEFAULT '{}',
        settled                tstzmultirange NOT NULL DEFAULT '{}',
        PRIMARY KEY (organization_id, marketplace_account_id, stream, slice),
        FOREIGN KEY (organization_id, marketplace_account_id)
            REFERENCES core.marketplace_account (organization_id, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE collect.request (
        id                     uuid           NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        organization_id        uuid           NOT NULL,
        marketplace_account_id uuid           NOT NULL,
        stream                 text           NOT NULL,
        slice                  text           NOT NULL DEFAULT '',
        time_window            tstzrange,
        priority               smallint       NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 2),
        asked_by               text           NOT NULL,
        created_at             timestamptz    NOT NULL DEFAULT now(),
        done_at                timestamptz,
        outcome                text,
        collected              tstzmultirange NOT NULL DEFAULT '{}',
        FOREIGN KEY (organization_id, marketplace_account_id)
            REFERENCES core.marketplace_account (organization_id, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX request_open_idx
        ON collect.request (organization_id, marketplace_account_id, stream) WHERE done_at IS NULL
    """,
    """
    CREATE TABLE collect.quarantine (
        id                     uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        organization_id        uuid        NOT NULL,
        marketplace_account_id uuid        NOT NULL,
        marketplace            text        NOT NULL,
        stream                 text        NOT NULL,
        slice                  text        NOT NULL DEFAULT '',
        lane                   text        NOT NULL CHECK (lane IN ('live', 'backfill')),
        walk_id                uuid,
        walk_started_at        timestamptz,
        page_number            integer,
        at                     timestamptz NOT NULL DEFAULT now(),
        request                json        NOT NULL,
        status                 smallint,
        content_type           text,
        body                   bytea,
        reason                 text        NOT NULL,
        replayed_at            timestamptz,
        FOREIGN KEY (organization_id, marketplace_account_id)
            REFERENCES core.marketplace_account (organization_id, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX quarantine_stream_idx
        ON collect.quarantine (organization_id, marketplace_account_id, stream, slice, at)
    """,
    "CREATE TABLE collect.bucket (key text NOT NULL PRIMARY KEY, not_before timestamptz NOT NULL)",
)

COMPRESS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_settings
               WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE raw.payload ALTER COLUMN payload SET COMPRESSION lz4, ALTER COLUMN body SET COMPRESSION lz4;
        ALTER TABLE collect.quarantine ALTER COLUMN body SET COMPRESSION lz4;
    ELSE
        RAISE NOTICE 'this server was built without lz4: payloads are compressed with pglz, at twice the CPU';
    END IF;
END
$$
"""

KEEP_COVERED = """
CREATE FUNCTION collect.keep_covered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'coverage of stream % never shrinks: this change would forget what was collected', OLD.stream
        USING ERRCODE = 'check_violation';
END
$$
"""

# What most readers want: pages that are final, with their content wherever it is kept.
PAGE = """
CREATE VIEW raw.page WITH (security_invoker = true) AS
SELECT p.id,
       p.organization_id,
       p.marketplace_account_id,
       p.marketplace,
       p.stream,
       p.slice,
       p.lane,
       p.walk_id,
       p.walk_started_at,
       p.page_number,
       p.part,
       p.parts_id,
       p.time_window,
       p.fetched_at,
       p.request,
       p.status,
       p.content_type,
       p.file_name,
       COALESCE(p.payload, twin.payload)         AS payload,
       COALESCE(p.body, twin.body)               AS body,
       COALESCE(p.body_reason, twin.body_reason) AS body_reason,
       p.same_as,
       p.sha256,
       p.record_count,
       w.superseded_at IS NOT NULL               AS superseded,
       GREATEST(p.xid, w.completed_xid)          AS visible_xid
FROM raw.payload p
LEFT JOIN collect.walk w ON w.id = p.walk_id AND w.started_at = p.walk_started_at
LEFT JOIN raw.payload twin ON twin.id = p.same_as AND twin.fetched_at = p.same_as_fetched_at
WHERE p.walk_id IS NULL OR (w.completed_at IS NOT NULL AND w.cut_at IS NULL)
"""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute(COMPRESS)
    op.execute("CREATE TRIGGER touch BEFORE UPDATE ON collect.stream_state FOR EACH ROW EXECUTE FUNCTION app.touch()")
    op.execute(KEEP_COVERED)
    op.execute("REVOKE ALL ON FUNCTION collect.keep_covered() FROM PUBLIC")
    op.execute(
        "CREATE TRIGGER keep_covered BEFORE UPDATE ON collect.coverage FOR EACH ROW "
        "WHEN (NOT NEW.covered @> OLD.covered) EXECUTE FUNCTION collect.keep_covered()"
    )
    op.execute(PAGE)


def downgrade() -> None:
    op.execute("DROP VIEW raw.page")
    for table in ("bucket", "quarantine", "request", "coverage", "stream_state", "run", "walk"):
        op.execute(f"DROP TABLE collect.{table}")
    op.execute("DROP FUNCTION collect.keep_covered()")
    op.execute("DROP TABLE raw.payload")

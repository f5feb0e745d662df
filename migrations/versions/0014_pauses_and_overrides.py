"""What is collected of an account and how often, pauses with a reason and an end, and turns that count what runs."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COLUMNS = {
    "core.organization": ("status_reason text", "paused_until timestamptz"),
    "core.marketplace_account": ("paused_until timestamptz", "streams text[]"),
    "collect.stream_state": ("every_override interval", "state_reason text", "paused_until timestamptz"),
}

# For every tenant, so it has no tenant column. The stream '' is the whole marketplace.
PAUSE = """
CREATE TABLE collect.pause (
    marketplace text        NOT NULL,
    stream      text        NOT NULL DEFAULT '',
    reason      text        NOT NULL,
    until       timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (marketplace, stream)
)
"""

# Role -> what it may do -> with what.
GRANTS = {
    "collector_worker": {"SELECT": "collect.pause", "UPDATE (paused_until)": "core.marketplace_account"},
    "collector_reader_all": {"SELECT": "collect.pause"},
    "collector_admin": {"SELECT, INSERT, UPDATE, DELETE": "collect.pause"},
    "collector_scheduler": {
        "SELECT, DELETE": "collect.pause",
        "SELECT (status_reason, paused_until), UPDATE (status, status_reason, paused_until)": "core.organization",
        "SELECT (paused_until, streams), UPDATE (status, status_reason, paused_until)": "core.marketplace_account",
        "SELECT (every_override, state_reason, paused_until), UPDATE (state, state_reason, paused_until)": (
            "collect.stream_state"
        ),
    },
}

DUE_BEFORE = """
CREATE FUNCTION collect.due(room integer)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text, stream text, slice text, lane text,
               priority smallint, due_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.organization_id, s.marketplace_account_id, s.marketplace, s.stream, s.slice, s.lane, s.priority,
           s.next_due_at
    FROM collect.stream_state s
    JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
    JOIN core.organization o ON o.id = s.organization_id
    WHERE s.state IN ('active', 'unavailable') AND s.next_due_at <= now()
      AND (s.not_before IS NULL OR s.not_before <= now())
      AND (s.lease_until IS NULL OR s.lease_until <= now())
      AND a.status = 'active' AND o.status = 'active'
    ORDER BY s.priority,
             row_number() OVER (PARTITION BY s.organization_id ORDER BY s.priority, s.next_due_at),
             s.next_due_at
    LIMIT greatest(room, 0)
$$
"""

# The organizations take turns, and of each organization its accounts: each begins with another one, so that after an
# outage the marketplaces mix. What runs has had its turn: it was due, and stays so until its run has ended.
DUE = """
CREATE FUNCTION collect.due(room integer, of_organization integer DEFAULT 2147483647,
                            of_account integer DEFAULT 2147483647)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text, stream text, slice text, lane text,
               priority smallint, due_at timestamptz, turn bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '32MB' AS $$
    SELECT w.organization_id, w.marketplace_account_id, w.marketplace, w.stream, w.slice, w.lane, w.priority,
           w.next_due_at, w.turn
    FROM (
        SELECT v.*, row_number() OVER (
                   PARTITION BY v.organization_id
                   ORDER BY v.free, v.priority, v.turn_of_account, uuid_hash(v.marketplace_account_id)
               ) AS turn
        FROM (
            SELECT s.organization_id, s.marketplace_account_id, s.marketplace, s.stream, s.slice, s.lane, s.priority,
                   s.next_due_at, s.lease_until IS NULL OR s.lease_until <= now() AS free,
                   row_number() OVER (
                       PARTITION BY s.organization_id, s.marketplace_account_id
                       ORDER BY s.lease_until IS NULL OR s.lease_until <= now(), s.priority, s.next_due_at
                   ) AS turn_of_account
            FROM collect.stream_state s
            JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
            JOIN core.organization o ON o.id = s.organization_id
            WHERE s.state IN ('active', 'unavailable') AND s.next_due_at <= now()
              AND (s.not_before IS NULL OR s.not_before <= now())
              AND a.status = 'active' AND o.status = 'active'
              AND s.marketplace NOT IN (SELECT p.marketplace FROM collect.pause p WHERE p.stream = '')
              AND (s.marketplace, s.stream) NOT IN (SELECT p.marketplace, p.stream FROM collect.pause p)
        ) v
        WHERE v.turn_of_account <= of_account
    ) w
    WHERE w.free AND w.turn <= of_organization
    ORDER BY w.priority, w.turn, w.next_due_at
    LIMIT greatest(room, 0)
$$
"""

# The accounts whose rows are not what the registry and the account's own wishes make of them. What a list of slices
# says is not looked at: a run that has read a list makes its rows itself. `new_lists`: those whose streams have no rows
# at all, as after an upgrade that brings such a stream.
UNRECONCILED = """
CREATE FUNCTION collect.unreconciled(marketplaces text[], streams text[], slices text[], every interval[],
                                     listers text[], new_lists boolean)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH registry AS (
        SELECT *
        FROM unnest(marketplaces, streams, slices, every, listers) r (marketplace, stream, slice, every, lister)
    ), account AS (
        SELECT a.organization_id, a.id, a.marketplace, a.streams
        FROM core.marketplace_account a JOIN core.organization o ON o.id = a.organization_id
        WHERE a.status = 'active' AND o.status = 'active'
    ), state AS (
        SELECT s.marketplace_account_id AS id, s.stream, s.slice, s.lane, s.state, s."interval", s.every_override,
               s.last_success_at
        FROM collect.stream_state s
    )
    SELECT a.organization_id, a.id, a.marketplace FROM account a WHERE a.id IN (
        SELECT b.id
        FROM account b JOIN registry r ON r.marketplace = b.marketplace
        LEFT JOIN state s ON s.id = b.id AND s.stream = r.stream AND s.slice = r.slice AND s.lane = 'live'
        WHERE r.lister IS NULL AND (b.streams IS NULL OR r.stream = ANY (b.streams))
          AND (s.id IS NULL OR s.state = 'retired')
        UNION ALL
        SELECT b.id
        FROM state s JOIN account b ON b.id = s.id
        LEFT JOIN registry r ON r.marketplace = b.marketplace AND r.stream = s.stream
                            AND r.slice = CASE WHEN r.lister IS NULL THEN s.slice ELSE '' END
        WHERE s.state NOT IN ('retired', 'paused')
          AND (r.stream IS NULL OR s.stream <> ALL (b.streams)
               OR s.lane = 'live' AND s."interval" <> coalesce(s.every_override, r.every))
        UNION ALL
        SELECT b.id
        FROM account b JOIN registry r ON r.marketplace = b.marketplace
        WHERE new_lists AND r.lister IS NOT NULL AND (b.streams IS NULL OR r.stream = ANY (b.streams))
          AND EXISTS (SELECT FROM state s WHERE s.id = b.id AND s.stream = r.lister AND s.last_success_at IS NOT NULL)
          AND NOT EXISTS (SELECT FROM state s WHERE s.id = b.id AND s.stream = r.stream)
        UNION ALL
        SELECT b.id FROM account b WHERE b.marketplace NOT IN (SELECT r.marketplace FROM registry r)
    )
    ORDER BY a.organization_id, a.id
$$
"""

# What was paused until a moment that has passed goes on. Plain tables say `paused`, so nobody else reads the clock.
RESUME = """
CREATE FUNCTION collect.resume_elapsed() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH organizations AS (
        UPDATE core.organization o SET status = 'active', status_reason = NULL, paused_until = NULL
        WHERE o.status = 'paused' AND o.paused_until <= now() RETURNING 1
    ), accounts AS (
        UPDATE core.marketplace_account a SET status = 'active', status_reason = NULL, paused_until = NULL
        WHERE a.status = 'paused' AND a.paused_until <= now() RETURNING 1
    ), states AS (
        UPDATE collect.stream_state s SET state = 'active', state_reason = NULL, paused_until = NULL
        WHERE s.state = 'paused' AND s.paused_until <= now() RETURNING 1
    ), pauses AS (
        DELETE FROM collect.pause p WHERE p.until <= now() RETURNING 1
    )
    SELECT count(*) FROM (
        SELECT FROM organizations UNION ALL SELECT FROM accounts UNION ALL SELECT FROM states
        UNION ALL SELECT FROM pauses
    ) resumed
$$
"""

FUNCTIONS = {
    "collect.due(integer, integer, integer)": DUE,
    "collect.unreconciled(text[], text[], text[], interval[], text[], boolean)": UNRECONCILED,
    "collect.resume_elapsed()": RESUME,
}


def make_functions(functions: dict[str, str]) -> None:
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    for signature, make in functions.items():
        op.execute(make)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO collector_worker")
        op.execute(f"ALTER FUNCTION {signature} OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"ADD COLUMN {column}" for column in columns))
        # It may end the pause of any tenant, and see them to do so.
        op.execute(
            f"CREATE POLICY resuming ON {table} FOR UPDATE TO collector_scheduler USING (true) WITH CHECK (true)"
        )
    op.execute(
        "CREATE INDEX stream_state_paused_idx ON collect.stream_state (paused_until) WHERE paused_until IS NOT NULL"
    )
    op.execute(PAUSE)
    for role, rights in GRANTS.items():
        for right, objects in rights.items():
            op.execute(f"GRANT {right} ON {objects} TO {role}")
    op.execute("DROP FUNCTION collect.due(integer)")
    make_functions(FUNCTIONS)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    make_functions({"collect.due(integer)": DUE_BEFORE})
    op.execute("DROP TABLE collect.pause")
    op.execute("DROP INDEX collect.stream_state_paused_idx")
    for table, columns in COLUMNS.items():
        op.execute(f"DROP POLICY resuming ON {table}")
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN {column.split()[0]}" for column in columns))
    for rights in (  # those to columns that were there before
        "UPDATE (status) ON core.organization",
        "UPDATE (status, status_reason) ON core.marketplace_account",
        "UPDATE (state) ON collect.stream_state",
    ):
        op.execute(f"REVOKE {rights} FROM collector_scheduler")

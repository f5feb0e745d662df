"""A stream that is unavailable comes due again; a refused answer that comes again is counted, not kept once more."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The organizations take turns: the first due stream of each, then the second of each, and so on.
DUE = """
CREATE FUNCTION collect.due(room integer)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text, stream text, slice text, lane text,
               priority smallint, due_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.organization_id, s.marketplace_account_id, s.marketplace, s.stream, s.slice, s.lane, s.priority,
           s.next_due_at
    FROM collect.stream_state s
    JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
    JOIN core.organization o ON o.id = s.organization_id
    WHERE s.{condition} AND s.next_due_at <= now()
      AND (s.not_before IS NULL OR s.not_before <= now())
      AND (s.lease_until IS NULL OR s.lease_until <= now())
      AND a.status = 'active' AND o.status = 'active'
    ORDER BY s.priority,
             row_number() OVER (PARTITION BY s.organization_id ORDER BY s.priority, s.next_due_at),
             s.next_due_at
    LIMIT greatest(room, 0)
$$
"""

BEFORE, NOW = "state = 'active'", "state IN ('active', 'unavailable')"


def due_if(condition: str) -> None:
    """Let what meets the condition be due: the function, and the index that it looks into."""
    op.execute("DROP INDEX collect.stream_state_due_idx")
    op.execute(
        "CREATE INDEX stream_state_due_idx ON collect.stream_state (next_due_at) "
        f"WHERE {condition} AND next_due_at IS NOT NULL"
    )
    # Dropped, for only its owner could replace it, and that is another role.
    op.execute("DROP FUNCTION collect.due(integer)")
    op.execute(DUE.format(condition=condition))
    op.execute("REVOKE ALL ON FUNCTION collect.due(integer) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION collect.due(integer) TO collector_worker")
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute("ALTER FUNCTION collect.due(integer) OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def record_changes_of_quarantine(condition: str = "") -> None:
    op.execute("DROP TRIGGER record_change ON collect.quarantine")
    op.execute(
        "CREATE TRIGGER record_change AFTER UPDATE ON collect.quarantine "
        f"FOR EACH ROW {condition} EXECUTE FUNCTION core.record_change()"
    )


def upgrade() -> None:
    due_if(NOW)
    op.execute("ALTER TABLE collect.quarantine ADD COLUMN times integer NOT NULL DEFAULT 1")
    # What a person did, not that a worker counted: of that there is no end.
    record_changes_of_quarantine("WHEN (OLD.times = NEW.times)")


def downgrade() -> None:
    record_changes_of_quarantine()
    op.execute("ALTER TABLE collect.quarantine DROP COLUMN times")
    due_if(BEFORE)

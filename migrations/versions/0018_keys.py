"""Until when the key of an account is good, and when somebody last looked."""

from alembic import op

revision = "0018"
down_revision = "0014"
branch_labels = None
depends_on = None

COLUMNS = "key_expires_at, key_checked_at"
READERS = "collector_reader, collector_reader_all, collector_scheduler"
SIGNATURE = "collect.keys()"

KEYS = """
CREATE FUNCTION collect.keys()
RETURNS TABLE (organization text, organization_id uuid, account text, marketplace_account_id uuid, marketplace text,
               key_expires_at timestamptz, key_checked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.name, o.id, a.name, a.id, a.marketplace, a.key_expires_at, a.key_checked_at
    FROM core.marketplace_account a
    JOIN core.organization o ON o.id = a.organization_id
    WHERE a.status = 'active' AND o.status = 'active'
    ORDER BY a.organization_id, a.id
$$
"""

# What a person or a run changed: that a worker looked at a key is neither for the audit nor for `updated_at`.
CHANGES = "UPDATE OF organization_id, marketplace, name, external_id, secret_ref, proxy_group, status, status_reason"


def watch(changes: str) -> None:
    """Let the triggers of the table fire on these changes of it."""
    for name in ("touch", "record_change"):
        op.execute(f"DROP TRIGGER {name} ON core.marketplace_account")
    op.execute(
        f"CREATE TRIGGER touch BEFORE {changes} ON core.marketplace_account FOR EACH ROW EXECUTE FUNCTION app.touch()"
    )
    op.execute(
        f"CREATE TRIGGER record_change AFTER INSERT OR {changes} OR DELETE ON core.marketplace_account "
        "FOR EACH ROW EXECUTE FUNCTION core.record_change()"
    )


def upgrade() -> None:
    op.execute(
        "ALTER TABLE core.marketplace_account "
        "ADD COLUMN key_expires_at timestamptz, ADD COLUMN key_checked_at timestamptz"
    )
    watch(CHANGES)
    op.execute(f"GRANT SELECT ({COLUMNS}) ON core.marketplace_account TO {READERS}")
    op.execute(f"GRANT UPDATE ({COLUMNS}) ON core.marketplace_account TO collector_worker")
    op.execute(KEYS)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO collector_worker, collector_admin, collector_metrics")
    # A new owner must be able to create in the schema at the moment of the change, and not a moment longer.
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute(f"ALTER FUNCTION {SIGNATURE} OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    watch("UPDATE")
    op.execute("ALTER TABLE core.marketplace_account DROP COLUMN key_expires_at, DROP COLUMN key_checked_at")

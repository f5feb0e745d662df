"""Until when the key of an account is good, and when somebody last looked."""

from collections.abc import Iterable, Mapping

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

# That a worker looked at a key is neither for the audit nor for `updated_at`. Whatever else changes is, in columns that
# are yet to come too. WHEN of an INSERT may not name OLD, so the audit takes two triggers.
CHANGED = " IS DISTINCT FROM ".join(f"to_jsonb({row}) - 'key_expires_at' - 'key_checked_at'" for row in ("OLD", "NEW"))
TRIGGERS = {
    "touch": f"BEFORE UPDATE ON {{}} FOR EACH ROW WHEN ({CHANGED}) EXECUTE FUNCTION app.touch()",
    "record_change": "AFTER INSERT OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION core.record_change()",
    "record_update": f"AFTER UPDATE ON {{}} FOR EACH ROW WHEN ({CHANGED}) EXECUTE FUNCTION core.record_change()",
}
TRIGGERS_BEFORE = {
    "touch": "BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION app.touch()",
    "record_change": "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION core.record_change()",
}


def replace_triggers(old: Iterable[str], new: Mapping[str, str]) -> None:
    for name in old:
        op.execute(f"DROP TRIGGER {name} ON core.marketplace_account")
    for name, what in new.items():
        op.execute(f"CREATE TRIGGER {name} {what.format('core.marketplace_account')}")


def upgrade() -> None:
    op.execute(
        "ALTER TABLE core.marketplace_account "
        "ADD COLUMN key_expires_at timestamptz, ADD COLUMN key_checked_at timestamptz"
    )
    replace_triggers(TRIGGERS_BEFORE, TRIGGERS)
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
    replace_triggers(TRIGGERS, TRIGGERS_BEFORE)
    op.execute("ALTER TABLE core.marketplace_account DROP COLUMN key_expires_at, DROP COLUMN key_checked_at")

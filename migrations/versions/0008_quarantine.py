"""What becomes of a quarantined answer: replayed or dropped, by whom, and whether it is whole."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # sha256 is of the body as it came; where the body differs, the account's keys were taken out of it.
    # position is that of the slice when it had asked for the answer: a replay goes on from there.
    op.execute(
        "ALTER TABLE collect.quarantine "
        "ADD COLUMN dropped_at timestamptz, ADD COLUMN sha256 bytea, ADD COLUMN position json, "
        "ADD CONSTRAINT quarantine_sha256_check CHECK (octet_length(sha256) = 32), "
        "ADD CONSTRAINT quarantine_dealt_with_once CHECK (replayed_at IS NULL OR dropped_at IS NULL)"
    )
    op.execute(
        "CREATE TRIGGER record_change AFTER UPDATE ON collect.quarantine "
        "FOR EACH ROW EXECUTE FUNCTION core.record_change()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER record_change ON collect.quarantine")
    op.execute("ALTER TABLE collect.quarantine DROP COLUMN dropped_at, DROP COLUMN sha256, DROP COLUMN position")

"""Readers may see which revision the database is at: `collector read` works as one of them."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT USAGE ON SCHEMA meta TO collector_reader, collector_reader_all")
    op.execute("GRANT SELECT ON meta.alembic_version TO collector_reader, collector_reader_all")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON meta.alembic_version FROM collector_reader, collector_reader_all")
    op.execute("REVOKE USAGE ON SCHEMA meta FROM collector_reader, collector_reader_all")

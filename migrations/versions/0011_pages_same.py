"""Runs count the pages that were as they were, which are not stored again."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE collect.run ADD COLUMN pages_same integer NOT NULL DEFAULT 0, "
        "ADD COLUMN bytes_same bigint NOT NULL DEFAULT 0"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE collect.run DROP COLUMN pages_same, DROP COLUMN bytes_same")

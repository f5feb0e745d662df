"""How many accounts a proxy may carry, and the address that it goes out by. Neither rewrites the table."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE core.proxy ADD max_accounts integer NOT NULL DEFAULT 20 CHECK (max_accounts > 0), ADD egress inet"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE core.proxy DROP max_accounts, DROP egress")

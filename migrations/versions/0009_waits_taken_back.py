"""A wait that was kept for a request which then never left is taken back."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SIGNATURE = "collect.bucket_take_back(text, timestamptz)"

BUCKET_TAKE_BACK = """
CREATE FUNCTION collect.bucket_take_back(key text, until timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM collect.bucket b WHERE b.key = $1 AND b.not_before = $2
$$
"""


def upgrade() -> None:
    # A new owner must be able to create in the schema at the moment of the change, and not a moment longer.
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute(BUCKET_TAKE_BACK)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO collector_worker")
    op.execute(f"ALTER FUNCTION {SIGNATURE} OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")

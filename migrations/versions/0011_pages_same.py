"""Runs count the pages that were as they were and are not stored again; collect.savings adds them up for everybody."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

READABLE = (
    "organization_id, marketplace_account_id, stream, slice, lane, started_at, pages, bytes, pages_same, bytes_same"
)
SIGNATURE = "collect.savings(timestamptz, timestamptz)"
# Both times are the caller's: only then are the partitions of other months left out.
SAVINGS = """
CREATE FUNCTION collect.savings(since timestamptz, until timestamptz)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, stream text, slice text, lane text,
               pages bigint, pages_same bigint, bytes bigint, bytes_same bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.organization_id, r.marketplace_account_id, r.stream, r.slice, r.lane,
           sum(r.pages)::bigint, sum(r.pages_same)::bigint, sum(r.bytes)::bigint, sum(r.bytes_same)::bigint
    FROM collect.run r
    WHERE r.started_at >= since AND r.started_at < until AND r.pages > 0
    GROUP BY r.organization_id, r.marketplace_account_id, r.stream, r.slice, r.lane
$$
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE collect.run ADD COLUMN pages_same integer NOT NULL DEFAULT 0, "
        "ADD COLUMN bytes_same bigint NOT NULL DEFAULT 0"
    )
    op.execute("CREATE POLICY scheduling ON collect.run FOR SELECT TO collector_scheduler USING (true)")
    op.execute(f"GRANT SELECT ({READABLE}) ON collect.run TO collector_scheduler")
    op.execute(SAVINGS)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO collector_worker, collector_admin, collector_metrics")
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute(f"ALTER FUNCTION {SIGNATURE} OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(f"REVOKE SELECT ({READABLE}) ON collect.run FROM collector_scheduler")  # noqa: S608 - a constant
    op.execute("DROP POLICY scheduling ON collect.run")
    op.execute("ALTER TABLE collect.run DROP COLUMN pages_same, DROP COLUMN bytes_same")

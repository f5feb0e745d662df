"""What lets the planner leave months out: raw.page for a range of time, and windows that are over when read."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SIGNATURE = "raw.pages(timestamptz, timestamptz)"

# raw.page itself (revision 0003), with bounds on all three tables. The planner puts the function's body in its caller's
# place, which it does with one SELECT that is STABLE, not strict and without SET; then the bounds are constants to it.
# A page is fetched within 28 days of its walk's beginning, and points at another of its own month.
PAGES = """
CREATE FUNCTION raw.pages(since timestamptz, until timestamptz) RETURNS SETOF raw.page LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.id, p.organization_id, p.marketplace_account_id, p.marketplace, p.stream, p.slice, p.lane, p.walk_id,
           p.walk_started_at, p.page_number, p.part, p.parts_id, p.time_window, p.fetched_at, p.request, p.status,
           p.content_type, p.file_name,
           COALESCE(p.payload, twin.payload)         AS payload,
           COALESCE(p.body, twin.body)               AS body,
           COALESCE(p.body_reason, twin.body_reason) AS body_reason,
           p.same_as, p.sha256, p.record_count,
           w.superseded_at IS NOT NULL               AS superseded,
           GREATEST(p.xid, w.completed_xid)          AS visible_xid
    FROM raw.payload p
    LEFT JOIN collect.walk w ON w.id = p.walk_id AND w.started_at = p.walk_started_at
        AND w.started_at >= (since AT TIME ZONE 'UTC' - interval '31 days') AT TIME ZONE 'UTC'
        AND w.started_at < (until AT TIME ZONE 'UTC' + interval '1 day') AT TIME ZONE 'UTC'
    LEFT JOIN raw.payload twin ON twin.id = p.same_as AND twin.fetched_at = p.same_as_fetched_at
        AND twin.fetched_at >= date_trunc('month', since AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        AND twin.fetched_at < (date_trunc('month', until AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
    WHERE p.fetched_at >= since AND p.fetched_at < until
      AND (p.walk_id IS NULL OR (w.completed_at IS NOT NULL AND w.cut_at IS NULL));
END
"""

# The first may be left behind by an attempt whose second statement was cut off.
WINDOW_IS_OVER = """
ALTER TABLE collect.walk DROP CONSTRAINT IF EXISTS walk_window_is_over, ADD CONSTRAINT walk_window_is_over
    CHECK (upper(time_window) <= started_at + interval '24 hours') NOT VALID
"""


def upgrade() -> None:
    op.execute(WINDOW_IS_OVER)
    with op.get_context().autocommit_block():  # all walks are looked through, while others go on writing them
        op.execute("ALTER TABLE collect.walk VALIDATE CONSTRAINT walk_window_is_over")
    op.execute(PAGES)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(
        f"GRANT EXECUTE ON FUNCTION {SIGNATURE} "
        "TO collector_worker, collector_reader, collector_reader_all, collector_admin"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE collect.walk DROP CONSTRAINT walk_window_is_over")
    op.execute(f"DROP FUNCTION {SIGNATURE}")

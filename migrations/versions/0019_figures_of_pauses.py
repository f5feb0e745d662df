"""The figures know pauses for everybody and intervals that were wished: what is paused is neither due nor late."""

from importlib import import_module

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# One pass over the slices, then sums of its few rows. Live slices have a lag: a backfill is as late as it is long.
FIGURES = """
CREATE FUNCTION collect.figures() RETURNS TABLE (name text, labels text[], value double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH account AS MATERIALIZED (
        SELECT a.organization_id, a.id, a.marketplace, a.key_expires_at,
               CASE WHEN o.status = 'active' THEN a.status ELSE o.status END AS status
        FROM core.marketplace_account a
        JOIN core.organization o ON o.id = a.organization_id
    ), by_stream AS MATERIALIZED (
        SELECT s.marketplace, s.stream, standing.state, count(*) AS slices,
               count(*) FILTER (WHERE due.since IS NOT NULL) AS due,
               min(due.since) AS due_since,
               min(coalesce(s.last_success_at, s.created_at) + coalesce(s.every_override, s."interval"))
                   FILTER (WHERE s.lane = 'live') AS wanted_at
        FROM collect.stream_state s
        JOIN account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
        LEFT JOIN collect.pause whole ON whole.marketplace = s.marketplace AND whole.stream = ''
        LEFT JOIN collect.pause one ON one.marketplace = s.marketplace AND one.stream = s.stream
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.state <> 'retired' AND num_nonnulls(whole.marketplace, one.marketplace) > 0
                        THEN 'paused' ELSE s.state END
        ) AS standing (state)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.next_due_at <= now() AND standing.state IN ('active', 'unavailable')
                         AND coalesce(s.not_before <= now(), true) AND coalesce(s.lease_until <= now(), true)
                        THEN greatest(s.next_due_at, s.not_before) END
        ) AS due (since)
        WHERE a.status = 'active'
        GROUP BY s.marketplace, s.stream, standing.state
    )
    SELECT 'due_slices', ARRAY[b.marketplace, b.stream], sum(b.due)::double precision
    FROM by_stream b GROUP BY b.marketplace, b.stream HAVING sum(b.due) > 0
    UNION ALL
    SELECT 'due_age_seconds', ARRAY[b.marketplace, b.stream],
           extract(epoch FROM now() - min(b.due_since))::double precision
    FROM by_stream b GROUP BY b.marketplace, b.stream HAVING sum(b.due) > 0
    UNION ALL
    SELECT 'lag_seconds', ARRAY[b.marketplace, b.stream],
           greatest(extract(epoch FROM now() - b.wanted_at), 0)::double precision
    FROM by_stream b WHERE b.state = 'active' AND b.wanted_at IS NOT NULL
    UNION ALL
    SELECT 'slices', ARRAY[b.marketplace, b.state], sum(b.slices)::double precision
    FROM by_stream b WHERE b.state <> 'retired' GROUP BY b.marketplace, b.state
    UNION ALL
    SELECT 'accounts', ARRAY[a.marketplace, a.status], count(*)::double precision
    FROM account a GROUP BY a.marketplace, a.status
    UNION ALL
    SELECT 'key_expires_days', ARRAY[a.marketplace],
           (min(extract(epoch FROM a.key_expires_at - now())) / 86400)::double precision
    FROM account a WHERE a.key_expires_at IS NOT NULL AND a.status = 'active' GROUP BY a.marketplace
    UNION ALL
    SELECT 'quarantine_open', ARRAY[q.marketplace, q.stream], count(*)::double precision
    FROM collect.quarantine q WHERE q.replayed_at IS NULL AND q.dropped_at IS NULL GROUP BY q.marketplace, q.stream
$$
"""


def make_again(figures: str) -> None:
    op.execute("DROP FUNCTION collect.figures()")
    op.execute(figures)
    op.execute("REVOKE ALL ON FUNCTION collect.figures() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION collect.figures() TO collector_worker, collector_admin, collector_metrics")
    # A new owner must be able to create in the schema at the moment of the change, and not a moment longer.
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute("ALTER FUNCTION collect.figures() OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def upgrade() -> None:
    make_again(FIGURES)


def downgrade() -> None:
    make_again(import_module("migrations.versions.0013_figures").FIGURES)

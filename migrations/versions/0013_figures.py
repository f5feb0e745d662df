"""The figures of the whole fleet, for /metrics: counted over all tenants by one function, which names none of them."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# One pass over the slices, then sums of its few rows. Live slices have a lag: a backfill is as late as it is long.
# core.marketplace_account may have key_expires_at from a later revision on; whoever adds it grants it to us.
FIGURES = """
CREATE FUNCTION collect.figures() RETURNS TABLE (name text, labels text[], value double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH account AS MATERIALIZED (
        SELECT a.organization_id, a.id, a.marketplace,
               CASE WHEN o.status = 'active' THEN a.status ELSE o.status END AS status
        FROM core.marketplace_account a
        JOIN core.organization o ON o.id = a.organization_id
    ), by_stream AS MATERIALIZED (
        SELECT s.marketplace, s.stream, s.state, count(*) AS slices,
               count(*) FILTER (WHERE due.since IS NOT NULL) AS due,
               min(due.since) AS due_since,
               min(coalesce(s.last_success_at, s.created_at) + s."interval") FILTER (WHERE s.lane = 'live') AS wanted_at
        FROM collect.stream_state s
        JOIN account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.next_due_at <= now() AND s.state IN ('active', 'unavailable')
                         AND coalesce(s.not_before <= now(), true) AND coalesce(s.lease_until <= now(), true)
                        THEN greatest(s.next_due_at, s.not_before) END
        ) AS due (since)
        WHERE a.status = 'active'
        GROUP BY s.marketplace, s.stream, s.state
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
    SELECT 'quarantine_open', ARRAY[q.marketplace, q.stream], count(*)::double precision
    FROM collect.quarantine q WHERE q.replayed_at IS NULL AND q.dropped_at IS NULL GROUP BY q.marketplace, q.stream;

    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'core.marketplace_account'::regclass AND attname = 'key_expires_at'
                 AND has_column_privilege(attrelid, attnum, 'SELECT')) THEN
        RETURN QUERY EXECUTE $query$
            SELECT 'key_expires_days', ARRAY[a.marketplace],
                   (min(extract(epoch FROM a.key_expires_at - now())) / 86400)::double precision
            FROM core.marketplace_account a
            JOIN core.organization o ON o.id = a.organization_id
            WHERE a.key_expires_at IS NOT NULL AND a.status = 'active' AND o.status = 'active'
            GROUP BY a.marketplace
        $query$;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute('GRANT SELECT ("interval", created_at) ON collect.stream_state TO collector_scheduler')
    op.execute(
        "GRANT SELECT (marketplace, stream, replayed_at, dropped_at) ON collect.quarantine TO collector_scheduler"
    )
    op.execute("CREATE POLICY scheduling ON collect.quarantine FOR SELECT TO collector_scheduler USING (true)")
    op.execute(
        "CREATE INDEX quarantine_open_idx ON collect.quarantine (marketplace, stream) "
        "WHERE replayed_at IS NULL AND dropped_at IS NULL"
    )
    op.execute(FIGURES)
    op.execute("REVOKE ALL ON FUNCTION collect.figures() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION collect.figures() TO collector_worker, collector_admin, collector_metrics")
    op.execute("GRANT CREATE ON SCHEMA collect TO collector_scheduler")
    op.execute("ALTER FUNCTION collect.figures() OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect FROM collector_scheduler")


def downgrade() -> None:
    op.execute("DROP FUNCTION collect.figures()")
    op.execute("DROP INDEX collect.quarantine_open_idx")
    op.execute("DROP POLICY scheduling ON collect.quarantine")
    op.execute(
        "REVOKE SELECT (marketplace, stream, replayed_at, dropped_at) ON collect.quarantine FROM collector_scheduler"
    )
    op.execute('REVOKE SELECT ("interval", created_at) ON collect.stream_state FROM collector_scheduler')

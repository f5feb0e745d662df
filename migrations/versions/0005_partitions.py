"""raw.ensure_partition(month), and the partitions from this month to three months ahead."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# CREATE TABLE … PARTITION OF would queue every insert behind the oldest open transaction; LIKE + ATTACH does not.
# A partition has row-level security without a policy and no grant: by its own name it is nobody's.
ENSURE_PARTITION = r"""
CREATE FUNCTION raw.ensure_partition(month date) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET "TimeZone" = 'UTC'
AS $$
DECLARE
    first    date := date_trunc('month', month);
    current  date := date_trunc('month', now());
    parent   regclass;
    child    text;
    existing pg_class;
    grantee  oid;
    made     integer := 0;
BEGIN
    IF month IS NULL OR first < current - interval '1 month' OR first > current + interval '12 months' THEN
        RAISE EXCEPTION 'no partition is made for %: ask for a month from % to %', coalesce(month::text, 'NULL'),
            to_char(current - interval '1 month', 'YYYY-MM'), to_char(current + interval '12 months', 'YYYY-MM')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('raw.ensure_partition', 0));
    FOREACH parent IN ARRAY ARRAY['raw.payload', 'collect.walk', 'collect.run']::regclass[] LOOP
        child := format('%s_%s', parent, to_char(first, '"y"YYYY"m"MM'));
        SELECT * INTO existing FROM pg_class WHERE oid = to_regclass(child);
        IF existing.relispartition THEN
            IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = existing.oid AND inhdetachpending) THEN
                RAISE EXCEPTION 'partition % is half detached: run ALTER TABLE % DETACH PARTITION % FINALIZE', child,
                    parent, child USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
            CONTINUE;
        END IF;
        -- A table of this name that is no partition was left behind by hand or by a detach: it is taken back as it is.
        IF existing.oid IS NULL THEN
            EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', child, parent);
        END IF;
        FOR grantee IN
            SELECT DISTINCT acl.grantee FROM pg_class c, aclexplode(c.relacl) acl
            WHERE c.oid = to_regclass(child) AND acl.grantee <> c.relowner
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', child,
                           CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
        END LOOP;
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', child);
        EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_insert_scale_factor = 0.05, '
                       'autovacuum_analyze_scale_factor = 0.02)', child);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, child,
                       first || ' 00:00:00+00', (first + interval '1 month')::date || ' 00:00:00+00');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$
"""


def upgrade() -> None:
    op.execute(ENSURE_PARTITION)
    op.execute("REVOKE ALL ON FUNCTION raw.ensure_partition(date) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION raw.ensure_partition(date) TO collector_worker")
    op.execute(
        "SELECT raw.ensure_partition(((now() AT TIME ZONE 'UTC') + ahead * interval '1 month')::date) "
        "FROM generate_series(0, 3) AS ahead"
    )


def downgrade() -> None:
    """The partitions stay: they hold rows. They go with their tables."""
    op.execute("DROP FUNCTION raw.ensure_partition(date)")

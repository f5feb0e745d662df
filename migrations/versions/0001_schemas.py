"""The schemas, who may look into them, and the Russian collations where the server has ICU.

Roles and the schema `meta` are made by migrations/prepare.py before the first revision and outlive the last downgrade.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MAKE_COLLATIONS = """
DO $$
BEGIN
    -- ks-level2 tells letters and accents apart, not case.
    CREATE COLLATION core."ru_RU_icu" (provider = icu, locale = 'ru-RU-u-ks-level2', deterministic = false);
    CREATE COLLATION core."ru_RU_icu_cs" (provider = icu, locale = 'ru-RU');
EXCEPTION
    WHEN feature_not_supported THEN
        RAISE NOTICE 'this server was built without ICU: the collations ru_RU_icu and ru_RU_icu_cs are left out';
END
$$
"""

TOUCH = """
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    for schema in ("core", "raw", "collect", "app"):
        op.execute(f"CREATE SCHEMA {schema}")
    op.execute("GRANT USAGE ON SCHEMA core, raw, collect, app, meta TO collector_worker, collector_admin")
    op.execute("GRANT USAGE ON SCHEMA core, raw, collect, app TO collector_reader, collector_reader_all")
    op.execute("GRANT USAGE ON SCHEMA core, collect TO collector_scheduler")
    op.execute("GRANT USAGE ON SCHEMA collect TO collector_metrics")
    # The worker refuses to start on another revision than its own, so it must be able to read it.
    op.execute("GRANT SELECT ON meta.alembic_version TO collector_worker, collector_admin")
    op.execute(MAKE_COLLATIONS)
    op.execute(TOUCH)
    op.execute("REVOKE ALL ON FUNCTION app.touch() FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION app.touch()")
    op.execute('DROP COLLATION IF EXISTS core."ru_RU_icu", core."ru_RU_icu_cs"')
    for schema in ("app", "collect", "raw", "core"):
        op.execute(f"DROP SCHEMA {schema}")

"""Tenants, their people and accounts, proxies, and the record of who changed them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE core.organization (
        id         uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        name       text        NOT NULL CONSTRAINT organization_name_key UNIQUE CHECK (name <> ''),
        status     text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE core."user" (
        id         uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        email      text        NOT NULL CONSTRAINT user_email_key UNIQUE,
        name       text        NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE core.membership (
        organization_id uuid NOT NULL REFERENCES core.organization (id) ON DELETE CASCADE,
        user_id         uuid NOT NULL REFERENCES core."user" (id) ON DELETE CASCADE,
        role            text NOT NULL CHECK (role <> ''),
        PRIMARY KEY (organization_id, user_id)
    )
    """,
    "CREATE INDEX membership_user_idx ON core.membership (user_id)",
    """
    CREATE TABLE core.marketplace_account (
        id              uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        organization_id uuid        NOT NULL REFERENCES core.organization (id),
        marketplace     text        NOT NULL CHECK (marketplace ~ '^[a-z][a-z0-9_]*$'),
        name            text        NOT NULL CHECK (name <> ''),
        external_id     text        NOT NULL,
        -- A secret itself has no scheme, so one pasted here by mistake is refused.
        secret_ref      text        NOT NULL CHECK (secret_ref ~ '^[a-z][a-z0-9_-]*:.'),
        proxy_group     text,
        status          text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
        status_reason   text,
        created_at      timestamptz NOT NULL DEFAULT now(),
        updated_at      timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT marketplace_account_tenant_key UNIQUE (organization_id, id),
        CONSTRAINT marketplace_account_name_key UNIQUE (organization_id, marketplace, name)
    )
    """,
    """
    CREATE TABLE core.proxy (
        id          uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        name        text        NOT NULL CONSTRAINT proxy_name_key UNIQUE CHECK (name <> ''),
        proxy_group text        NOT NULL CHECK (proxy_group <> ''),
        url         text        NOT NULL CONSTRAINT proxy_url_without_credentials CHECK (strpos(url, '@') = 0),
        secret_ref  text        CHECK (secret_ref ~ '^[a-z][a-z0-9_-]*:.'),
        status      text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
        created_at  timestamptz NOT NULL DEFAULT now(),
        updated_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE core.audit (
        id         uuid        NOT NULL DEFAULT uuidv7() PRIMARY KEY,
        at         timestamptz NOT NULL DEFAULT now(),
        db_user    text        NOT NULL,
        db_role    text,
        operation  text        NOT NULL,
        table_name text        NOT NULL,
        row_id     uuid        NOT NULL
    )
    """,
    "CREATE INDEX audit_at_idx ON core.audit (at)",
)

# Runs as the owner, since nobody else may write to core.audit; current_user is therefore of no use here.
RECORD_CHANGE = """
CREATE FUNCTION core.record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO core.audit (db_user, db_role, operation, table_name, row_id)
    VALUES (session_user, NULLIF(current_setting('role', true), 'none'), TG_OP,
            TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END
$$
"""

CHANGES_RECORDED = ("core.organization", "core.marketplace_account", "core.proxy")


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute(RECORD_CHANGE)
    op.execute("REVOKE ALL ON FUNCTION core.record_change() FROM PUBLIC")
    for table in CHANGES_RECORDED:
        op.execute(f"CREATE TRIGGER touch BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION app.touch()")
        op.execute(
            f"CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION core.record_change()"
        )


def downgrade() -> None:
    for table in ("audit", "proxy", "marketplace_account", "membership", '"user"', "organization"):
        op.execute(f"DROP TABLE core.{table}")
    op.execute("DROP FUNCTION core.record_change()")

"""The few questions that are asked across tenants, each a function of a role that can read just enough to answer it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The organizations take turns: the first due stream of each, then the second of each, and so on.
DUE = """
CREATE FUNCTION collect.due(room integer)
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text, stream text, slice text, lane text,
               priority smallint, due_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.organization_id, s.marketplace_account_id, s.marketplace, s.stream, s.slice, s.lane, s.priority,
           s.next_due_at
    FROM collect.stream_state s
    JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
    JOIN core.organization o ON o.id = s.organization_id
    WHERE s.state = 'active' AND s.next_due_at <= now()
      AND (s.not_before IS NULL OR s.not_before <= now())
      AND (s.lease_until IS NULL OR s.lease_until <= now())
      AND a.status = 'active' AND o.status = 'active'
    ORDER BY s.priority,
             row_number() OVER (PARTITION BY s.organization_id ORDER BY s.priority, s.next_due_at),
             s.next_due_at
    LIMIT greatest(room, 0)
$$
"""

DUE_SUMMARY = """
CREATE FUNCTION collect.due_summary() RETURNS TABLE (backlog bigint, oldest_age interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*), now() - min(due_at) FROM collect.due(2147483647)
$$
"""

ACCOUNTS = """
CREATE FUNCTION collect.accounts()
RETURNS TABLE (organization_id uuid, marketplace_account_id uuid, marketplace text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.organization_id, a.id, a.marketplace
    FROM core.marketplace_account a
    JOIN core.organization o ON o.id = a.organization_id
    WHERE a.status = 'active' AND o.status = 'active'
    ORDER BY a.organization_id, a.id
$$
"""

LOCATE_ACCOUNT = """
CREATE FUNCTION collect.locate_account(account uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.organization_id FROM core.marketplace_account a WHERE a.id = account
$$
"""

BUCKET_PUT_OFF = """
CREATE FUNCTION collect.bucket_put_off(key text, until timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO collect.bucket AS b (key, not_before) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET not_before = greatest(b.not_before, excluded.not_before)
$$
"""

BUCKET_WAITS = """
CREATE FUNCTION collect.bucket_waits() RETURNS TABLE (key text, not_before timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM collect.bucket b WHERE b.not_before <= now();
    SELECT b.key, b.not_before FROM collect.bucket b ORDER BY b.key
$$
"""

STATUS = """
CREATE FUNCTION collect.status()
RETURNS TABLE (organization text, organization_id uuid, account text, marketplace_account_id uuid, marketplace text,
               account_status text, account_status_reason text, stream text, slice text, lane text, state text,
               next_due_at timestamptz, not_before timestamptz, lease_until timestamptz, attempts integer,
               last_success_at timestamptz, last_error text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.name, o.id, a.name, a.id, a.marketplace, a.status, a.status_reason, s.stream, s.slice, s.lane, s.state,
           s.next_due_at, s.not_before, s.lease_until, s.attempts, s.last_success_at, s.last_error
    FROM collect.stream_state s
    JOIN core.marketplace_account a ON a.organization_id = s.organization_id AND a.id = s.marketplace_account_id
    JOIN core.organization o ON o.id = s.organization_id
    ORDER BY o.name, a.marketplace, a.name, s.stream, s.slice, s.lane
$$
"""

VISIBLE_USERS = """
CREATE FUNCTION app.visible_users(organization uuid)
RETURNS TABLE (user_id uuid, email text, name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.id, u.email, u.name, m.role
    FROM core.membership m
    JOIN core."user" u ON u.id = m.user_id
    WHERE m.organization_id = organization
      AND organization = (SELECT NULLIF(current_setting('app.organization_id', true), '')::uuid)
    ORDER BY u.email
$$
"""

# In this order: the second uses the first. Signature -> how it is made, who may call it.
FUNCTIONS = {
    "collect.due(integer)": (DUE, "collector_worker"),
    "collect.due_summary()": (DUE_SUMMARY, "collector_worker, collector_admin"),
    "collect.accounts()": (ACCOUNTS, "collector_worker, collector_admin"),
    "collect.locate_account(uuid)": (LOCATE_ACCOUNT, "collector_worker, collector_admin"),
    "collect.bucket_put_off(text, timestamptz)": (BUCKET_PUT_OFF, "collector_worker"),
    "collect.bucket_waits()": (BUCKET_WAITS, "collector_worker"),
    "collect.status()": (STATUS, "collector_worker, collector_admin, collector_metrics"),
    "app.visible_users(uuid)": (VISIBLE_USERS, "collector_worker, collector_admin, collector_reader"),
}


def upgrade() -> None:
    # A new owner must be able to create in the schema at the moment of the change, and not a moment longer.
    op.execute("GRANT CREATE ON SCHEMA collect, app TO collector_scheduler")
    for signature, (make, callers) in FUNCTIONS.items():
        op.execute(make)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {callers}")
        op.execute(f"ALTER FUNCTION {signature} OWNER TO collector_scheduler")
    op.execute("REVOKE CREATE ON SCHEMA collect, app FROM collector_scheduler")


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")

"""Who sees which rows. Tenant-bound roles see one organization; grants say which tables at all."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Table -> the column that names the tenant.
TENANT_TABLES = {
    "core.organization": "id",
    "core.membership": "organization_id",
    "core.marketplace_account": "organization_id",
    "raw.payload": "organization_id",
    "collect.walk": "organization_id",
    "collect.run": "organization_id",
    "collect.stream_state": "organization_id",
    "collect.coverage": "organization_id",
    "collect.request": "organization_id",
    "collect.quarantine": "organization_id",
}

# The sub-select is evaluated once, not per row; after a transaction the setting is '' and NULLIF makes that "no rows".
TENANT = "(SELECT NULLIF(current_setting('app.organization_id', true), '')::uuid)"

READABLE_OF_ACCOUNT = (  # everything but secret_ref
    "id, organization_id, marketplace, name, external_id, proxy_group, status, status_reason, created_at, updated_at"
)
# What the functions of the next revisions answer from: no position, no lease token.
READABLE_OF_STATE = (
    "organization_id, marketplace_account_id, stream, slice, lane, marketplace, priority, next_due_at, not_before, "
    "lease_until, attempts, state, last_error, last_success_at"
)

# Role -> what it may do -> with what.
GRANTS = {
    "collector_worker": {
        "SELECT": "core.organization, core.membership, core.marketplace_account, core.proxy, raw.page",
        "UPDATE (status, status_reason)": "core.marketplace_account",
        "SELECT, INSERT": "raw.payload, collect.run",
        "SELECT, INSERT, UPDATE": (
            "collect.walk, collect.stream_state, collect.coverage, collect.request, collect.quarantine"
        ),
    },
    "collector_reader": {
        "SELECT": "raw.payload, raw.page, collect.walk, collect.coverage, collect.run",
        f"SELECT ({READABLE_OF_ACCOUNT})": "core.marketplace_account",
    },
    "collector_reader_all": {
        "SELECT": (
            "core.organization, raw.payload, raw.page, collect.walk, collect.coverage, collect.run, "
            "collect.stream_state, collect.request, collect.quarantine"
        ),
        f"SELECT ({READABLE_OF_ACCOUNT})": "core.marketplace_account",
    },
    "collector_admin": {
        "SELECT": "core.audit, raw.page",
        "SELECT, INSERT, UPDATE, DELETE": (
            'core.organization, core."user", core.membership, core.marketplace_account, core.proxy, raw.payload, '
            "collect.walk, collect.run, collect.stream_state, collect.coverage, collect.request, collect.quarantine, "
            "collect.bucket"
        ),
    },
    "collector_scheduler": {
        "SELECT (id, name, status)": "core.organization",
        "SELECT (id, organization_id, marketplace, name, status, status_reason)": "core.marketplace_account",
        "SELECT (organization_id, user_id, role)": "core.membership",
        "SELECT (id, email, name)": 'core."user"',
        f"SELECT ({READABLE_OF_STATE})": "collect.stream_state",
        "SELECT, INSERT, UPDATE, DELETE": "collect.bucket",
    },
}

READ_BY_SCHEDULER = ("core.organization", "core.membership", "core.marketplace_account", "collect.stream_state")
POLICIES = ("tenant", "tenant_guard", "every_tenant", "every_tenant_read", "scheduling")


def upgrade() -> None:
    for table, column in TENANT_TABLES.items():
        own = f"{column} = {TENANT}"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} FOR ALL TO collector_worker, collector_reader "
            f"USING ({own}) WITH CHECK ({own})"
        )
        # Permissive policies are ORed: with this one no later policy can widen what a tenant-bound role sees.
        op.execute(
            f"CREATE POLICY tenant_guard ON {table} AS RESTRICTIVE FOR ALL TO collector_worker, collector_reader "
            f"USING ({own}) WITH CHECK ({own})"
        )
        op.execute(f"CREATE POLICY every_tenant ON {table} FOR ALL TO collector_admin USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY every_tenant_read ON {table} FOR SELECT TO collector_reader_all USING (true)")
    for table in READ_BY_SCHEDULER:
        op.execute(f"CREATE POLICY scheduling ON {table} FOR SELECT TO collector_scheduler USING (true)")
    for role, rights in GRANTS.items():
        for right, objects in rights.items():
            op.execute(f"GRANT {right} ON {objects} TO {role}")


def downgrade() -> None:
    for role, rights in GRANTS.items():
        for right, objects in rights.items():
            op.execute(f"REVOKE {right} ON {objects} FROM {role}")
    for table in TENANT_TABLES:
        for policy in POLICIES:
            op.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")

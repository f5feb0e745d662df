"""What would let one tenant see another's rows, looked for in the catalog. Every finding is a reason to act."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_FEW_MONTHS = "fewer than 3 months of partitions are ready"


@dataclass(frozen=True, slots=True)
class Finding:
    """`problem` in words, the table, view, function or role it is about, and the role that gains by it."""

    problem: str
    subject: str
    role: str | None

    def __str__(self) -> str:
        return f"{self.problem}: {self.subject}" + (f" ({self.role})" if self.role else "")

    @property
    def is_of_tenants(self) -> bool:
        """Whether tenants' rows are not held apart; else it is about months."""
        return self.problem != _FEW_MONTHS


async def audit(connection: AsyncConnection) -> list[Finding]:
    """Everything that is wrong with roles, policies, grants and partitions. Any role may ask."""
    rows = await connection.execute(_AUDIT)
    return [Finding(*row) for row in rows]


# A tenant table is core.organization and whatever else has organization_id; with its partitions it is a family.
_SCENE = """
WITH RECURSIVE tenant_table AS (
    SELECT c.oid, c.relowner
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('core', 'raw', 'collect', 'app') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND (n.nspname = 'core' AND c.relname = 'organization'
           OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped))
), family AS (
    SELECT t.oid AS parent, tree.relid, tree.relid = t.oid AS is_parent
    FROM tenant_table t
    CROSS JOIN LATERAL (SELECT relid FROM pg_catalog.pg_partition_tree(t.oid) UNION SELECT t.oid) tree
), bound_role AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname IN ('collector_worker', 'collector_reader')
), our_role AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles
    WHERE rolname IN ('collector_worker', 'collector_reader', 'collector_reader_all', 'collector_metrics')
), policy AS (
    SELECT p.*, coalesce(pg_catalog.pg_get_expr(polqual, polrelid), '') AS using_text,
           coalesce(pg_catalog.pg_get_expr(polwithcheck, polrelid), '') AS check_text
    FROM pg_catalog.pg_policy p WHERE polrelid IN (SELECT oid FROM tenant_table)
), shows_rows AS (
    SELECT relid FROM family
    UNION
    SELECT w.ev_class
    FROM shows_rows s
    JOIN pg_catalog.pg_depend d ON d.refobjid = s.relid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
), our_function AS (
    SELECT p.* FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('core', 'raw', 'collect', 'app') AND p.prosecdef
)
"""

_CHECKS = (
    """
    SELECT 'a partition can be reached by its own name, past the policies of its table', f.relid::regclass::text,
           CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
    FROM family f
    JOIN pg_catalog.pg_class c ON c.oid = f.relid
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) acl
    WHERE NOT f.is_parent AND acl.grantee <> c.relowner
    """,
    """
    SELECT 'row-level security is not enabled', f.relid::regclass::text, NULL
    FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.relid WHERE NOT c.relrowsecurity
    """,
    """
    SELECT 'row-level security is not forced, so the owner is exempt', f.relid::regclass::text, NULL
    FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.relid WHERE f.is_parent AND NOT c.relforcerowsecurity
    """,
    """
    SELECT 'no ' || kind || ' policy holds this role to its tenant', t.oid::regclass::text, r.rolname
    FROM tenant_table t CROSS JOIN bound_role r
    CROSS JOIN (VALUES ('permissive', true), ('restrictive', false)) AS wanted (kind, permissive)
    WHERE NOT EXISTS (SELECT FROM policy p
                      WHERE p.polrelid = t.oid AND p.polpermissive = wanted.permissive AND p.polcmd = '*'
                        AND r.oid = ANY (p.polroles) AND p.using_text ~ 'app.organization_id'
                        AND p.check_text ~ 'app.organization_id')
    """,
    """
    SELECT 'a policy gives this role rows without asking for its tenant',
           p.polrelid::regclass::text || '.' || p.polname, coalesce(r.rolname, 'PUBLIC')
    FROM policy p
    LEFT JOIN bound_role r ON r.oid = ANY (p.polroles)
    WHERE p.polpermissive AND (r.oid IS NOT NULL OR 0 = ANY (p.polroles))
      AND (p.using_text || p.check_text) !~ 'app.organization_id'
    """,
    """
    SELECT 'a policy is evaluated for every row: put current_setting into a sub-select',
           polrelid::regclass::text || '.' || polname, NULL
    FROM policy
    WHERE using_text ~ 'current_setting' AND using_text !~* 'SELECT'
       OR check_text ~ 'current_setting' AND check_text !~* 'SELECT'
    """,
    """
    SELECT 'this role is exempt from row-level security', rolname, NULL
    FROM pg_catalog.pg_roles
    WHERE (rolsuper OR rolbypassrls)
      AND rolname IN ('collector_worker', 'collector_reader', 'collector_reader_all', 'collector_metrics',
                      'collector_scheduler', 'collector_admin')
    """,
    """
    SELECT 'this role can become one that sees more', other.rolname, r.rolname
    FROM our_role r
    JOIN pg_catalog.pg_roles other ON other.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, other.oid, 'MEMBER')
    WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = r.oid)
      AND (other.rolsuper OR other.rolbypassrls OR other.oid IN (SELECT relowner FROM tenant_table)
           OR other.rolname IN ('collector_owner', 'collector_admin', 'collector_scheduler', 'collector_reader_all'))
    """,
    """
    SELECT 'this role may ' || lower(privilege) || ' what was collected', t.oid::regclass::text, r.rolname
    FROM tenant_table t CROSS JOIN our_role r CROSS JOIN (VALUES ('DELETE'), ('TRUNCATE')) AS unwanted (privilege)
    WHERE pg_catalog.has_table_privilege(r.oid, t.oid, privilege)
      AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = r.oid)
    """,
    """
    SELECT 'everybody has a privilege on this table', f.relid::regclass::text, 'PUBLIC'
    FROM family f
    JOIN pg_catalog.pg_class c ON c.oid = f.relid
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) acl
    WHERE f.is_parent AND acl.grantee = 0
    """,
    """
    SELECT 'new tables, partitions too, would be granted by default', pg_catalog.pg_get_userbyid(d.defaclrole),
           CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
    FROM pg_catalog.pg_default_acl d
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) acl
    WHERE d.defaclobjtype = 'r' AND acl.grantee <> d.defaclrole
      AND d.defaclrole IN (SELECT relowner FROM tenant_table)
      AND (n.nspname IS NULL OR n.nspname IN ('core', 'raw', 'collect', 'app'))
    """,
    """
    SELECT 'a view shows the rows that its owner sees: it needs security_invoker', c.oid::regclass::text, NULL
    FROM shows_rows s
    JOIN pg_catalog.pg_class c ON c.oid = s.relid
    WHERE c.relkind = 'm' OR c.relkind = 'v' AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o
              WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
    """,
    # raw.ensure_partition must own what it makes. It takes a month and returns a number.
    """
    SELECT 'a function runs as the owner of the tables', p.oid::regprocedure::text, r.rolname
    FROM our_function p CROSS JOIN our_role r
    WHERE p.proowner IN (SELECT relowner FROM tenant_table)
      AND pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE')
      AND (p.pronamespace::regnamespace::text, p.proname::text) <> ('raw', 'ensure_partition')
    """,
    """
    SELECT 'everybody may call a function that runs as its owner', p.oid::regprocedure::text, 'PUBLIC'
    FROM our_function p
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) acl
    WHERE acl.grantee = 0
    """,
    """
    SELECT 'a function that runs as its owner looks up names where its caller says', p.oid::regprocedure::text, NULL
    FROM our_function p
    WHERE NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE setting LIKE 'search_path=%')
    """,
    f"""
    SELECT '{_FEW_MONTHS}', t.oid::regclass::text, NULL
    FROM tenant_table t
    JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind = 'p'
    WHERE (SELECT count(*) FROM pg_catalog.pg_inherits i
           JOIN pg_catalog.pg_class leaf ON leaf.oid = i.inhrelid
           WHERE i.inhparent = t.oid AND NOT i.inhdetachpending
             AND (pg_catalog.regexp_match(pg_catalog.pg_get_expr(leaf.relpartbound, leaf.oid),
                                          'FROM \\(''([^'']+)''\\)'))[1]::timestamptz > now()) < 3
    """,
)

# text() would take a colon before a word for a parameter; there is none here but in casts, which it leaves alone.
_AUDIT = text(_SCENE + " UNION ALL ".join(_CHECKS) + " ORDER BY 1, 2, 3")

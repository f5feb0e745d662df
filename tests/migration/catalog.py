"""What is in our schemas, told so that two databases can be compared."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from tests.servers import Database
from worker.db.engine import make_engine

T = TypeVar("T")

_OBJECTS = """
    SELECT n.nspname || '.' || c.relname, c.relkind::text, pg_get_userbyid(c.relowner),
           coalesce(c.relacl, acldefault('r', c.relowner))::text, c.relrowsecurity, c.relforcerowsecurity,
           (SELECT string_agg(concat_ws(' ', polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid)), '; '
                              ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('core', 'raw', 'collect', 'app', 'meta') AND NOT c.relispartition
    UNION ALL
    SELECT a.attrelid::regclass || '.' || a.attname, 'column', NULL, a.attacl::text, NULL, NULL, NULL
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('core', 'raw', 'collect', 'app', 'meta') AND NOT c.relispartition AND a.attacl <> '{}'
    UNION ALL
    SELECT p.oid::regprocedure::text, 'function', pg_get_userbyid(p.proowner), coalesce(p.proacl::text, ''),
           p.prosecdef, NULL, p.prosrc
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('core', 'raw', 'collect', 'app')
    UNION ALL
    SELECT nspname, 'schema', pg_get_userbyid(nspowner), nspacl::text, NULL, NULL, NULL
    FROM pg_namespace WHERE nspname IN ('core', 'raw', 'collect', 'app')
    UNION ALL
    SELECT t.tgrelid::regclass || ' ' || t.tgname, 'trigger', NULL, NULL, NULL, NULL, pg_get_triggerdef(t.oid)
    FROM pg_trigger t WHERE NOT t.tgisinternal
    ORDER BY 1, 2
"""


async def objects(database: Database) -> list[tuple[object, ...]]:
    """Tables, views, indexes, functions, schemas, triggers, rights to columns, owners and policies; no partitions."""
    async with database.connect("postgres") as connection:
        return [tuple(row) for row in await connection.fetch(_OBJECTS)]


async def ask(url: str, question: Callable[[Connection], T]) -> T:
    """Ask something that only a synchronous connection can answer."""
    engine = make_engine(url, null_pool=True)
    async with engine.connect() as connection:
        return await connection.run_sync(question)

"""What Alembic may look at when it compares the models with a database."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Connection, Index, Table, text
from sqlalchemy.schema import SchemaItem

SCHEMAS = frozenset({"core", "raw", "collect"})

IncludeObject = Callable[[SchemaItem, str | None, str, bool, SchemaItem | None], bool]


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Only our schemas, so neither `meta` nor a neighbour's tables are proposed for removal."""
    return kind != "schema" or name in SCHEMAS


def without_partitions(connection: Connection) -> IncludeObject:
    """A filter that hides partitions: autogenerate would propose to drop every month of data."""
    found = connection.execute(
        text(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition AND c.relkind = 'r'"
        )
    )
    partitions = {(schema, name) for schema, name in found}

    def include(item: SchemaItem, _name: str | None, _kind: str, _reflected: bool, _other: SchemaItem | None) -> bool:
        table = _table_of(item)
        return table is None or (table.schema, table.name) not in partitions

    return include


def _table_of(item: SchemaItem) -> Table | None:
    match item:
        case Table():
            return item
        case Column() | Index():
            table: Any = item.table
            return table if isinstance(table, Table) else None
        case _:
            return None

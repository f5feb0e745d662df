"""SQL for people: a query, or a view, that has a row for each record of a stream's pages."""

from __future__ import annotations

from datetime import UTC, datetime

from collectors.stream import Stream, Window

_COLUMNS = """SELECT page.organization_id,
       page.marketplace_account_id,
       page.slice,
       page.time_window,
       page.fetched_at,
       page.page_number,
       page.visible_xid,"""


def records_query(stream: Stream, window: Window) -> str:
    """Return a query for the records that were fetched in the window. Raises ValueError for a stream of files."""
    pages = f"raw.pages('{_literal(window.start)}', '{_literal(window.end)}') AS page"
    return (
        "-- In a transaction or session with app.organization_id set.\n"
        f"{_select(stream, pages)}\nORDER BY page.fetched_at, page.page_number, record_number;\n"
    )


def records_view(stream: Stream) -> str:
    """Return the statement that makes a view of all the stream's records. Raises ValueError for a stream of files."""
    return (
        "-- Ask it with a range of fetched_at: by it, months are left out. It shows what its reader may see, whoever\n"
        "-- owns it: GRANT SELECT on it to collector_reader.\n"
        f"CREATE VIEW {stream.marketplace.name}_{stream.name} WITH (security_invoker = true) AS\n"
        f"{_select(stream, 'raw.page')};\n"
    )


def _select(stream: Stream, pages: str) -> str:
    name = f"{stream.marketplace.name}/{stream.name}"
    of_stream = (
        f"WHERE page.marketplace = {_quoted(stream.marketplace.name)} AND page.stream = {_quoted(stream.name)}\n"
        "  AND NOT page.superseded"
    )
    if stream.one_record:
        return (
            f"{_COLUMNS}\n       1 AS record_number,\n       page.payload AS record\nFROM {pages}\n"
            f"{of_stream} AND page.payload IS NOT NULL"
        )
    if stream.records is None:
        raise ValueError(
            f"{name} brings files, which hold no JSON for SQL: read `body` of raw.page, as it was received"
        )
    path = "".join(f" -> {_quoted(key)}" for key in stream.records.split(".") if key)
    return (
        f"{_COLUMNS}\n       record.number AS record_number,\n       record.value AS record\nFROM {pages}\n"
        f"CROSS JOIN LATERAL json_array_elements(page.payload{path}) WITH ORDINALITY AS record (value, number)\n"
        f"{of_stream}"
    )


def _literal(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

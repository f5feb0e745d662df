"""Stored pages, or their records, as JSON lines."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from collectors.envelope import Unreadable, rows_in
from collectors.stream import Stream
from worker.db.bronze import Row

_BREAKS = b"\r\n"  # between the tokens of a JSON text: inside one it must be escaped

_AS_THEY_ARE = (
    "id",
    "organization_id",
    "marketplace_account_id",
    "marketplace",
    "stream",
    "slice",
    "lane",
    "walk_id",
    "page_number",
    "part",
    "parts_id",
    "window_from",
    "window_to",
    "fetched_at",
    "status",
    "content_type",
    "file_name",
    "record_count",
    "superseded",
    "visible_xid",
)


def page_line(row: Row) -> bytes:
    """Return a page, or a part of a file, as one line: its payload as it came, or its bytes as base64."""
    line: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE}
    line["sha256"] = row["sha256"].hex()
    line["request"] = _on_one_line(row["request"])
    if row["body"] is not None:
        line |= {"body": base64.b64encode(row["body"]).decode(), "body_reason": row["body_reason"]}
    else:
        line["payload"] = None if row["payload"] is None else _on_one_line(row["payload"])
    return msgspec.json.encode(line, enc_hook=str) + b"\n"


@dataclass
class RecordLines:
    """The records of pages, a line each, as the marketplace wrote them; and what could not be told so."""

    stream: Stream
    skipped: int = 0  # pages, and parts of files

    def of(self, row: Row) -> list[bytes]:
        """Return the lines of a page. One that is not JSON, or only to a lenient eye, is skipped and counted."""
        body = row["body"] if row["payload"] is None else row["payload"].encode()
        records = self._records((body or b"").translate(None, _BREAKS)) if row["file_name"] is None else []
        if not records and row["record_count"] != 0:
            self.skipped += 1
        return [b"%b\n" % record for record in records]

    def _records(self, body: bytes) -> list[msgspec.Raw]:
        if self.stream.records is None:
            return [msgspec.Raw(body)] if self.stream.one_record and body else []
        try:
            records = rows_in(body, self.stream.records)
        except Unreadable:
            return []
        return records if isinstance(records[0] if records else None, msgspec.Raw) else []


def _on_one_line(document: str) -> msgspec.Raw:
    return msgspec.Raw(document.encode().translate(None, _BREAKS))

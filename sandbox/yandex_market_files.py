"""The file of a report, in the vendor's three formats. The same bytes for the same rows."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from sandbox.records import Record, array

SHEETS = ("Начисления", "Итог")

_PARTS: Mapping[str, str] = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        f'<sheets><sheet name="{SHEETS[0]}" sheetId="1" r:id="r1"/></sheets></workbook>'
    ),
}


@dataclass(frozen=True)
class File:
    content: bytes
    content_type: str
    suffix: str


def pack(kind: str, rows: Sequence[Record]) -> File:
    """JSON and CSV are a ZIP with a file for each sheet (the second is the newest row), FILE is a spreadsheet."""
    sheets = dict(zip(SHEETS, (rows, rows[-1:]), strict=True))
    match kind:
        case "JSON":
            return File(
                _zip({f"{name}.json": array(lines) for name, lines in sheets.items()}), "application/zip", "zip"
            )
        case "CSV":
            return File(_zip({f"{name}.csv": _csv(lines) for name, lines in sheets.items()}), "application/zip", "zip")
        case _:
            parts = {name: text.encode() for name, text in _PARTS.items()}
            content = _zip({**parts, "xl/worksheets/sheet1.xml": _worksheet(rows)})
            return File(content, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx")


def _zip(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            # Without a date of its own, an entry would carry the time at which it was packed.
            entry = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return held.getvalue()


def _table(rows: Sequence[Record]) -> list[list[str]]:
    lines = [json.loads(row.text, parse_float=str) for row in rows]
    return [list(lines[0]), *([str(value) for value in line.values()] for line in lines)] if lines else []


def _csv(rows: Sequence[Record]) -> bytes:
    held = io.StringIO()
    csv.writer(held, delimiter=";").writerows(_table(rows))
    return held.getvalue().encode()


def _worksheet(rows: Sequence[Record]) -> bytes:
    lines = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in line) + "</row>"
        for line in _table(rows)
    )
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{lines}</sheetData></worksheet>'.encode()

r"""Which column a body goes to: `payload json` if PostgreSQL can read all of it, else `body bytea` with the reason.

PostgreSQL takes a `json` text as it stands, but `->` fails on a value that holds `\u0000` or a lone surrogate
anywhere, and one such row would stop a whole query downstream. So those go to `body`, like everything that is not
JSON: a file, a page of another encoding, an answer cut off.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

import msgspec

A_FILE = "a file"  # the reason of bytes that are no page

_PIECE = 32 << 10
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class Stored:
    """A body as the row keeps it: JSON, or bytes and why; neither for an empty body."""

    payload: bytes | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    reason: str | None = None


def stored(body: bytes, *, is_file: bool = False, careful: bool = True) -> Stored:
    """Choose the column. A file is kept as bytes whatever it holds. `careful` as `unreadable` has it."""
    if not body:
        return Stored()
    reason = A_FILE if is_file else unreadable(body, careful=careful)
    return Stored(payload=body) if reason is None else Stored(body=body, reason=reason)


def unreadable(body: bytes, *, careful: bool = True) -> str | None:
    """Return why PostgreSQL could not read the body as `json`, or None if it can.

    Not `careful`, what looks like JSON is left to PostgreSQL, which reads it anyway and refuses what it cannot read;
    only what it takes without a word, and fails on later, is looked for.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark"
    escapes = b"\\" in body  # most bodies have none, which is found out in a tenth of the time
    if escapes and b"\\u0000" in body and _NUL_ESCAPE.search(body):
        return "holds \\u0000"
    if not careful and not escapes and _looks_like_json(body):
        return None
    try:
        _check_utf8(body)
        msgspec.json.decode(body, type=msgspec.Raw)  # the syntax of the whole, lone surrogates and NaN included
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (msgspec.DecodeError, RecursionError) as error:
        return f"is not JSON that PostgreSQL reads: {error}"
    return None


def _looks_like_json(body: bytes) -> bool:
    return body[:1] in {b"{", b"["} and body[-2:].rstrip()[-1:] in {b"}", b"]"}


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError unless it is. In pieces: as one text a body takes up to four times its size."""
    view, at = memoryview(body), 0
    while at < len(body):
        _, read = codecs.utf_8_decode(view[at : at + _PIECE], "strict", at + _PIECE >= len(body))
        at += read  # a character that the piece cuts in two is for the next one

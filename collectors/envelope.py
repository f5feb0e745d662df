"""Reading an answer as far as paging needs it, strictly: the rows unread, and a few values beside them.

msgspec checks the syntax of the whole body and builds only what is named: half a millisecond for a megabyte. Bodies
that are JSON only to a lenient eye (NaN, a byte order mark, a lone surrogate, invalid UTF-8 inside a text) are read
again by the standard library, so that one odd record does not stop its neighbours: such a body is stored as bytes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from collectors.errors import Malformed
from collectors.stream import Answer, Json

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """The rows of an answer, unread."""

    items: list[Any]
    answer: Answer

    def __len__(self) -> int:
        return len(self.items)

    def value(self, index: int, field: str, kind: type[T]) -> T:
        """Return one field of one row. Raises Malformed if it is missing or of another type."""
        row, shape = self.items[index], _one_field(field, cast("Hashable", kind))
        try:
            read = msgspec.json.decode(row, type=shape) if isinstance(row, msgspec.Raw) else msgspec.convert(row, shape)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Malformed(f"a row cannot be read: {error}", self.answer) from error
        return cast("T", read.value)  # type: ignore[attr-defined]  # the shape is made at run time

    def text(self, index: int) -> bytes:
        """Return one row as it was written, or for a lenient reading, a text that is equal for equal rows."""
        row = self.items[index]
        return bytes(row) if isinstance(row, msgspec.Raw) else repr(row).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Read:
    """What an envelope found."""

    rows: Rows
    values: Mapping[str, Json]

    def __getitem__(self, name: str) -> Json:
        return self.values[name]


class Envelope:
    """Where the rows stand in a stream's answers (a dotted path, "" for a root array), and named values beside them.

    Without rows it reads just the values. A value whose type admits None may be missing; anything else must be there
    and of its type.
    """

    def __init__(self, rows: str | None = None, **values: tuple[str, object]) -> None:
        self._rows = rows
        self._values = {name: path for name, (path, _) in values.items()}
        kinds = dict(values.values())
        self._strict = _shape(kinds if rows is None else {rows: list[msgspec.Raw], **kinds})
        self._lenient = _shape(kinds if rows is None else {rows: list[Any], **kinds})

    def read(self, answer: Answer) -> Read:
        """Return the rows and values. Raises Malformed, with the answer, if one cannot be read."""
        try:
            root = self.decode(answer.body)
            values = {name: _sendable(_at(root, path)) for name, path in self._values.items()}
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise Malformed(f"the answer cannot be read: {error}", answer) from error
        items = [] if self._rows is None else cast("list[Any]", _at(root, self._rows))
        return Read(Rows(items, answer), values)

    def decode(self, body: bytes) -> object:
        """Return what was asked for of a body, as it stands in it. Raises what msgspec and json raise."""
        try:
            return msgspec.json.decode(body, type=self._strict)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            lenient = json.loads(body.decode("utf-8-sig", "replace"))
            return msgspec.convert(lenient, self._lenient)


class Unreadable(ValueError):
    """A body that was stored has no rows where they should stand. The message says why."""


def rows_in(body: bytes, path: str) -> list[Any]:
    """Return the rows of a stored body, each as it was written (msgspec.Raw).

    Where the body is JSON only to a lenient eye, all of them are values instead. Raises Unreadable.
    """
    envelope = _envelope(path)
    try:
        return cast("list[Any]", _at(envelope.decode(body), path))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error


@functools.cache
def _envelope(path: str) -> Envelope:
    return Envelope(path)


@functools.cache
def _one_field(field: str, kind: Hashable) -> type[msgspec.Struct]:
    return msgspec.defstruct("Row", [("value", kind)], rename={"value": field})


def _shape(paths: Mapping[str, object]) -> Any:
    """Make a type that has just these dotted paths. A branch of which nothing is required may be missing."""
    if "" in paths:
        return paths[""]
    branches: dict[str, dict[str, object]] = {}
    for path, kind in paths.items():
        head, _, rest = path.partition(".")
        branches.setdefault(head, {})[rest] = kind
    fields: list[Any] = []
    for head, below in branches.items():
        kind = _shape(below)
        fields.append((head, kind | None, None) if all(map(_optional, below.values())) else (head, kind))
    return msgspec.defstruct("Envelope", sorted(fields, key=len))  # required fields come first


def _optional(kind: object) -> bool:
    return isinstance(None, kind) if not hasattr(kind, "__origin__") else False  # type: ignore[arg-type]


def _sendable(value: object) -> object:
    """Return the value; raise ValueError if it is a text that could not be sent back as it came."""
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a UnicodeEncodeError
        if "\ufffd" in value:
            raise ValueError("a value that paging needs is not UTF-8")
    return value


def _at(root: object, path: str) -> object:
    for name in path.split(".") if path else ():
        root = None if root is None else getattr(root, name)
    return root

"""What goes over the wire: a call as it came, a reply as exact bytes, and strict reading of parameters."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeVar

from sandbox.records import MOSCOW, encode

JSON: Final = "application/json; charset=utf-8"
PROBLEM: Final = "application/problem+json"

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """`records` is how many records of the stream the body holds."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    records: int = 0

    def with_headers(self, headers: Mapping[str, str]) -> "Reply":
        return replace(self, headers={**self.headers, **headers})


class Refused(Exception):
    """The marketplace answers with a refusal."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Invalid(Exception):
    """A parameter is not as the vendor's specification asks."""


class Fields:
    """Parameters of a query or a body, read strictly: what is missing, mistyped or out of range is Invalid."""

    def __init__(self, values: Mapping[str, object], *, name: str = "", texts: bool = False) -> None:
        self.values = values
        self._prefix = f"{name}." if name else ""
        self._texts = texts

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def only(self, *names: str) -> None:
        """The sandbox plays these and refuses others rather than ignore them."""
        for name in self.values:
            if name not in names:
                raise Invalid(f"unknown field {self._prefix}{name}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise Invalid(f"{self._prefix}{name}: field required")
        return value

    def choice(self, name: str, options: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in options:
            raise Invalid(f"{self._prefix}{name}: must be one of {', '.join(options)}")
        return value

    def integer(self, name: str, *, low: int, high: int, default: int | None = None) -> int:
        value = self.values.get(name, default)
        if self._texts and isinstance(value, str) and value.lstrip("-").isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Invalid(f"{self._prefix}{name}: integer required")
        if not low <= value <= high:
            raise Invalid(f"{self._prefix}{name}: must be from {low} to {high}")
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        value = self.values.get(name, default)
        if self._texts and value in {"true", "false"}:
            value = value == "true"
        if not isinstance(value, bool):
            raise Invalid(f"{self._prefix}{name}: boolean required")
        return value

    def items(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """A list of values of one kind; none when it is missing."""
        values = self.values.get(name) or []
        if not isinstance(values, list) or any(not isinstance(value, kind) for value in values):
            raise Invalid(f"{self._prefix}{name}: list required")
        return tuple(values)

    def inner(self, name: str, *, required: bool = False) -> "Fields":
        value = self.values.get(name)
        if value is None and not required:
            value = {}
        if not isinstance(value, dict):
            raise Invalid(f"{self._prefix}{name}: object required")
        return Fields(value, name=self._prefix + name)

    def day(self, name: str) -> date:
        """A date `YYYY-MM-DD` and nothing else."""
        text = self.text(name)
        try:
            return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            raise Invalid(f"{self._prefix}{name}: date YYYY-MM-DD required") from None

    def instant(self, name: str) -> datetime:
        """A date and time with its offset."""
        at = _datetime(self.text(name), f"{self._prefix}{name}")
        if at.tzinfo is None:
            raise Invalid(f"{self._prefix}{name}: date-time with offset required")
        return at.astimezone(UTC)

    def moscow_time(self, name: str) -> datetime:
        """A date, or a date and time without offset that means Moscow's."""
        at = _datetime(self.text(name), f"{self._prefix}{name}")
        if at.tzinfo is not None:
            raise Invalid(f"{self._prefix}{name}: Moscow time without offset required")
        return at.replace(tzinfo=MOSCOW).astimezone(UTC)


@dataclass(frozen=True)
class Call:
    """One request to an endpoint by a known seller; `now` is the data clock when it came."""

    seller: str
    path: Mapping[str, str]
    query: Fields
    body: Fields
    now: datetime
    cap: int | None

    def page_size(self, asked: int) -> int:
        """What was asked, silently cut to the sandbox's own page limit."""
        return asked if self.cap is None else min(asked, self.cap)


@dataclass(frozen=True)
class Endpoint:
    """One operation of a marketplace. `step` tells the calls of a report apart: create, info, file."""

    marketplace: str
    stream: str
    method: str
    host: str
    path: str
    answer: Callable[[Call], Reply]
    step: str = ""

    @property
    def name(self) -> str:
        """`orders`, `united_netting/create`."""
        return f"{self.stream}/{self.step}" if self.step else self.stream

    @property
    def brings_records(self) -> bool:
        return self.step in {"", "file"}

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The path's parameters, or None when it is not this endpoint."""
        wanted, given = self.path.split("/"), path.split("/")
        if method != self.method or len(wanted) != len(given):
            return None
        found = {}
        for pattern, part in zip(wanted, given, strict=True):
            if pattern.startswith("{"):
                found[pattern.strip("{}")] = part
            elif pattern != part:
                return None
        return found


def _datetime(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{name}: invalid date-time") from None


def reply(value: object, status: int = 200, *, records: int = 0, content_type: str = JSON) -> Reply:
    return Reply(status, encode(value), content_type, records=records)


def parse_body(raw: bytes) -> Fields:
    """An empty body is an empty object."""
    try:
        value = json.loads(raw) if raw else {}
    except ValueError:
        raise Invalid("body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Invalid("body must be a JSON object")
    return Fields(value)


def seal(value: object) -> str:
    """A cursor that says nothing to who carries it."""
    return base64.urlsafe_b64encode(encode(value)).decode()


def unseal(token: str) -> list[object]:
    try:
        value = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error):
        raise Invalid("cursor is not one of ours") from None
    if not isinstance(value, list):
        raise Invalid("cursor is not one of ours")
    return value


def moscow_midnight(day: date) -> datetime:
    return datetime.combine(day, time(), MOSCOW).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The first moment after a Moscow day."""
    return moscow_midnight(day + timedelta(days=1))

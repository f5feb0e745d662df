"""What the server asks of a marketplace."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sandbox.records import Record
from sandbox.wire import Endpoint, Reply


@dataclass(frozen=True)
class Admission:
    """What the rate limits said.

    `refusal` is the answer when `bucket` had nothing left; `settle` pays for an answer and writes the limits into its
    headers.
    """

    bucket: str
    refusal: Reply | None
    settle: Callable[[Reply], Reply]


@dataclass(frozen=True)
class Stream:
    """For the oracle: every record a seller has now, and which of its times a window means (None: no windows)."""

    records: Callable[[str, datetime], list[Record]]
    window: Callable[[Record], datetime] | None


class Marketplace(Protocol):
    """One marketplace played: its endpoints, its keys, its limits and its words of refusal."""

    name: str
    endpoints: tuple[Endpoint, ...]
    streams: Mapping[str, Stream]

    def seller(self, endpoint: Endpoint, headers: Mapping[str, str], now: datetime) -> str:
        """Whose credential this is. Raises Refused."""

    def admit(self, endpoint: Endpoint, seller: str, path: Mapping[str, str]) -> AbstractContextManager[Admission]:
        """Ask the limits for one request, for as long as it takes."""

    def invalid(self, endpoint: Endpoint, message: str) -> Reply:
        """The vendor's 400."""

    def failure(self, endpoint: Endpoint, status: int, now: datetime, retry: int) -> Reply:
        """The vendor's body for a bad day; `retry` in seconds, for a refusal by limit."""

    def no_such_path(self, now: datetime) -> Reply:
        """The vendor's 404."""


def created(record: Record) -> datetime:
    return record.at


def changed(record: Record) -> datetime:
    return record.changed

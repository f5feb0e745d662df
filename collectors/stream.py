"""The vocabulary: what a stream is, what is asked of it, and what it answers.

A stream is a frozen value. Its behaviour is one function, `pages`, which turns a walk into requests and answers into
pages; it is built by the helpers in `paging.py` and `reports.py` from what the vendor's page says. Times are aware
and UTC unless a name says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collectors.errors import Unacceptable
    from collectors.keys import Knowledge, Preflight
    from collectors.login import Login
    from collectors.place import Place

Json = Any  # what msgspec makes of a JSON text; read strictly, with a type, before it is relied on
Cursor = Mapping[str, Json]  # where a walk stands, as JSON; only the stream's own `pages` reads it
Id = int | str  # of a record, as another stream is asked for it
Secret = Mapping[str, str]  # a marketplace's named credentials, e.g. {"token": …}; never logged, stored or queued


class Scope(enum.StrEnum):
    """What shares a limit."""

    SELLER = "seller"  # one seller of the marketplace, whatever accounts of ours stand for it
    APPLICATION = "application"  # everybody who uses our application's key
    EGRESS = "egress"  # one address as the marketplace sees it
    SLOTS = "slots"  # requests at the same time, by one seller
    PLACES = "places"  # what the marketplace makes for one seller at the same time, see `Place`


@dataclass(frozen=True)
class Rate:
    """A token bucket as GCRA counts it: one unit every `every`, at most `burst` units at once."""

    every: timedelta
    burst: int = 1


def _one(_: Answer) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One rate limit. Streams that name the same bucket of the same seller share it.

    Most limits count requests. One that counts what is returned books `most` units before the request and gives back
    what `cost` says that the answer did not use; one that charges errors more takes the rest after the answer.
    """

    name: str
    rate: Rate
    scope: Scope = Scope.SELLER
    by_token: Mapping[str, Rate] = field(default_factory=dict)  # token type → its own rate
    most: int = 1  # units that are booked before a request
    cost: Callable[[Answer], int] = _one  # units that it cost, by its answer

    def rate_for(self, token_type: str) -> Rate:
        """Return the rate that a token of this type has."""
        return self.by_token.get(token_type, self.rate)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request to a marketplace, without its credentials: it can be stored as it stands."""

    method: Literal["GET", "POST"]
    host: str  # the vendor's; where it really goes is the worker's affair
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Json = None
    buckets: tuple[Bucket, ...] | None = None  # None: the stream's
    signed: bool = True  # False: a link to a file, which must not see the credentials
    repeatable: bool = True  # False: it makes something (a report), so it is sent again only if it was surely not sent
    file: bool = False  # True: the answer is a report's file, which may be larger than a page and is then kept in parts
    place: Place | None = field(default=None, compare=False, repr=False)  # of what it begins or asks about

    def stored(self) -> dict[str, Json]:
        """Return what `raw.payload.request` keeps of it: of a link to a file, which opens it, no values."""
        return {
            "method": self.method,
            "host": self.host,
            "path": self.path,
            "query": dict(self.query) if self.signed else dict.fromkeys(self.query, "***"),
            "body": self.body,
        }


class Spooled(Protocol):
    """A body that is too large for memory. It can be read until the run has stored it."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> bytes: ...

    def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body from its beginning, in parts that fit a row each."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: the body is what the API wrote, after transfer and content encoding are taken off."""

    request: Request
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)
    fetched_at: datetime  # when it had arrived, by the database's clock
    proxy: str | None = None  # the name of the proxy that it came through
    spool: Spooled | None = field(default=None, repr=False)  # the whole body, where `body` is only its beginning

    @property
    def size(self) -> int:
        return len(self.body) if self.spool is None else self.spool.size

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an answer says of a limit besides its status. It can only tighten what we count ourselves."""

    bucket: str | None = None  # its name; None: all that count this request for the seller
    left: int | None = None  # units that are left now
    opens: timedelta | None = None  # when there are units again, where none is left


@dataclass(frozen=True)
class Window:
    """A half-open time range `[start, end)`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a zone")
        if self.end <= self.start:
            raise ValueError(f"the window ends ({self.end.isoformat()}) before it begins ({self.start.isoformat()})")

    def overlaps(self, other: Window) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One pass over a window or a snapshot, and where it stands. What `pages` is given to go on with."""

    seller: str  # the marketplace's own id of the seller
    since: datetime  # how far back this slice is wanted; a watermark begins there
    now: datetime
    id: str = ""  # of this walk and no other, the same for all its runs
    slice: str = ""
    window: Window | None = None
    cursor: Cursor | None = None  # None at the beginning
    smaller: int = 0  # how often its pages had to be halved
    ids: Sequence[Id] = ()  # of a stream that has `ids`: those to ask for, ascending, each once

    def limit(self, most: int) -> int:
        """Return how many records to ask for at once, where the API takes `most`."""
        return max(1, most >> self.smaller)

    @property
    def span(self) -> Window:
        """Return the window; of a stream that has windows."""
        assert self.window is not None, "a stream without windows asked for one"
        return self.window


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer of a stream, read as far as paging needs it."""

    answer: Answer
    records: int | None  # None where they cannot be counted (a file)
    cursor: Cursor  # where the next page begins
    last: bool = False  # it completes the walk; of a watermark: we are up to date
    new: bool = True  # False: it only repeats what was stored before
    declared_total: int | None = None
    shifted: bool = False  # it holds a row of the page before: the rows moved while they were read
    file_name: str | None = None

    @property
    def worth_storing(self) -> bool:
        """An empty answer, or one that brings nothing new, is counted and not stored."""
        return self.new and self.records != 0


@dataclass(frozen=True)
class Mark:
    """Remember `cursor` now, before going on: there is no page yet, but a restart must not begin again.

    `last`: there is nothing to ask for, or nothing more, and that completes the walk.
    """

    cursor: Cursor
    last: bool = False


@dataclass(frozen=True)
class Skip:
    """Set this answer aside and go on behind it, at `cursor`: the walk will never be complete."""

    error: Unacceptable
    cursor: Cursor


Step = Page | Mark | Skip
Fetch = Callable[[Request], Awaitable[Answer]]
Pages = Callable[[Fetch, Walk], AsyncGenerator[Step, None]]


@dataclass(frozen=True)
class RecordsAt:
    """A stream's `pages` that knows where the records of its answers stand."""

    path: str | None
    pages: Pages
    at_once: int = 1  # of a stream that has `ids`: how many a request asks for

    def __call__(self, fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        return self.pages(fetch, walk)


@dataclass(frozen=True)
class FilesOfIds:
    """A stream's `pages` that brings files, each of so many ids."""

    pages: Pages
    at_once: int

    def __call__(self, fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        return self.pages(fetch, walk)


def records_at(path: str | None, *, at_once: int = 1) -> Callable[[Pages], Pages]:
    """Say where the records of the answers stand that the decorated `pages` brings, and of how many ids they are.

    A dotted path to an array, "" for a root array, None where an answer is one record. Left out for files.
    """
    return lambda pages: RecordsAt(path, pages, at_once)


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """A cursor taken from the data, without end. Its pages are final as they are stored."""

    since: timedelta  # how far back the first walk begins
    kept: timedelta | date | None = None  # how far back, or since which day, the API answers at all


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Time is read in windows cut on a fixed grid, and the newest time is read again while it is restated.

    A window is at most `longest` long and never crosses the grid, so reading it again supersedes the earlier walk.
    """

    longest: timedelta | Literal["month"]
    since: timedelta  # how far back collection begins unless somebody asks for more
    kept: timedelta | date | None = None  # how far back, or since which day of `zone`, the API answers at all
    lag: timedelta = timedelta(0)  # how long after an event the API tells it
    grain: timedelta | Literal["month"] = timedelta(seconds=1)  # windows end on it: a day, where only days can be asked
    zone: tzinfo = UTC  # whose midnight the grid starts from
    restated: tuple[tuple[timedelta, timedelta], ...] = ()  # (up to this age, read again this often), ascending


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole list as it is now, at each due time."""


Progress = Watermark | Windows | Snapshot


@dataclass(frozen=True, kw_only=True)
class ListedBy:
    """Slices that another stream lists: `read` takes their names from each page of its last complete walk."""

    stream: str
    read: Callable[[bytes], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class IdsOf:
    """Ids that other streams bring: `read` takes them, all numbers or all texts, from each page of their last walks."""

    streams: tuple[str, ...]
    read: Callable[[bytes], Iterable[Id]]
    within: timedelta | None = None  # of windows and watermarks: how far back; of a snapshot it says nothing
    of_slice: bool = False  # only from the slices that have the name of the one that asks
    example: Id = 1  # what one looks like, to see what is asked with it


@dataclass(frozen=True, kw_only=True)
class Marketplace:
    """How one marketplace is spoken to. `api.py` of its folder builds the value."""

    name: str
    hosts: frozenset[str]  # the only ones that may see credentials
    sign: Callable[[Secret, Request], Mapping[str, str]]  # credentials → headers; KeyError names a missing field
    judge: Callable[[Answer], None]  # raises what a refusal means; returns when the answer is one of data
    told: Callable[[Answer], Iterable[Told]] = lambda _: ()  # what its headers say of limits
    file_hosts: tuple[str, ...] = ()  # endings of host names that links to report files may have
    token_type: Callable[[Secret, Request], str] = lambda _, __: ""  # of the token that signs this request
    buckets: tuple[Bucket, ...] = ()  # what every request takes from, besides the stream's own
    secret_fields: tuple[str, ...] = ("token",)  # what its secret must hold; a plain text is the first of them
    other_fields: tuple[str, ...] | None = (
        None  # what it may hold besides, and beside the logins' fields; None: anything
    )
    logins: Mapping[str, Login] = field(default_factory=dict)  # host → how keys become the token that signs there
    knows: Callable[[Secret], Knowledge] | None = None  # what a key says of itself; asks nobody and raises nothing
    preflight: Preflight | None = None  # the question that tells more of a key


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One endpoint or report of a marketplace, collected for each account on a schedule."""

    marketplace: Marketplace
    name: str
    about: str  # what it is, in a few words, for tables that people read
    progress: Progress
    pages: Pages
    buckets: tuple[Bucket, ...]
    every: timedelta  # how often it is brought up to date
    slices: tuple[str, ...] | ListedBy = ("",)
    ids: IdsOf | None = None  # what a walk is given as `Walk.ids`; it is put off until they have been collected
    sellers: Callable[[Answer], Iterable[str]] = lambda _: ()  # whose data an answer says it holds, where it says so
    walk_max_age: timedelta | None = None  # a cursor older than this is not trusted: the walk begins again
    paging: str = ""  # how it pages, in a few words, for the same tables
    needs: str = ""  # the token category, scope or subscription without which the API refuses
    docs: str = ""  # the vendor's page
    dead_on: date | None = None  # the vendor switches it off on this day
    priority: int = 1

    @property
    def records(self) -> str | None:
        """Where the records of an answer stand: a dotted path, "" for a root array; None for a file or one record."""
        return self.pages.path if isinstance(self.pages, RecordsAt) else None

    @property
    def trusted_for(self) -> timedelta:
        """How long a walk may go on: unless it says so six hours, or a week by ids, which do not expire."""
        if self.walk_max_age is not None:
            return self.walk_max_age
        return timedelta(hours=6) if self.ids is None else timedelta(days=7)

    @property
    def needs_streams(self) -> frozenset[str]:
        """The streams without which it brings nothing: that which lists its slices, and those that bring its ids."""
        lists = {self.slices.stream} if isinstance(self.slices, ListedBy) else set()
        return frozenset(lists | set(self.ids.streams if self.ids else ()))

    @property
    def one_record(self) -> bool:
        """Whether an answer is one record itself."""
        return isinstance(self.pages, RecordsAt) and self.pages.path is None

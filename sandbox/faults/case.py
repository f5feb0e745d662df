"""What a row of the catalogue says."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sandbox.faults.answers import Act
from sandbox.faults.api import Greeting
from sandbox.faults.nowhere import Nobody
from sandbox.faults.proxies import Kind, TunnelAct, works
from sandbox.faults.wire import Certificate


class Group(enum.StrEnum):
    """The tables of the page, in their order."""

    ANSWERS = "What the marketplace answers"
    BODIES = "Bodies"
    CONNECTIONS = "Connections and proxies"
    PAGING = "Paging"
    OURS = "Ours"


class Blame(enum.StrEnum):
    """Whose fault it is; the collector's words, written once more because the sandbox shares nothing with it."""

    NOBODY = "nobody"
    ACCOUNT = "account"
    PROXY = "proxy"
    PAIR = "proxy and marketplace"
    PATH = "path"
    API = "API"
    US = "us"


class Reaction(enum.StrEnum):
    """What happens next."""

    AT_ONCE = "again at once"
    PAUSE = "again after a pause"
    OTHER = "through another proxy"
    PLAIN = "asked without compression"
    SPLIT = "split the window"
    SMALLER = "smaller page"
    PUT_OFF = "put off"
    PAUSE_ACCOUNT = "pause the account"
    UNAVAILABLE = "mark the stream unavailable"
    QUARANTINE = "quarantine"
    SHUT = "stop every worker at this limit"
    STOP = "leave the host alone for a while"
    ALARM = "raise an alarm"


class Cost(enum.StrEnum):
    """What it costs the proxy when another one brought the answer. Three points, and it is out."""

    NOTHING = ""
    HALF = "half a point"
    POINT = "a point"
    OUT = "out for a while"
    LONGEST = "out for half an hour"
    BANNED = "banned at this marketplace"


class Stored(enum.StrEnum):
    """What is in the database afterwards."""

    NOTHING = "nothing"
    PAGE = "the page"
    BODY = "the bytes, with the reason"
    PARTS = "the file, in parts"
    QUARANTINE = "the answer, in quarantine"


class Scene(enum.StrEnum):
    """The stream that meets it."""

    LIST = "one page"
    PAGES = "pages by cursor"
    TOTALS = "pages that declare a total"
    OFFSETS = "pages by offset"
    LAST_ROWS = "pages until 204"
    WINDOWS = "windows"
    REPORT = "a report"
    SELLERS = "pages that name their seller"


@dataclass(frozen=True)
class Answers:
    """The API does these in turn with requests to paths that begin with `at`, the last as long as it is asked."""

    acts: tuple[Act, ...]
    at: str = "/"

    def __init__(self, *acts: Act, at: str = "/") -> None:
        object.__setattr__(self, "acts", acts)
        object.__setattr__(self, "at", at)


@dataclass(frozen=True)
class Greets:
    """The API meets every connection so."""

    greeting: Greeting


@dataclass(frozen=True)
class Tunnels:
    """The proxies do this; the API does nothing wrong, but `answer` may make its answers longer."""

    act: TunnelAct = works
    kind: Kind = "http"
    certificate: Certificate = "good"
    credentials: tuple[str, str] | None = None  # that the proxies want
    answer: Act | None = None


@dataclass(frozen=True)
class Nowhere:
    """There is nobody at the address of the proxies, or of the API."""

    of: Literal["proxies", "API"]
    how: Nobody


@dataclass(frozen=True)
class Named:
    """A test of its own plays it: `path::name`, from the root of the repository."""

    test: str


Play = Answers | Greets | Tunnels | Nowhere | Named


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that goes wrong.

    `reactions` are in their order, for as long as it goes on; `cost` is the proxy's if another one does better. No
    reactions: it is an answer like any other.
    """

    name: str
    what: str
    plays: tuple[Play, ...]  # each of which must end the same way
    blame: Blame = Blame.NOBODY
    reactions: tuple[Reaction, ...] = ()
    third: Reaction | None = None  # what happens instead of the last, the third time in a row
    wait: timedelta | None = None  # how long it is put off, where the API says so
    cost: Cost = Cost.NOTHING
    stored: Stored = Stored.NOTHING
    scene: Scene = Scene.LIST
    marketplace: str = "ozon"
    once: bool = False  # it is over after the acts: only what happens then is of interest
    direct: bool = False  # the account has no proxies
    slow: bool = False  # a deadline ends it

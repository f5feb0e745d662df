"""What the sandbox's data is made of: lives of records, drawn from a seed.

Everything is a pure function of (seed, marketplace, stream, seller, day, number in the day) and of the moment at which
one looks. Moving the clock forward therefore adds records and changes records, and never reshuffles any.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

MOSCOW = timezone(timedelta(hours=3))
DAY = timedelta(days=1)

_VERBATIM = re.compile('"\ue000(.*?)\ue000"')


@dataclass(frozen=True)
class World:
    """Fixes the data: same world, same records.

    `epoch` is when the sandbox was opened, history begins `history_days` before it. `scale` multiplies the number of
    records, `volumes` sets it for one stream ("wildberries/orders": 5 a day, "wildberries/cards": 12 in all).
    `nasty` adds records that PostgreSQL's json cannot read.
    """

    seed: int
    epoch: datetime
    history_days: int = 95
    scale: float = 1.0
    volumes: Mapping[str, float] = field(default_factory=dict)
    nasty: bool = False

    @property
    def first_day(self) -> date:
        return self.epoch.date() - timedelta(days=self.history_days)

    def volume(self, stream: str, usual: float) -> float:
        return self.volumes.get(stream, usual * self.scale)


@dataclass(frozen=True, slots=True)
class Dice:
    """Throws that depend on names alone, so that a new field never changes the value of another."""

    name: str

    def number(self, label: str, low: int, high: int) -> int:
        """From low to high, both included."""
        digest = blake2b(f"{self.name}/{label}".encode(), digest_size=8).digest()
        return low + int.from_bytes(digest, "big") % (high - low + 1)

    def pick(self, label: str, options: Sequence[T]) -> T:
        return options[self.number(label, 0, len(options) - 1)]

    def chance(self, label: str, percent: int) -> bool:
        return self.number(label, 0, 99) < percent

    def hex(self, label: str, length: int) -> str:
        return blake2b(f"{self.name}/{label}".encode(), digest_size=32).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Life:
    """One record from its birth on.

    `at` is the time that the vendor's creation window asks about, `born` the moment from which the record can be seen,
    `steps` the moments at which it changes; `every` instead of steps is a change without end. `slices` tells the slice
    of each state, the last one stays. `render` makes the exact bytes of a state.
    """

    key: str
    order: int
    at: datetime
    born: datetime
    render: Callable[["Record"], bytes]
    steps: tuple[datetime, ...] = ()
    every: timedelta | None = None
    slices: tuple[str, ...] = ("",)

    def seen(self, now: datetime) -> "Record | None":
        if now < self.born:
            return None
        if self.every is not None:
            state = (now - self.born) // self.every
            return Record(self, state, self.born + state * self.every)
        state = bisect_right(self.steps, now)
        return Record(self, state, self.steps[state - 1] if state else self.born)


@dataclass(frozen=True, slots=True)
class Record:
    """A life as it looks at one moment."""

    life: Life
    state: int
    changed: datetime

    @property
    def key(self) -> str:
        return self.life.key

    @property
    def at(self) -> datetime:
        return self.life.at

    @property
    def slice(self) -> str:
        return self.life.slices[min(self.state, len(self.life.slices) - 1)]

    @property
    def text(self) -> bytes:
        return self.life.render(self)


class Book:
    """The lives of one stream, day by day (UTC days of birth), made when first asked for and kept."""

    def __init__(self, world: World, count: Callable[[date], int], make: Callable[[str, date, int], Life]) -> None:
        self._world = world
        self._count = count
        self._make = make
        self._days: dict[tuple[str, date], tuple[Life, ...]] = {}

    def day(self, seller: str, day: date) -> tuple[Life, ...]:
        known = self._days.get((seller, day))
        if known is None:
            known = tuple(self._make(seller, day, number) for number in range(self._count(day)))
            self._days[seller, day] = known
        return known

    def seen(
        self, seller: str, now: datetime, since: date | None = None, until: date | None = None
    ) -> Iterator[Record]:
        """Records that exist at `now`, of the days from `since` to `until` (both included)."""
        first = max(since or self._world.first_day, self._world.first_day)
        last = min(until or now.date(), now.date())
        for offset in range((last - first).days + 1):
            for life in self.day(seller, first + timedelta(days=offset)):
                record = life.seen(now)
                if record is not None:
                    yield record


def every_day(world: World, stream: str, usual: float) -> Callable[[date], int]:
    """The same number of new records each day."""
    volume = round(world.volume(stream, usual))
    return lambda day: volume if day >= world.first_day else 0


def catalogue(world: World, stream: str, usual: float, growth: int = 1) -> Callable[[date], int]:
    """`usual` records spread over the history, then `growth` new ones a day."""
    volume = round(world.volume(stream, usual))
    length = world.history_days

    def count(day: date) -> int:
        number = (day - world.first_day).days
        if number < 0:
            return 0
        if number >= length:
            return growth
        return (number + 1) * volume // length - number * volume // length

    return count


def moment(day: date, seconds: float) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(seconds=seconds)


def serial(day: date, number: int, per_day: int = 100_000) -> int:
    """A number that grows with the day and, within it, with `number`."""
    return (day.toordinal() - date(2020, 1, 1).toordinal()) * per_day + number


def verbatim(token: str) -> str:
    """Put `token` into the JSON as it is: `1.10` stays `1.10`, which no Python number would."""
    return f"\ue000{token}\ue000"


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8, letters as they are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _VERBATIM.sub(_unquoted, text).encode()


def _unquoted(found: re.Match[str]) -> str:
    token: str = json.loads(f'"{found[1]}"')
    return token


def array(records: Iterable[Record]) -> bytes:
    return b"[%b]" % b",".join(record.text for record in records)


def zulu(at: datetime) -> str:
    """As Go prints it: fraction without trailing zeros, `Z`."""
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def moscow(at: datetime, *, offset: bool = True) -> str:
    local = at.astimezone(MOSCOW).replace(microsecond=0)
    return local.isoformat() if offset else local.replace(tzinfo=None).isoformat()

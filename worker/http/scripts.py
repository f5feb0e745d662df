"""The limits' scripts in Valkey: what they are asked and say, and what must outlive Valkey."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import msgspec
import structlog

from collectors.stream import Bucket, Rate, Scope
from worker.http.valkey import Calls, microseconds, reached, script

log = structlog.get_logger(__name__)

WORTH_KEEPING = timedelta(seconds=60)  # a wait that must outlive Valkey
LONGEST = timedelta(hours=24)  # the longest interval of any known limit (Wildberries, base token)
# Over TUNNEL_DEADLINE + TOTAL_DEADLINE and the time to keep a wait or two before: what is older lost its worker.
_LONGEST_REQUEST = timedelta(seconds=160)
_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)  # by a marketplace's mark it is kept that it was in use
_RECOVERY = timedelta(minutes=20)  # from a standstill to full speed after unexpected refusals: 5 % a minute

HELD = frozenset({Scope.SLOTS, Scope.PLACES})  # these are held and given back, the others count

Keyed = tuple[Bucket, str]


class Keep(Protocol):
    """Where long waits outlive Valkey, by the key of their bucket."""

    async def write(self, key: str, until: datetime) -> None:
        """Keep a wait, or leave a longer one as it is. Must not raise: no answer may be lost over it."""

    async def take_back(self, key: str, until: datetime) -> None:
        """Forget a wait, if it is the one that is kept. Must not raise."""

    async def read(self) -> Mapping[str, datetime]:
        """Return what is kept. Raises PutOff, and no other error."""
        ...


class Said(enum.IntEnum):
    """What take.lua says."""

    LOST = 0
    TOO_FAR = 1
    NO_SLOT = 2
    BOOKED = 3
    GO = 4


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What came of asking for a turn."""

    said: Said
    wait: timedelta
    bucket: str  # the name of the one that we wait for, if there is one
    at: int = 0  # the moment that was booked, in microseconds of Valkey's clock
    far: Mapping[str, datetime] = field(default_factory=dict)  # waits that must outlive Valkey, if the request is sent


@dataclass(frozen=True, kw_only=True)
class Turned:
    """A request as the scripts know it: who it is, whose limits it takes from, and whether its turn is booked."""

    id: str
    keys: Sequence[Keyed]
    token_type: str
    booked: bool = False
    at: int = 0
    kept: Mapping[str, datetime] = field(default_factory=dict)  # waits that were kept because it was sent


class Scripts:
    """The scripts of one Valkey. `scale` is how many times faster than the vendors' limits."""

    def __init__(self, calls: Calls, *, scale: float, keep: Keep | None) -> None:
        self._calls = calls
        self._scale = scale
        self._keep = keep
        self._constants = {
            "worth": microseconds(WORTH_KEEPING),
            "remembered": microseconds(LONGEST),
            "recovery": max(1, microseconds(_RECOVERY / scale)),
        }
        self._take, self._renew, self._settle, self._shut, self._restore, self._place = (
            calls.script(script("bucket") + script(name))
            for name in ("take", "renew", "settle", "shut", "restore", "place")
        )

    async def take(self, turned: Turned, *, longest: timedelta) -> Taken:
        """Ask for a turn at most `longest` away. Brings back first what Valkey has lost; then nothing is booked."""
        mark, *names = _names(turned.keys)
        asked = self._asked(
            turned.keys,
            turned.token_type,
            id=turned.id,
            booked=turned.booked,
            at=turned.at,
            longest=microseconds(longest),
        )
        with reached("the limiter"):
            said, *told = await self._calls.ask(self._take, keys=[mark, *names], args=[asked])
        if said == Said.LOST:
            await self.bring_back(mark)
            return Taken(said=Said.LOST, wait=timedelta(0), bucket="")
        wait, slowest, *booked = told
        return Taken(
            said=Said(said),
            wait=timedelta(microseconds=wait),
            bucket=turned.keys[slowest - 1][0].name if slowest else "",
            at=int(booked[0]) if booked else 0,
            far=_far(turned.keys, booked[1]) if said == Said.GO else {},
        )

    def renew(self, turned: Turned) -> None:
        """Hold the slots of a request that is still under way."""
        asked = self._asked(turned.keys, turned.token_type, id=turned.id)
        self._calls.tell(self._renew, keys=_names(turned.keys), args=[asked])

    async def settle(self, turned: Turned, about: Mapping[str, Mapping[str, int]], *, sent: bool) -> int:
        """Settle a turn; returns how many of its slots had expired. `about`: by key, cost and what the answer told."""
        asked = self._asked(turned.keys, turned.token_type, about, id=turned.id, booked=turned.booked, sent=sent)
        with reached("the limiter"):
            noted, expired = await self._calls.ask(self._settle, keys=_names(turned.keys), args=[asked])
        far = _far(turned.keys, noted)
        if self._keep is not None:
            for _, key in turned.keys:
                if key in turned.kept and (key not in far or far[key] < turned.kept[key]):
                    await self._keep.take_back(key, turned.kept[key])
        await self.write(far)
        return int(expired)

    async def shut(self, keys: Sequence[Keyed], wait: timedelta) -> None:
        """Shut buckets for everybody, because of a refusal."""
        with reached("the limiter"):
            noted = await self._calls.ask(
                self._shut, keys=_names(keys), args=[self._asked(keys, "", wait=microseconds(min(wait, LONGEST)))]
            )
        await self.write(_far(keys, noted))

    async def place(self, keyed: Keyed, name: str, *, over: bool) -> None:
        """Hold a place on for as long as its bucket says, or give it back."""
        with reached("the limiter"):
            await self._calls.ask(
                self._place, keys=_names([keyed]), args=[self._asked([keyed], "", id=name, over=over)]
            )

    async def bring_back(self, mark: str) -> None:
        """Put the waits of one marketplace back into Valkey, if it has lost them. Raises PutOff."""
        kept = {} if self._keep is None else await self._keep.read()
        waits = {key: until for key, until in kept.items() if key.startswith(f"{mark}:")}
        opens = [str(microseconds(until - datetime.fromtimestamp(0, UTC))) for until in waits.values()]
        asked = self._asked((), "", opens=opens, used=mark in kept)
        with reached("the limiter"):
            lost = await self._calls.ask(self._restore, keys=[mark, *waits], args=[asked])
        if lost:
            marketplace = mark.partition("{")[2].rstrip("}")
            log.warning("Redis had lost what the limits count", marketplace=marketplace, waits_put_back=len(waits))
        if mark not in kept:  # written only now, or another worker that starts would take this start for a loss
            await self.write({mark: _FOR_EVER})

    async def write(self, far: Mapping[str, datetime]) -> None:
        """Keep waits where they outlive Valkey."""
        if self._keep is not None:
            for key, until in far.items():
                await self._keep.write(key, until)

    def _asked(
        self,
        keys: Sequence[Keyed],
        token_type: str,
        about: Mapping[str, Mapping[str, int]] | None = None,
        **more: str | int | bool | list[str],
    ) -> str:
        """Write down what a script is asked, with the buckets as it reads them."""
        buckets = [
            {
                **_described(bucket.scope in HELD, bucket.rate_for(token_type), bucket.most, self._scale),
                **(about or {}).get(key, {}),
            }
            for bucket, key in keys
        ]
        return msgspec.json.encode({"buckets": buckets, **self._constants, **more}).decode()


@lru_cache(maxsize=1024)  # what it reckons takes 5 us a bucket, for each call
def _described(slots: bool, rate: Rate, most: int, scale: float) -> Mapping[str, int | bool]:
    safe = max(1, rate.burst - 1)  # one is spared for what an uneven way bunches
    return {
        "slots": slots,
        "interval": 0 if slots else microseconds(rate.every / scale),
        "burst": rate.burst,
        "safe": safe,
        "most": min(most, safe),  # more would never be free
        "hold": microseconds(rate.every if slots else _LONGEST_REQUEST),
    }


def _names(keys: Sequence[Keyed]) -> list[str]:
    """Return the mark of the marketplace and the two keys of each bucket, all in one hash slot."""
    first = keys[0][1]
    return [first[: first.index("}") + 1], *(name for _, key in keys for name in (key, f"{key}:held"))]


def _far(keys: Sequence[Keyed], noted: Sequence[Any]) -> dict[str, datetime]:
    """Read what a script noted in `far`, by key."""
    return {
        keys[number - 1][1]: datetime.fromtimestamp(int(until) / 1_000_000, UTC)
        for number, until in zip(noted[::2], noted[1::2], strict=True)
    }

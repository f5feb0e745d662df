"""The rate limits, shared by all workers and counted by Valkey's clock.

A request takes its turn of several buckets in one atomic call, which lets it go or books the next free moment (GCRA):
first come, first served. When that moment has come it asks once more, and goes only if the marketplace has room for
all that is under way, however late any of it arrives. Nothing is fetched without Valkey, nor before Valkey has back
what it lost.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import structlog
from redis.asyncio import Redis

from collectors.errors import PutOff, RateLimited
from collectors.place import Place
from collectors.stream import Answer, Bucket, Scope, Told
from worker.http.scripts import HELD, LONGEST, Keep, Keyed, Said, Scripts, Taken, Turned
from worker.http.valkey import Calls, microseconds

log = structlog.get_logger(__name__)

IN_PLACE = timedelta(seconds=2)  # a longer wait is handed back to the queue (arq's own grain is 0.5 s)
_SLOT_WAIT = timedelta(seconds=3)  # over IN_PLACE: we have waited for the slot already
_PLACE_WAIT = timedelta(seconds=20)  # on average; reports take from seconds to minutes
_SLOT_POLL = timedelta(seconds=0.05)  # a request takes about 0.3
_SHORTEST_WAIT = timedelta(seconds=0.005)  # until we look again whether what is under way was answered

Wait = Callable[[float], Awaitable[None]]


def bucket_key(marketplace: str, seller: str, bucket: Bucket, *, egress: str) -> str:
    """Name a bucket in Valkey. `seller` is the marketplace's own id; `egress` names the proxy, or "direct".

    The braces put all buckets of one request on one node of a cluster.
    """
    start = f"{_mark(marketplace)}:{bucket.name}"
    match bucket.scope:
        case Scope.SELLER:
            return f"{start}:seller:{seller}"
        case Scope.SLOTS | Scope.PLACES:
            return f"{start}:{bucket.scope}:{seller}"
        case Scope.APPLICATION:
            return f"{start}:application"
        case Scope.EGRESS:
            return f"{start}:egress:{egress}"


def _mark(marketplace: str) -> str:
    """Name what begins all keys of a marketplace, and the key that says that Valkey knows of its long waits."""
    return f"limit:{{{marketplace}}}"


def concerned(keys: Sequence[Keyed], name: str | None) -> list[Keyed]:
    """Return the buckets that an answer speaks of: those it names, or all that count one seller's requests."""
    named = [(bucket, key) for bucket, key in keys if bucket.name == name]
    return named or [(bucket, key) for bucket, key in keys if bucket.scope in {Scope.SELLER, Scope.APPLICATION}]


class Limits:
    """All buckets. `scale` is how many times faster than the vendors' limits; a wait told by a server stays as told."""

    def __init__(
        self, redis: Redis, *, scale: float = 1.0, keep: Keep | None = None, calls: Calls | None = None
    ) -> None:
        self._scripts = Scripts(calls or Calls(redis), scale=scale, keep=keep)

    async def restore(self, marketplaces: Iterable[str]) -> None:
        """Put back what Valkey has lost, at the start. Later it is done by whoever finds it lost. Raises PutOff."""
        for marketplace in marketplaces:
            await self._scripts.bring_back(_mark(marketplace))

    @asynccontextmanager
    async def turn(
        self, keys: Sequence[Keyed], token_type: str, *, wait: Wait, max_wait: timedelta = IN_PLACE
    ) -> AsyncIterator[Turn]:
        """Come when it is the request's turn, and hold its slots until the block is left.

        `wait` sleeps. Raises RateLimited, with nothing booked, when the turn is farther away than `max_wait` or the
        marketplace told to wait meanwhile; PutOff without Valkey.
        """
        turn = Turn(self._scripts, keys, token_type)
        try:
            await turn.come(wait, max_wait)
            yield turn
        finally:
            await turn.leave()

    async def place(self, keyed: Keyed, place: Place, answer: Answer | None = None) -> None:
        """Hold a place on after an answer, or give it back if that says so; before one, if it is to be begun anew.

        Without Valkey it expires.
        """
        if answer is None and place.over is not None:
            return
        over = answer is None or (place.over is not None and place.over(answer))
        with suppress(PutOff):
            await self._scripts.place(keyed, place.name, over=over)

    async def penalise(self, keys: Sequence[Keyed], wait: timedelta) -> None:
        """Stop all workers for as long as the marketplace said; afterwards a bucket has one unit, not its burst."""
        if keys:
            await self._scripts.shut(keys, wait)


class Turn:
    """The turn of one request: from GO until it is left, the request counts as under way."""

    _settlings: ClassVar[set[asyncio.Task[None]]] = set()  # the loop itself would forget them

    def __init__(self, scripts: Scripts, keys: Sequence[Keyed], token_type: str) -> None:
        self._scripts = scripts
        self._turned = Turned(id=uuid.uuid4().hex, keys=keys, token_type=token_type)
        self._to_settle = False
        self._sent = False
        self._renewing: asyncio.TimerHandle | None = None
        self._about: dict[str, dict[str, int]] = {}  # by key: what it cost, and what the answer told

    async def come(self, wait: Wait, max_wait: timedelta) -> None:
        """Return when the request may be sent; see `Limits.turn`."""
        waited = timedelta(0)
        while self._turned.keys:
            self._to_settle = True  # if we are cut off now, we do not know
            taken = await self._scripts.take(self._turned, longest=max_wait - waited)
            again = self._turned.booked
            match taken.said:
                case Said.GO:
                    self._turned = replace(self._turned, booked=True, kept=taken.far)
                    self._hold()
                    await self._scripts.write(taken.far)
                    self._sent = True
                    return
                case Said.BOOKED:
                    self._turned = replace(self._turned, booked=True, at=taken.at)
                case Said.LOST:
                    self._turned = replace(self._turned, booked=False, at=0)
                case _:
                    self._to_settle = again
            pause = _pause(taken, again=again)
            if taken.said is Said.TOO_FAR or waited + pause > max_wait or self._is_placeless(taken):
                raise _limited(taken, waited, placeless=self._is_placeless(taken))
            if pause:
                await wait(pause.total_seconds())
                waited += pause

    def _is_placeless(self, taken: Taken) -> bool:
        """Tell whether it waits for something to end that takes longer than a request."""
        waits_for = {bucket.scope for bucket, _ in self._turned.keys if bucket.name == taken.bucket}
        return taken.said is Said.NO_SLOT and Scope.PLACES in waits_for

    def unsent(self) -> None:
        """Say that the request surely never left us, so that its units are given back."""
        self._sent = False

    def answered(self, answer: Answer, told: Iterable[Told] = ()) -> None:
        """Note what the answer cost, and what it told of the limits: it is charged when the turn is left, or before."""
        self._about = {
            key: {"cost": bucket.cost(answer)} for bucket, key in self._turned.keys if bucket.scope not in HELD
        }
        for word in told:
            for _, key in concerned(self._turned.keys, word.bucket):
                _note(self._about.setdefault(key, {}), word)

    async def charge(self) -> None:
        """Charge what was noted, and hold everybody to it, before the turn is left: its slots stay held."""
        counted = [(bucket, key) for bucket, key in self._turned.keys if bucket.scope not in HELD]
        # Whatever becomes of it, they are not settled again.
        self._turned = replace(self._turned, keys=[keyed for keyed in self._turned.keys if keyed not in counted])
        await self._settle(counted)

    async def leave(self) -> None:
        """Give back what is held. Without an answer a request cost what was booked, unless it was never sent."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._to_settle:
            await self._settle(self._turned.keys)

    async def _settle(self, keys: Sequence[Keyed]) -> None:
        """Settle these, even for who is cancelled meanwhile: what is not given back is gone until it expires."""
        if keys:
            settling = asyncio.create_task(self._settled(keys))
            self._settlings.add(settling)
            settling.add_done_callback(self._settlings.discard)
            await asyncio.shield(settling)

    async def _settled(self, keys: Sequence[Keyed]) -> None:
        with suppress(PutOff):  # what is not given back expires
            expired = await self._scripts.settle(replace(self._turned, keys=keys), self._about, sent=self._sent)
            if expired and self._sent:
                names = [bucket.name for bucket, _ in keys]
                log.warning("a request outlasted its slot: Redis was not reached meanwhile", buckets=names)

    def _hold(self) -> None:
        """Hold the slots for as long as the request runs: a slot expires soon, should its worker be killed."""
        lives = [
            bucket.rate_for(self._turned.token_type).every for bucket, _ in self._turned.keys if bucket.scope in HELD
        ]
        if lives:
            self._renew_after(min(lives).total_seconds() / 3)

    def _renew_after(self, pause: float) -> None:
        self._renewing = asyncio.get_running_loop().call_later(pause, self._renew, pause)

    def _renew(self, pause: float) -> None:
        self._scripts.renew(self._turned)
        self._renew_after(pause)


def _note(about: dict[str, int], word: Told) -> None:
    """Note what an answer told of one bucket; of several words the tightest."""
    if word.left is not None:
        about["left"] = min(about.get("left", word.left), max(0, word.left))
    if word.opens is not None and not word.left:
        about["opens"] = max(about.get("opens", 0), microseconds(min(word.opens, LONGEST)))


def _pause(taken: Taken, *, again: bool) -> timedelta:
    match taken.said:
        case Said.NO_SLOT:
            return _SLOT_POLL * random.uniform(0.5, 1.5)  # noqa: S311 - only spreads the polls
        case Said.BOOKED:
            return max(taken.wait, _SHORTEST_WAIT) if again else taken.wait
    return timedelta(0)


def _limited(taken: Taken, waited: timedelta, *, placeless: bool) -> RateLimited:
    if placeless:
        wait = _PLACE_WAIT * random.uniform(0.5, 1.5)  # noqa: S311 - only spreads those who wait
        return RateLimited(f"no place of {taken.bucket!r} is free yet", wait=wait, bucket=taken.bucket)
    if taken.said is Said.NO_SLOT:
        return RateLimited(f"no slot of {taken.bucket!r} became free", wait=_SLOT_WAIT, bucket=taken.bucket)
    wait = max(taken.wait, _SLOT_WAIT) if waited else taken.wait
    message = f"the limit {taken.bucket!r} is used up for {wait.total_seconds():.1f} s"
    return RateLimited(message, wait=wait, bucket=taken.bucket)

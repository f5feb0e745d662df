"""Which proxy an account goes through, and which ones are out for a while. Shared by all workers, by Valkey's clock.

A proxy goes out when it fails three times in a row, or more often than not; for one marketplace alone, when that
refuses its address. It comes back by way of one real request: until that went well, all others treat it as out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from collectors.errors import PutOff
from worker.http.proxies import Proxy, ranked
from worker.http.valkey import Calls, microseconds, reached, script

FAULTS_IN_A_ROW = 3
_COUNTED_FOR = timedelta(seconds=60)
_ENOUGH_TO_JUDGE = 10  # requests within that time
_MINUTE = timedelta(minutes=1)
_COOL_DOWN = (_MINUTE / 2, 30 * _MINUTE)  # the first, doubled each time in a row, and the longest
_BAN = (5 * _MINUTE, 60 * _MINUTE)
_TRIAL = timedelta(seconds=30)  # twice the deadline of a tunnel
_REMEMBERED = timedelta(hours=24)  # a place that nobody uses, and a proxy that nobody tries again
_VIEW_LIVES = 1.0  # seconds that others' faults may take to be known here
_PLACE_LIVES = 60.0  # seconds until Valkey is told again that an account uses its place
_DOUBTED_FOR = 600.0  # seconds
_NO_ROOM_WAIT = timedelta(minutes=5)  # a person has to add a proxy

_OK_TIMES = (microseconds(_COUNTED_FOR), microseconds(_REMEMBERED))

_OUT = "{proxies}:out"  # the braces put all of it on one node of a cluster
_EVERYWHERE = ""  # instead of a marketplace: the proxy itself fails


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a proxy stands. A time in the past: the next request tries it."""

    faults: float = 0.0  # in a row
    out_until: datetime | None = None
    banned: Mapping[str, datetime]  # marketplace → until when
    accounts: int = 0  # that went out by its address within a day


@dataclass
class _Out:
    """When a proxy comes back, by the monotonic clock, and until when somebody is trying it."""

    until: float
    trial: float = 0.0

    @property
    def opens(self) -> float:
        return max(self.until, self.trial)


_Field = tuple[str, str]  # marketplace or _EVERYWHERE, the proxy's name


class Health:
    """What all workers know of the proxies. Reports never fail: what Valkey does not take is forgotten."""

    def __init__(
        self,
        redis: Redis,
        *,
        jitter: Callable[[], float] = random.random,  # between 0 and 1
        calls: Calls | None = None,  # that others make beside these
    ) -> None:
        self._redis = redis
        self._calls = calls or Calls(redis)
        self._jitter = jitter
        self._put_out, self._forgive, self._try, self._take_place = (
            self._calls.script(script(f"proxy_{name}")) for name in ("out", "ok", "trial", "place")
        )
        self._out: dict[_Field, _Out] = {}
        self._doubted: dict[tuple[str, str, str], float] = {}  # account, marketplace, proxy → until when
        self._read_at = -_VIEW_LIVES
        self._reading = asyncio.Lock()
        # Account → the proxies that it passed over and the one that it took, and until when that holds.
        self._placed: dict[str, tuple[list[Proxy], float]] = {}

    async def choose(
        self, group: Sequence[Proxy], *, account_id: str, marketplace: str, without: Collection[Proxy] = ()
    ) -> Proxy | None:
        """Return the account's own among the usable proxies; None: every usable one is in `without`.

        Raises PutOff when none of them has room for another account, and without Valkey.
        """
        now = time.monotonic()
        if now - self._read_at >= _VIEW_LIVES:
            await self._refresh()
            now = time.monotonic()
        out = self._unusable(group, marketplace) if self._out else {}
        left = ranked(group, account_id)
        if out or without:
            left = [
                proxy for proxy in left if proxy not in without and (proxy.name not in out or out[proxy.name] <= now)
            ]
        if self._doubted:
            left.sort(key=lambda proxy: self._doubted.get((account_id, marketplace, proxy.name), 0.0) > now)
        while left:
            proxy = await self._place(left, account_id)
            if proxy.name not in out or await self._may_try(proxy, marketplace):
                return proxy
            left.remove(proxy)
        return None

    def doubt(self, proxies: Sequence[Proxy], *, account_id: str, marketplace: str) -> None:
        """All of these were refused, and no other was asked: let the account try others first, for a while."""
        until = time.monotonic() + _DOUBTED_FOR
        for proxy in proxies:
            self._doubted[account_id, marketplace, proxy.name] = until

    async def ok(self, proxy: Proxy, marketplace: str) -> None:
        """The proxy brought us to the marketplace."""
        fields = [_name(_EVERYWHERE, proxy), _name(marketplace, proxy)]
        keys = [_OUT, _record(proxy.name)]
        args: list[str | int | float] = [*_OK_TIMES, *fields]
        if not self._found(proxy, marketplace):  # then there is nothing to forget here
            self._calls.tell(self._forgive, keys=keys, args=args)
            return
        with suppress(RedisError, OSError):
            for field in await self._calls.ask(self._forgive, keys=keys, args=args):
                self._out.pop(_parse(field), None)

    async def fault(self, proxy: Proxy, *, points: float = 1.0, lasting: bool = False) -> None:
        """The proxy failed, whatever the marketplace. `lasting`: not by chance, so it is out for longest at once."""
        await self._count(proxy, _EVERYWHERE, _COOL_DOWN, keys=[_record(proxy.name)], points=points, lasting=lasting)

    async def ban(self, proxy: Proxy, marketplace: str) -> None:
        """The marketplace refuses this proxy's address. Others may not."""
        await self._count(proxy, marketplace, _BAN, keys=[])

    async def standing(self, proxies: Sequence[Proxy]) -> Mapping[str, Standing]:
        """Tell by name how proxies stand. Raises PutOff without Valkey."""
        with reached("the proxies' health"):
            pipeline = self._redis.pipeline(transaction=False)
            seconds, _ = await self._redis.time()
            pipeline.hgetall(_OUT)
            for proxy in proxies:
                pipeline.hget(_record(proxy.name), "row")
                pipeline.zcount(_accounts(proxy), (seconds - _REMEMBERED.total_seconds()) * 1e6, "+inf")
            out, *counted = await pipeline.execute()
        until: dict[str, dict[str, datetime]] = {}
        for field, value in out.items():
            marketplace, name = _parse(field)
            until.setdefault(name, {})[marketplace] = datetime.fromtimestamp(int(value.split()[0]) / 1e6, UTC)
        return {
            proxy.name: Standing(
                faults=float(faults or 0),
                out_until=until.get(proxy.name, {}).pop(_EVERYWHERE, None),
                banned=until.get(proxy.name, {}),
                accounts=accounts,
            )
            for proxy, faults, accounts in zip(proxies, counted[::2], counted[1::2], strict=True)
        }

    async def forgive(self, proxy_name: str) -> None:
        """Forget what a proxy did: it was tested, or replaced. Raises PutOff without Valkey."""
        with reached("the proxies' health"):
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hkeys(_OUT)
            (fields,) = await pipeline.execute()
            if its := [field for field in fields if _parse(field)[1] == proxy_name]:
                pipeline.hdel(_OUT, *its)
            pipeline.delete(_record(proxy_name))
            await pipeline.execute()
        self._read_at = -_VIEW_LIVES

    async def _refresh(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < _VIEW_LIVES:
                return
            with reached("the proxies' health"):
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.time()
                pipeline.hgetall(_OUT)
                (seconds, micros), out = await pipeline.execute()
            self._read_at = time.monotonic()
            ahead = self._read_at - (seconds + micros / 1e6)
            self._out = {}
            self._doubted = {whom: until for whom, until in self._doubted.items() if until > self._read_at}
            for field, value in out.items():
                until, _, trial = (int(number) / 1e6 for number in value.split())
                self._out[_parse(field)] = _Out(until + ahead, trial + ahead)

    def _unusable(self, group: Sequence[Proxy], marketplace: str) -> dict[str, float]:
        """Return by name when those come back that are out. Half of a group at most: the fault is not theirs then."""
        opens = {
            proxy.name: max(out.opens for out in found)
            for proxy in group
            if self._out and (found := [out for _, out in self._found(proxy, marketplace)])
        }
        return dict(sorted(opens.items(), key=lambda item: item[1], reverse=True)[: len(group) // 2])

    def _found(self, proxy: Proxy, marketplace: str) -> list[tuple[_Field, _Out]]:
        fields = ((_EVERYWHERE, proxy.name), (marketplace, proxy.name))
        return [(field, self._out[field]) for field in fields if field in self._out]

    async def _may_try(self, proxy: Proxy, marketplace: str) -> bool:
        """Take the one request by which a proxy comes back."""
        found = self._found(proxy, marketplace)
        names = [_name(field[0], proxy) for field, _ in found]
        with reached("the proxies' health"):
            taken = bool(await self._calls.ask(self._try, keys=[_OUT], args=[microseconds(_TRIAL), *names]))
        for _, out in found:  # whoever has it: others of this process need not ask
            out.trial = time.monotonic() + (_TRIAL.total_seconds() if taken else _VIEW_LIVES)
        return taken

    async def _place(self, left: Sequence[Proxy], account_id: str) -> Proxy:
        """Return the first where the account has a place, or where there is room for it."""
        passed, until = self._placed.get(account_id, ([], 0.0))
        if passed and left[: len(passed)] == passed and time.monotonic() < until:
            return passed[-1]
        keys = [_accounts(proxy) for proxy in left]
        most = [proxy.most_accounts for proxy in left]
        with reached("the proxies' health"):
            number: int = await self._calls.ask(
                self._take_place, keys=keys, args=[account_id, microseconds(_REMEMBERED), *most]
            )
        if not number:
            raise PutOff(
                f"proxy group {left[0].group!r} has no room for another account: "
                "add a proxy to it or raise --max-accounts",
                wait=_NO_ROOM_WAIT,
            )
        self._placed[account_id] = (list(left[:number]), time.monotonic() + _PLACE_LIVES)
        return left[number - 1]

    async def _count(
        self,
        proxy: Proxy,
        marketplace: str,
        cool_down: tuple[timedelta, timedelta],
        *,
        keys: Sequence[str],
        points: float = 1.0,
        lasting: bool = False,
    ) -> None:
        arguments: list[str | int | float] = [_name(marketplace, proxy), *(microseconds(time) for time in cool_down)]
        arguments += [self._jitter(), int(lasting), points, FAULTS_IN_A_ROW]
        arguments += [microseconds(_COUNTED_FOR), _ENOUGH_TO_JUDGE, microseconds(_REMEMBERED)]
        with suppress(RedisError, OSError):
            if lasts := await self._calls.ask(self._put_out, keys=[_OUT, *keys], args=arguments):
                self._out[marketplace, proxy.name] = _Out(time.monotonic() + lasts / 1e6)


def _name(marketplace: str, proxy: Proxy) -> str:
    return f"{marketplace}:{proxy.name}"


def _parse(field: bytes) -> _Field:
    marketplace, _, name = field.decode().partition(":")
    return marketplace, name


def _record(proxy_name: str) -> str:
    return f"{{proxies}}:record:{proxy_name}"


def _accounts(proxy: Proxy) -> str:
    return f"{{proxies}}:accounts:{proxy.way_out}"

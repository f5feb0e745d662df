"""The marketplaces' hosts as this process finds them: whether a retry is worth it, and when to leave one alone.

An API that is down is not helped by a fleet that asks three times as often. So retries have a budget (as gRPC's retry
throttling), and a host that answers nobody is left alone for a while, then asked by one request.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

import structlog

from collectors.errors import PutOff
from collectors.stream import Answer

log = structlog.get_logger(__name__)

_TOKENS = 100.0  # a failure takes one, an answer brings a tenth back; retries need more than half
_BROUGHT_BACK = 0.1
_FAULTS_TO_STOP = 10.0  # in a row, of whatever account: three runs that tried three times each
_SELLERS_TO_STOP = 3  # told to wait within `_TOGETHER`, with no answer to anybody in between: a limit of our address
_TOGETHER = 60.0  # seconds
_STOP = 30.0  # seconds, doubled with each stop in a row; jitter takes up to half of it
_LIMITED_STOP = 120.0  # after a limit that met every seller
_LONGEST_STOP = 300.0
_PROBED_WITHIN = 130.0  # seconds; one whose request never ended gives the place to another
_SKEW = timedelta(seconds=5)
_TOLD_AGAIN = 3600.0  # seconds


@dataclass
class _Host:
    tokens: float = _TOKENS
    faults: float = 0.0  # in a row
    stops: int = 0  # in a row
    stopped_until: float | None = None
    probed_at: float | None = None
    skew_told_at: float | None = None
    limited: dict[str, float] = field(default_factory=dict)  # seller → when, since the last answer


class Hosts:
    """What is known of each host. `now` is monotonic, in seconds."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,  # between 0 and 1
    ) -> None:
        self._now = now
        self._jitter = jitter
        self._hosts: dict[str, _Host] = {}

    def check(self, name: str) -> None:
        """Raise PutOff while the host is left alone; afterwards while a request tries whether it is back."""
        host, now = self._host(name), self._now()
        if host.stopped_until is None:
            return
        left = host.stopped_until - now
        if left <= 0 and host.probed_at is not None:
            left = host.probed_at + _PROBED_WITHIN - now
        if left > 0:
            raise PutOff(f"{name} is left alone: it fails for everybody", wait=timedelta(seconds=max(left, 1.0)))

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Be the one request that tries a host which was left alone; any other is. Raises PutOff as `check` does.

        Whoever leaves without having told what became of it, for it was never sent, gives its place to another.
        """
        self.check(name)
        host, now = self._host(name), self._now()
        if host.stopped_until is not None:
            host.probed_at = now
        try:
            yield
        finally:
            if host.probed_at == now:
                host.probed_at = None

    def may_retry(self, name: str) -> bool:
        """Tell whether a failed request may be repeated at once."""
        host = self._host(name)
        return host.tokens > _TOKENS / 2 and host.stopped_until is None

    def ok(self, name: str) -> None:
        """It answered, be it with a refusal."""
        host = self._host(name)
        host.tokens = min(_TOKENS, host.tokens + _BROUGHT_BACK)
        host.faults, host.stops, host.stopped_until, host.probed_at = 0.0, 0, None, None
        host.limited.clear()

    def fault(self, name: str, points: float = 1.0) -> None:
        """It failed, or (half a point) it may have."""
        host = self._host(name)
        host.tokens = max(0.0, host.tokens - points)
        host.faults += points
        if self._is_back_on_trial(host) or (host.faults >= _FAULTS_TO_STOP and host.stopped_until is None):
            self._stop(name, host, _STOP)

    def tells_time(self, name: str, answer: Answer) -> None:
        """Compare the answer's date with our clock, and say it, once an hour, if they differ."""
        try:
            skew = _date(answer.headers.get("date", "")) - answer.fetched_at
        except (ValueError, TypeError):
            return
        host, now = self._host(name), self._now()
        if abs(skew) > _SKEW and (host.skew_told_at is None or host.skew_told_at < now - _TOLD_AGAIN):
            host.skew_told_at = now
            log.error("the clocks of a marketplace and of this worker differ", host=name, skew=str(skew))

    def limited(self, name: str, seller: str) -> None:
        """It told a seller to wait. Told to every seller at once, it is a limit that no bucket of ours counts."""
        host, now = self._host(name), self._now()
        host.limited[seller] = now
        together = [at for at in host.limited.values() if at > now - _TOGETHER]
        if self._is_back_on_trial(host) or (len(together) >= _SELLERS_TO_STOP and host.stopped_until is None):
            self._stop(name, host, _LIMITED_STOP)

    def _is_back_on_trial(self, host: _Host) -> bool:
        return host.stopped_until is not None and host.stopped_until <= self._now()

    def _stop(self, name: str, host: _Host, base: float) -> None:
        seconds = min(base * 2**host.stops, _LONGEST_STOP) * (0.5 + self._jitter() / 2)
        host.stopped_until, host.probed_at = self._now() + seconds, None
        host.stops = min(host.stops + 1, 10)
        host.limited.clear()
        log.error("a host is left alone", host=name, seconds=round(seconds), stops=host.stops)

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host())


@lru_cache(maxsize=32)  # the answers of one second tell the same
def _date(text: str) -> datetime:
    return parsedate_to_datetime(text)

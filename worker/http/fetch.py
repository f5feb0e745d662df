"""Fetching for one run of one account: reserve, choose a proxy, send, read under caps, judge; again where it may help.

What is raised is named in `collectors.errors`. Waits up to two seconds are slept here, anything longer is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx
import structlog

from collectors.errors import (
    AccountRefused,
    CollectError,
    Later,
    Malformed,
    OtherProxy,
    PutOff,
    RateLimited,
    TryAgain,
)
from collectors.refusals import judge_status
from collectors.stream import Answer, Bucket, Rate, Request, Scope, Secret, Stream
from worker.http.body import ByteBudget, Hold, read_body
from worker.http.health import Health
from worker.http.hosts import Hosts
from worker.http.limits import IN_PLACE, Limits, Turn, bucket_key, concerned
from worker.http.login import Logins
from worker.http.phases import Attempt, DeadConnection, NoConnection, NotSent
from worker.http.pools import Pools
from worker.http.proxies import Proxy
from worker.http.retry import NewKey, may_help, repeating
from worker.http.scripts import Keyed
from worker.http.signing import Resolve, Signing
from worker.http.task import Task
from worker.metrics import Metrics
from worker.traces import NO_TRACES, Traces

log = structlog.get_logger(__name__)

_NO_PROXY_WAIT = timedelta(minutes=5)  # a person has to add one
_WORDS_WITHIN = 10.0  # seconds, for the body of an error
_GATE_SHUT = timedelta(minutes=1)  # for the account's other requests after its key was refused: till it is paused
# All requests of one account under way, so that a key that is revoked costs no more than three calls in all. A
# place is held as long as its request runs; one that a killed worker held is free after `every`.
_GATE = Bucket(name="account", scope=Scope.SLOTS, rate=Rate(timedelta(seconds=30), burst=3))

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """What all runs of the process share. `hosts`: a vendor's host → the https address where it really is."""

    pools: Pools
    limits: Limits
    budget: ByteBudget
    health: Health
    hosts: Mapping[str, str]
    known: Hosts = field(default_factory=Hosts)
    logins: Logins = field(default_factory=Logins)
    now: Callable[[], datetime]  # by the database's clock
    sleep: Sleep = asyncio.sleep
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = NO_TRACES

    async def aclose(self) -> None:
        await self.pools.aclose()


@dataclass(kw_only=True, eq=False)
class AccountFetch:
    """The `Fetch` of one run of one account, and what the run has used. Who has it must call its `release`."""

    fetcher: Fetcher
    stream: Stream
    seller: str  # the marketplace's own id
    account_id: str
    secret: Secret = field(repr=False)
    resolve: Resolve = field(repr=False)
    proxy_group: str | None  # with a group, it never goes out directly
    proxies: Sequence[Proxy]
    requests: int = 0  # sent, repeated ones too
    seconds_waited: float = 0.0
    bytes_received: int = 0  # as they came over the wire
    used: set[str] = field(default_factory=set)  # the names of the proxies that were used

    def __post_init__(self) -> None:
        self.proxies = [proxy for proxy in self.proxies if proxy.group == self.proxy_group]
        self._hold = self.fetcher.budget.hold()
        self._signing = Signing(
            fetch=self,
            stream=self.stream,
            account_id=self.account_id,
            secret=self.secret,
            resolve=self.resolve,
            logins=self.fetcher.logins,
            hosts=self.fetcher.hosts,
            now=self.fetcher.now,
        )

    async def __call__(self, request: Request) -> Answer:
        """Fetch what is asked. Returns an answer of data; raises what anything else means."""
        token = await self._signing.token(request)
        task = Task(
            request=request,
            target=self._signing.target(request, token),
            token=token,
            known=self.fetcher.known,
            health=self.fetcher.health,
            account_id=self.account_id,
            marketplace=self.stream.marketplace.name,
            waited_before=self.seconds_waited,
        )
        with self.fetcher.traces.span("request", host=request.host, path=request.path):
            return await repeating(lambda error: self._may_help(error, task), self._wait)(self._attempt, task)

    def _may_help(self, error: BaseException, task: Task) -> bool:
        """Whether the same request, at once or after a short pause, may do better."""
        if task.is_spent or (isinstance(error, OtherProxy) and self.proxy_group is None):
            return False
        if isinstance(error, Later) and not self.fetcher.known.may_retry(task.request.host):
            return False
        return may_help(error, repeatable=task.request.repeatable, patience=self._patience(task))

    def _patience(self, task: Task) -> timedelta:
        """Return how long the request may yet wait in place, all its waits together."""
        return max(timedelta(0), IN_PLACE - timedelta(seconds=self.seconds_waited - task.waited_before))

    @property
    def tokens(self) -> Iterable[str]:
        """The tokens that signed, where keys are exchanged for one."""
        return self._signing.tokens

    @property
    def _of_stream(self) -> tuple[str, str]:
        return self.stream.marketplace.name, self.stream.name

    @property
    def is_waited_for(self) -> bool:
        """Whether other runs wait for bytes of the budget: what is held should be kept and released soon."""
        return self.fetcher.budget.is_waited_for

    def release(self) -> None:
        """Give back what the answers took of the byte budget that was not handed over."""
        self._hold.release()

    def hand_over(self) -> Hold:
        """Return what the answers so far took of the byte budget. Who has it must release it."""
        held, self._hold = self._hold, self.fetcher.budget.hold()
        return held

    async def _attempt(self, task: Task) -> Answer:
        self.fetcher.known.check(task.request.host)
        proxy = await self._choose(task)
        try:
            return await self._send_on_live_connection(task, proxy)
        except TryAgain as error:
            if isinstance(error, NewKey):
                await self._signing.sign_anew(task)
            await task.failed_by(proxy, error, alone=len(self.proxies) < 2)
            raise

    async def _choose(self, task: Task) -> Proxy | None:
        """Return the account's proxy, or None if it goes out directly, which an account with a group never does."""
        if self.proxy_group is None:
            return None
        if not self.proxies:
            raise PutOff(
                f"proxy group {self.proxy_group!r} has no proxy: add one, or take the account out of the group",
                wait=_NO_PROXY_WAIT,
            )
        proxy = await self.fetcher.health.choose(
            self.proxies,
            account_id=self.account_id,
            marketplace=self.stream.marketplace.name,
            without=task.passed_over,
        )
        if proxy is None:
            assert task.failure is not None, "half of a group is usable, and none was tried"
            task.is_spent = True
            raise task.failure
        return proxy

    async def _send_on_live_connection(self, task: Task, proxy: Proxy | None) -> Answer:
        try:
            return await self._send(task, proxy)
        except DeadConnection:
            if not task.request.repeatable:
                raise
        return await self._send(task, proxy)

    async def _send(self, task: Task, proxy: Proxy | None) -> Answer:
        limits, metrics = self.fetcher.limits, self.fetcher.metrics
        keys = self._keys(task.request, proxy)
        place = task.request.place
        if place is not None:
            await limits.place(self._keyed(place.bucket), place)
        token_type = self.stream.marketplace.token_type(self._signing.secret, task.request)
        with metrics.turn(self.stream.marketplace.name) as came:
            async with limits.turn(keys, token_type, wait=self._wait, max_wait=self._patience(task)) as turn:
                came()
                with self.fetcher.known.trying(task.request.host), metrics.request(*self._of_stream):
                    answer = await self._take(turn, task, proxy)
                    await self._heed(turn, task, proxy, answer, keys)
                    if place is not None:
                        await limits.place(self._keyed(place.bucket), place, answer)
        return answer

    async def _take(self, turn: Turn, task: Task, proxy: Proxy | None) -> Answer:
        try:
            answer = await self._exchange(task, proxy)
        except (NotSent, NoConnection, OtherProxy):  # no connection came up
            turn.unsent()
            raise
        turn.answered(answer, self.stream.marketplace.told(answer) if task.request.signed else ())
        return answer

    async def _heed(self, turn: Turn, task: Task, proxy: Proxy | None, answer: Answer, keys: Sequence[Keyed]) -> None:
        """Raise what the answer means, after telling everybody what it says of limits, keys, proxies and the host."""
        try:
            self._judge(answer)
        except TryAgain:
            raise
        except CollectError as error:
            await turn.charge()
            await task.answered_through(proxy)
            await self._obey(error, keys, task)
            raise
        self.fetcher.known.ok(answer.request.host)
        await task.answered_through(proxy)
        if any(seller != self.seller for seller in self.stream.sellers(answer)):
            self.fetcher.pools.distrust(proxy)  # two answers on one connection may have changed places
            # Without its body: quarantine is the tenant's, and the data is not.
            told = f"{answer.request.path}: the answer is of another seller; check the account's external id"
            raise Malformed(told, replace(answer, body=b""))

    async def _obey(self, error: CollectError, keys: Sequence[Keyed], task: Task) -> None:
        limits, known, host = self.fetcher.limits, self.fetcher.known, task.request.host
        if isinstance(error, RateLimited):
            known.limited(host, self.seller)
        else:
            known.ok(host)
        match error:
            case RateLimited():
                await limits.penalise(concerned(keys, error.bucket), error.wait)
            case AccountRefused():
                if await self._signing.renew(task):
                    raise NewKey(str(error)) from None
                self._signing.refuse(task, str(error))
                await limits.penalise([self._gate()], _GATE_SHUT)

    async def _exchange(self, task: Task, proxy: Proxy | None) -> Answer:
        request = task.request
        attempt = Attempt(f"{request.method} {request.host}{request.path}", proxy)
        self.requests += 1
        if proxy is not None:
            self.used.add(proxy.name)
        sending = self.fetcher.pools.stream(
            proxy,
            request.method,
            task.target.url,
            params=request.query,
            headers=task.target.headers,
            content=task.target.content,
            trace=attempt.trace,
        )
        async with attempt.watched(), sending as response:
            attempt.has_answered = True
            answer = Answer(
                request=request,
                status=response.status_code,
                headers=dict(response.headers.items()),
                body=b"",
                fetched_at=self.fetcher.now(),
                proxy=None if proxy is None else proxy.name,
            )
            self.fetcher.known.tells_time(request.host, answer)
            self._hold.while_waiting = attempt.paused
            try:
                answer = await self._read(response, answer)
            finally:
                self.bytes_received += response.num_bytes_downloaded
        return replace(answer, fetched_at=self.fetcher.now())

    async def _read(self, response: httpx.Response, answer: Answer) -> Answer:
        if answer.status < 300:
            return await read_body(response.aiter_raw(), answer, self._hold)
        # Of an error the status tells, even where its words are cut off or never come.
        with suppress(httpx.HTTPError, OSError, TimeoutError):
            async with asyncio.timeout(_WORDS_WITHIN):
                return await read_body(response.aiter_raw(), answer, self._hold)
        return answer

    def _judge(self, answer: Answer) -> None:
        # The body of a file is the seller's data, in which the marketplace's judge must not look for a refusal.
        judge = self.stream.marketplace.judge if answer.request.signed else judge_status
        judge(answer)

    def _keys(self, request: Request, proxy: Proxy | None) -> list[Keyed]:
        own = self.stream.buckets if request.buckets is None else request.buckets
        if request.place is not None and request.place.over is None:
            own = (*own, request.place.bucket)
        egress = "direct" if proxy is None else proxy.way_out
        return [self._keyed(bucket, egress) for bucket in (*self.stream.marketplace.buckets, *own)] + [self._gate()]

    def _keyed(self, bucket: Bucket, egress: str = "") -> Keyed:
        return bucket, bucket_key(self.stream.marketplace.name, self.seller, bucket, egress=egress)

    def _gate(self) -> Keyed:
        return _GATE, bucket_key(self.stream.marketplace.name, f"account {self.account_id}", _GATE, egress="")

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.seconds_waited += seconds
            self.fetcher.metrics.waits.labels(*self._of_stream).inc(seconds)
            await self.fetcher.sleep(seconds)

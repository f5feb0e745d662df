"""Fetching for one run of one account: reserve, choose a proxy, send, read under caps, judge; again where it may help.

What is raised is named in `collectors.errors`. Waits up to two seconds are slept here, anything longer is raised.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from collectors.errors import Later, OtherProxy, PutOff, RateLimited
from collectors.refusals import judge_status, retry_after
from collectors.stream import Answer, Marketplace, Request, Scope, Secret, Stream
from worker.http.body import ByteBudget, read_body
from worker.http.health import Health
from worker.http.limits import IN_PLACE, Keyed, Limits, bucket_key
from worker.http.phases import Attempt, DeadConnection, NotSent
from worker.http.pools import Pools
from worker.http.proxies import Proxy
from worker.http.targets import Target, target

_ATTEMPTS = 3
_LONGEST_PAUSE = 2.0  # seconds between two attempts
_NO_PROXY_WAIT = timedelta(minutes=5)  # a person has to add one

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """What all runs of the process share. `hosts`: a vendor's host → the https address where it really is."""

    pools: Pools
    limits: Limits
    budget: ByteBudget
    health: Health
    hosts: Mapping[str, str]
    now: Callable[[], datetime]  # by the database's clock
    sleep: Sleep = asyncio.sleep

    def for_run(
        self,
        *,
        marketplace: Marketplace,
        stream: Stream,
        seller: str,
        account_id: str,
        secret: Secret,
        proxy_group: str | None,
        proxies: Sequence[Proxy],
    ) -> AccountFetch:
        """Return what one run of one account fetches with. Who has it must call its `release`."""
        return AccountFetch(
            self,
            marketplace=marketplace,
            stream=stream,
            seller=seller,
            account_id=account_id,
            secret=secret,
            proxy_group=proxy_group,
            proxies=[proxy for proxy in proxies if proxy.group == proxy_group],
        )

    async def aclose(self) -> None:
        await self.pools.aclose()


@dataclass
class _Task:
    """One request on its way, over all its attempts."""

    request: Request
    target: Target
    failed: list[Proxy] = field(default_factory=list)
    suspected: list[Proxy] = field(default_factory=list)  # of `failed`: it may have been the API as well
    error: OtherProxy | None = None  # of the last that failed
    is_spent: bool = False  # no other proxy is usable


class AccountFetch:
    """The `Fetch` of one run, and what the run has used."""

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        marketplace: Marketplace,
        stream: Stream,
        seller: str,
        account_id: str,
        secret: Secret,
        proxy_group: str | None,
        proxies: Sequence[Proxy],
    ) -> None:
        self.requests = 0  # sent, repeated ones too
        self.seconds_waited = 0.0
        self.bytes_received = 0  # as they came over the wire
        self.proxies: set[str] = set()  # the names of those used
        self._fetcher = fetcher
        self._marketplace = marketplace
        self._stream = stream
        self._seller = seller
        self._account_id = account_id
        self._secret = secret
        self._token_type = marketplace.token_type(secret)
        self._group = proxy_group
        self._group_proxies = proxies
        self._hold = fetcher.budget.hold()

    async def __call__(self, request: Request) -> Answer:
        """Fetch what is asked. Returns an answer of data; raises what anything else means."""
        addressed = target(request, self._marketplace, self._secret, hosts=self._fetcher.hosts, now=self._fetcher.now)
        task = _Task(request, addressed)
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: self._may_help(error, task)),
            wait=_pause,
            stop=stop_after_attempt(_ATTEMPTS),
            sleep=self._wait,
            reraise=True,
        )
        return await retrying(self._attempt, task)

    @property
    def is_waited_for(self) -> bool:
        """Whether other runs wait for bytes of the budget: what is held should be kept and released soon."""
        return self._fetcher.budget.is_waited_for

    def release(self) -> None:
        """Give back what the answers so far took of the byte budget."""
        self._hold.release()

    async def _attempt(self, task: _Task) -> Answer:
        proxy = await self._choose(task)
        try:
            answer = await self._send_on_live_connection(task, proxy)
        except OtherProxy as error:
            if proxy is not None:
                task.failed.append(proxy)
                task.error = error
                if error.answer is None:
                    await self._fetcher.health.fault(proxy, lasting=error.lasting)
                else:
                    task.suspected.append(proxy)
            raise
        if proxy is not None:
            await self._fetcher.health.ok(proxy, self._marketplace.name)
        for suspect in task.suspected:  # another proxy got data, so it was not the API
            await self._fetcher.health.ban(suspect, self._marketplace.name)
        return answer

    async def _choose(self, task: _Task) -> Proxy | None:
        """Return the account's proxy, or None if it goes out directly, which an account with a group never does."""
        if self._group is None:
            return None
        if not self._group_proxies:
            raise PutOff(
                f"proxy group {self._group!r} has no proxy: add one, or take the account out of the group",
                wait=_NO_PROXY_WAIT,
            )
        proxy = await self._fetcher.health.choose(
            self._group_proxies,
            account_id=self._account_id,
            marketplace=self._marketplace.name,
            without=task.failed,
        )
        if proxy is None:
            assert task.error is not None, "half of a group is usable, and none was tried"
            task.is_spent = True
            raise task.error
        return proxy

    async def _send_on_live_connection(self, task: _Task, proxy: Proxy | None) -> Answer:
        try:
            return await self._send(task, proxy)
        except DeadConnection:
            if not task.request.repeatable:
                raise
        return await self._send(task, proxy)

    async def _send(self, task: _Task, proxy: Proxy | None) -> Answer:
        limits = self._fetcher.limits
        keys = self._keys(task.request, proxy)
        async with limits.slots(keys) as waited:
            self.seconds_waited += waited.total_seconds()
            await self._wait((await limits.reserve(keys, self._token_type)).total_seconds())
            try:
                answer = await self._exchange(task, proxy)
            finally:
                await limits.sent(keys, self._token_type)
        try:
            self._judge(answer)
        except RateLimited as error:
            await limits.penalise(_shut(keys, error.bucket), error.wait)
            raise
        return answer

    async def _exchange(self, task: _Task, proxy: Proxy | None) -> Answer:
        request = task.request
        attempt = Attempt(f"{request.method} {request.host}{request.path}", proxy)
        self.requests += 1
        if proxy is not None:
            self.proxies.add(proxy.name)
        sending = self._fetcher.pools.client(proxy).stream(
            request.method,
            task.target.url,
            params=request.query or None,
            headers=task.target.headers,
            content=task.target.content,
            extensions={"trace": attempt.trace},
        )
        async with attempt.watched(), sending as response:
            attempt.has_answered = True
            answer = Answer(
                request=request,
                status=response.status_code,
                headers=dict(response.headers.items()),
                body=b"",
                fetched_at=self._fetcher.now(),
                proxy=None if proxy is None else proxy.name,
            )
            try:
                answer = await read_body(response.aiter_raw(), answer, self._hold)
            finally:
                self.bytes_received += response.num_bytes_downloaded
        return replace(answer, fetched_at=self._fetcher.now())

    def _judge(self, answer: Answer) -> None:
        # The body of a file is the seller's data, in which the marketplace's judge must not look for a refusal.
        judge = self._marketplace.judge if answer.request.signed else judge_status
        judge(answer)

    def _keys(self, request: Request, proxy: Proxy | None) -> list[Keyed]:
        own = self._stream.buckets if request.buckets is None else request.buckets
        egress = "direct" if proxy is None else proxy.name
        return [
            (bucket, bucket_key(self._marketplace.name, self._seller, bucket, egress=egress))
            for bucket in (*self._marketplace.buckets, *own)
        ]

    def _may_help(self, error: BaseException, task: _Task) -> bool:
        """Whether the same request, at once or after a short pause, may do better."""
        if task.is_spent:
            return False
        if not task.request.repeatable:
            return isinstance(error, NotSent) or (isinstance(error, OtherProxy) and error.answer is None)
        match error:
            case RateLimited():
                return error.wait <= IN_PLACE
            case OtherProxy():
                return True
            case Later():
                told = _told(error)
                return _may_pass(error.status) and (told is None or told <= IN_PLACE)
        return False

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.seconds_waited += seconds
            await self._fetcher.sleep(seconds)


def _shut(keys: Sequence[Keyed], name: str | None) -> list[Keyed]:
    """Return the buckets that a refusal is about: the one it names, or all that count one seller's requests."""
    named = [(bucket, key) for bucket, key in keys if bucket.name == name]
    return named or [(bucket, key) for bucket, key in keys if bucket.scope in {Scope.SELLER, Scope.APPLICATION}]


def _may_pass(status: int | None) -> bool:
    """Whether a status goes away by itself within seconds; None: there was no answer."""
    return status is None or status in {200, 204, 408, 425} or status >= 500


def _told(error: Later) -> timedelta | None:
    return None if error.answer is None else retry_after(error.answer)


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next attempt: what the server told, never less, or full jitter."""
    error = state.outcome.exception() if state.outcome is not None else None
    match error:
        case OtherProxy():
            return 0.0
        case RateLimited():
            return error.wait.total_seconds() * random.uniform(1.0, 1.1)  # noqa: S311 - only spreads the attempts
        case Later() if (told := _told(error)) is not None:
            return told.total_seconds()
    return random.uniform(0.0, min(_LONGEST_PAUSE, 0.5 * 2**state.attempt_number))  # noqa: S311 - as above

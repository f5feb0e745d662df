"""The arq jobs: each kind of outcome has its consequence here, and nowhere else. A job never raises."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from collectors.errors import AccountRefused, Blame, CollectError, PutOff, StreamUnavailable, TryAgain, Unacceptable
from collectors.keys import ignored
from collectors.refusals import retry_after
from collectors.stream import Answer, Secret, Stream
from worker.collect import collect
from worker.db.accounts import Account, ProxyRow, load_account, load_proxies
from worker.db.driver import driver_of
from worker.db.endings import QUARANTINED, Ending, RunRecord, end_run, sayable
from worker.db.ids import wake
from worker.db.partitions import with_months
from worker.db.progress import Lease, LeaseLost, SliceKey, take_lease
from worker.db.reconcile import lists_slices, reconcile_account
from worker.db.tenancy import retry_conflicts, tenant_driver, tenant_transaction
from worker.heartbeat import heartbeat
from worker.http.fetch import AccountFetch
from worker.keeping import Tally
from worker.queue import offer
from worker.resources import Resources
from worker.schedule import TICK, again, next_slot
from worker.secrets import SecretUnavailable
from worker.ways import proxies_of

log = structlog.get_logger(__name__)

SOFT_DEADLINE = 120.0  # seconds: a run ends at the next page, so that arq's own deadline of 150 never cuts one
POISON = 10  # attempts in a row that kept nothing and were not the API's or a server's fault
_OTHERS_FAULT = POISON - 3  # an outage may last for days: so many attempts at most count, which makes the backoff long
QUARANTINE_AFTER = 3  # unacceptable answers in a row before the slice waits for a person
_LONGEST_BACKOFF = timedelta(hours=1)
_UNAVAILABLE_WAIT = timedelta(days=1)
_SHIFTED = "rows moved from page to page in {} walks: some may be missing, or there twice, until the next ones"
_REPLACED = 16  # characters: nothing shorter is taken for a key when the API repeats it


async def collect_slice(resources: Resources, key: SliceKey, *, stopping: Callable[[], bool]) -> None:
    """Collect one slice, if it is due and nobody's, and write down what became of it."""
    stream = resources.stream(key.marketplace, key.stream)
    if stream is None:
        log.warning("no such stream here: another release asked for it", slice=str(key))
        return
    async with tenant_driver(resources.sessions, key.organization_id) as driver:
        asked_at = resources.clock.wall()
        lease = await take_lease(driver, key)
        if lease is None:
            return
        account = await load_account(driver, key)
        proxies = await load_proxies(driver, account.proxy_group)
    if not resources.clock.correct(lease.taken_at, asked_at):
        log.error("the worker's clock is wrong", skew=str(resources.clock.skew))
    run = _Run(resources, lease, stream, account)
    try:
        with resources.traces.span("run", marketplace=key.marketplace, stream=str(key), lane=key.lane) as note:
            async with heartbeat(resources, lease):
                ending = await run.ending(proxies, stopping)
            note("outcome", ending.outcome)
    except LeaseLost as lost:
        run.release()
        run.count("lease lost")
        log.warning("lease lost: what was not committed is dropped", slice=str(key), why=str(lost))
        return
    except asyncio.CancelledError:
        # Unless the worker is told to stop it is arq's deadline, and what always runs into that would loop for ever.
        await asyncio.shield(run.end(run.unfinished("stopped") if stopping() else run.timed_out()))
        raise
    await asyncio.shield(run.end(ending))


class _Run:
    """One attempt to bring a slice up to date."""

    def __init__(self, resources: Resources, lease: Lease, stream: Stream, account: Account) -> None:
        self._resources = resources
        self._lease = lease
        self._stream = stream
        self._account = account
        self._tally = Tally(without_keys=self._without_keys)
        self._fetch: AccountFetch | None = None
        self._keys: list[str] = []
        self._began = time.monotonic()

    async def ending(self, proxies: Sequence[ProxyRow], stopping: Callable[[], bool]) -> Ending:
        """Collect, and turn what happened into its consequence."""
        if self._lease.attempts > POISON:
            last = f": {self._lease.last_error}" if self._lease.last_error else ", and each ended without a word"
            return self._failed(f"{POISON} attempts in a row kept nothing{last}", state="quarantined")
        try:
            await self._collect(proxies, stopping)
        except (CollectError, SecretUnavailable, DBAPIError, PoolTimeout, OSError) as error:
            return self._consequence(error)
        except LeaseLost:
            raise
        except Exception as error:
            # The border of the job: a mistake of ours must cost this slice an attempt, not the worker its life.
            log.exception("a mistake of ours", slice=str(self._lease.key))
            return self._failed(f"a mistake of ours: {type(error).__name__}")
        return self._done() if self._tally.finished else self.unfinished("more to do")

    def _consequence(self, error: Exception) -> Ending:  # noqa: PLR0911 - one for each kind
        why = sayable(str(error))
        match error:
            case PutOff():
                return self._put_off(why, error.wait)
            case SecretUnavailable():
                return self._put_off(why, timedelta(minutes=5), outcome="secret unavailable")
            case AccountRefused():
                return self._failed(why, outcome="account refused", pause_account=True)
            case StreamUnavailable():
                return self._unavailable(why)
            case Unacceptable():
                return self._quarantined(why)
            case TryAgain():
                if error.blame is Blame.PAIR:
                    log.error("a marketplace refuses each address we come from", slice=str(self._lease.key), error=why)
                told = None if error.answer is None else retry_after(error.answer)
                return self._failed(why, most_attempts=_OTHERS_FAULT, least=told)
            case CollectError():  # AskLess
                return self._failed(why)
        log.warning("the database failed", slice=str(self._lease.key), error=why.partition("\n")[0])
        return self._failed(f"the database failed: {type(error).__name__}", most_attempts=_OTHERS_FAULT)

    def _without_keys(self, answer: Answer) -> Answer:
        """Return the answer without the account's keys, should the API have repeated them."""
        body = answer.body
        for value in (*self._keys, *(self._fetch.tokens if self._fetch else ())):
            if len(value) >= _REPLACED:
                body = body.replace(value.encode(), b"***")
        return replace(answer, body=body)

    def release(self) -> None:
        """Give back what the run's answers took of the byte budget."""
        if self._fetch is not None:
            self._fetch.release()

    def count(self, outcome: str) -> None:
        """Count the run by what became of it."""
        key, seconds = self._lease.key, time.monotonic() - self._began
        self._resources.metrics.run_ended(key.marketplace, key.stream, outcome, seconds=seconds)

    async def end(self, ending: Ending) -> None:
        """Give the lease back, write the run down, say it in one line, and offer the next run if it is seconds away."""
        key, fetch = self._lease.key, self._fetch
        record = RunRecord(
            started_at=self._lease.taken_at,
            pages=self._tally.pages,
            records=self._tally.records,
            bytes=self._tally.bytes,
            pages_same=self._tally.pages_same,
            bytes_same=self._tally.bytes_same,
            requests=fetch.requests if fetch else 0,
            seconds_waited=fetch.seconds_waited if fetch else 0.0,
            proxy=", ".join(sorted(fetch.used)) or None if fetch else None,
            worker=self._resources.worker,
            refused=self._tally.refused,
        )
        self.release()
        sessions, months = self._resources.sessions, (record.started_at,)
        ours = await retry_conflicts(lambda: with_months(sessions, months, lambda: self._write(ending, record)))
        self.count(ending.outcome if ours else "lease lost")
        log.info(
            "run",
            organization=str(key.organization_id),
            account=str(key.account_id),
            slice=str(key),
            outcome=ending.outcome if ours else "lease lost",
            pages=record.pages,
            records=record.records,
            bytes=record.bytes,
            pages_same=record.pages_same,
            requests=record.requests,
            waited=round(record.seconds_waited, 3),
            seconds=round(time.monotonic() - self._began, 3),
            proxy=record.proxy,
            error=ending.error,
        )
        soon = ending.next_due_at is not None and not ending.closes_requests
        now = self._resources.clock.now()
        offered = [again(woken, now) for woken in await retry_conflicts(lambda: self._wake(ending))]
        wait = ending.wait or timedelta(0)
        # What waits for longer is for the tick, which knows how much an organization and an account may have queued.
        if soon and ending.state == "active" and wait <= TICK:
            offered.append(again(key, now + wait))
        if offered:
            # A hint: if Redis loses it, the tick offers the slices all the same.
            with contextlib.suppress(RedisError, OSError):
                await offer(self._resources.redis, offered)

    async def _collect(self, proxies: Sequence[ProxyRow], stopping: Callable[[], bool]) -> None:
        secret = await self._secret()
        self._fetch = AccountFetch(
            fetcher=self._resources.fetcher,
            stream=self._stream,
            seller=self._account.external_id,
            account_id=str(self._lease.key.account_id),
            secret=secret,
            resolve=partial(self._secret, fresh=True),
            proxy_group=self._account.proxy_group,
            proxies=await proxies_of(self._resources, proxies),
        )
        deadline = self._began + SOFT_DEADLINE
        await collect(
            self._resources,
            self._lease,
            stream=self._stream,
            seller=self._account.external_id,
            fetch=self._fetch,
            tally=self._tally,
            enough=lambda: stopping() or time.monotonic() > deadline,
        )

    async def _secret(self, *, fresh: bool = False) -> Secret:
        """Return what the account's secret is; `fresh`: now, whatever was read before."""
        marketplace = self._stream.marketplace
        secret = await self._resources.secret(self._account.secret_ref, marketplace.secret_fields, fresh=fresh)
        for name in ignored(marketplace, secret):
            if name.misspelt:
                log.warning("key not in order", account=str(self._lease.key.account_id), why=name.words)
        self._keys += secret.values()
        return secret

    async def _write(self, ending: Ending, record: RunRecord) -> bool:
        key, sessions = self._lease.key, self._resources.sessions
        streams = self._resources.streams[key.marketplace]
        if not (self._tally.walks and lists_slices(self._stream, streams.values())):
            async with tenant_driver(sessions, key.organization_id) as driver:
                return await end_run(driver, self._lease, ending, record)
        async with tenant_transaction(sessions, key.organization_id) as session:
            ours = await end_run(await driver_of(session), self._lease, ending, record)
            if ours:
                account = key.organization_id, key.account_id
                await reconcile_account(session, *account, streams, self._resources.clock.now())
        return ours

    async def _wake(self, ending: Ending) -> list[SliceKey]:
        """Let go on what waited for this stream; or this one itself, if what it waited for came in the meantime."""
        key, ids = self._lease.key, self._stream.ids
        waits = ending.wait is not None or ending.state == "unavailable"
        parents = (key.stream,) if ending.closes_requests else ids.streams if ids and waits else ()
        streams = self._resources.streams[key.marketplace]
        if not any(stream.ids and set(parents) & set(stream.ids.streams) for stream in streams.values()):
            return []
        async with tenant_transaction(self._resources.sessions, key.organization_id) as session:
            return await wake(session, key, parents, streams)

    def _done(self) -> Ending:
        key = self._lease.key
        live = key.lane == "live"
        return Ending(
            outcome="done" if self._tally.pages else "nothing new",
            next_due_at=next_slot(key, self._lease.every, self._resources.clock.now()) if live else None,
            spends_attempt=False,
            error=_SHIFTED.format(self._tally.shifted) if self._tally.shifted else None,
            closes_requests=True,
        )

    def unfinished(self, outcome: str) -> Ending:
        return Ending(outcome=outcome, next_due_at=self._resources.clock.now(), spends_attempt=False)

    def timed_out(self) -> Ending:
        return self._failed("the run took too long between two pages", outcome="timed out")

    def _quarantined(self, why: str) -> Ending:
        # Everything else was done: if the answer stays as it is, its neighbours are collected when they are due.
        key = self._lease.key
        slot = next_slot(key, self._lease.every, self._resources.clock.now())
        goes_on_at = slot if key.lane == "live" and self._tally.finished else None
        failed = self._failed(why, outcome=QUARANTINED)
        return replace(failed, patience=QUARANTINE_AFTER, goes_on_at=goes_on_at)

    def _unavailable(self, why: str) -> Ending:
        # A subscription may be bought, and a refusal be a moment's. If attempts were spent, ten days would be the end.
        again_at = self._resources.clock.now() + _UNAVAILABLE_WAIT
        return Ending(outcome="unavailable", next_due_at=again_at, spends_attempt=False, error=why, state="unavailable")

    def _put_off(self, why: str, wait: timedelta, outcome: str = "put off") -> Ending:
        now = self._resources.clock.now()
        return Ending(outcome=outcome, next_due_at=now, wait=wait, spends_attempt=False, error=why)

    def _failed(
        self,
        why: str,
        *,
        outcome: str = "failed",
        state: str = "active",
        pause_account: bool = False,
        most_attempts: int | None = None,
        least: timedelta | None = None,  # wait, as the API told
    ) -> Ending:
        return Ending(
            outcome=outcome,
            next_due_at=self._resources.clock.now(),
            wait=max(_backoff(self._lease.attempts), least or timedelta(0)),
            error=why,
            state=state,
            pause_account=pause_account,
            most_attempts=most_attempts,
        )


def _backoff(attempts: int) -> timedelta:
    """Return a random wait, exponential in the attempts, of at most an hour (full jitter)."""
    longest: timedelta = min(timedelta(seconds=15) * 2 ** min(attempts, 16), _LONGEST_BACKOFF)
    return timedelta(seconds=1) + longest * random.random()  # noqa: S311 - nothing is guessed from it

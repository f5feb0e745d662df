"""The tokens that keys were exchanged for: in this process's memory, and nowhere else."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from collectors.errors import AccountRefused, CollectError, Malformed, StreamUnavailable, Unacceptable
from collectors.login import Login
from collectors.stream import Fetch, Secret
from worker.logs import remember_secret

_SPARE = 60.0  # seconds: a token is not used so shortly before it ends, for a request takes its time
_IN_HEADER = re.compile(r"[\x21-\x7e]+")
_REFUSED_FOR = 60.0  # seconds for which refused keys are not shown again: their streams come one after the other


@dataclass(eq=False)
class _Held:
    """What is known of one login of one account. `keys` is a digest of those that it was done with."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: bytes = b""
    token: str = field(default="", repr=False)
    until: float = 0.0
    refused: str = ""  # why, until then
    ended: int = 0  # exchanges so far, however they ended
    failure: CollectError | None = None  # of the last one


class Logins:
    """One exchange for all runs of an account, and again before its token ends. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str, str], _Held] = {}

    async def token(self, account_id: str, login: Login, secret: Callable[[], Secret], fetch: Fetch) -> str:
        """Return a token that lives for a while yet. `secret` gives what the account's is now.

        Raises what kept us from it; keys that are refused cost the account no more than the streams that need them,
        unless it can do nothing without.
        """
        held = self._of(account_id, login)
        ended = held.ended
        async with held.lock:
            login.check(secret())
            if held.keys == _digest(login, secret()) and self._clock() < held.until:
                if held.refused:
                    raise login.refusal(held.refused)
                return held.token
            if held.ended != ended and held.failure is not None:
                raise held.failure  # those who wait for one exchange share its failure
            await self._exchange(held, login, secret, fetch)
            return held.token

    def forget(self, account_id: str, login: Login, token: str) -> None:
        """The token was refused before its time: the next who needs one makes another."""
        held = self._of(account_id, login)
        if held.token == token and not held.refused:  # else another run has seen to it
            held.until = 0.0

    def refuse(self, account_id: str, login: Login, why: str) -> None:
        """A token that was just made is refused as well: it is the keys."""
        held = self._of(account_id, login)
        held.until, held.refused = self._clock() + _REFUSED_FOR, why

    def _of(self, account_id: str, login: Login) -> _Held:
        return self._held.setdefault((account_id, login.request.host, login.request.path), _Held())

    async def _exchange(self, held: _Held, login: Login, secret: Callable[[], Secret], fetch: Fetch) -> None:
        began, held.failure, held.refused = self._clock(), None, ""
        held.token, held.until = "", 0.0  # of other keys, or over: whatever becomes of this exchange
        try:
            answer = await fetch(login.request)
            token = login.token(answer)
            if not _IN_HEADER.fullmatch(token.value):
                raise Malformed("the token is not a text that a header can carry", answer)
        except CollectError as error:
            held.failure = _without_body(error)
            if isinstance(error, AccountRefused | StreamUnavailable):
                held.until, held.refused = self._clock() + _REFUSED_FOR, str(error)
            raise held.failure from None
        finally:
            held.ended += 1
            held.keys = _digest(login, secret())  # they may have been replaced on the way
        remember_secret(token.value)
        lives = token.lives.total_seconds()
        held.token, held.until = token.value, began + max(lives - _SPARE, lives / 2)


def _without_body(error: CollectError) -> CollectError:
    """Leave out what may hold a token: what cannot be accepted is kept in quarantine."""
    if isinstance(error, Unacceptable):
        return type(error)(str(error), replace(error.answer, body=b""))
    return error


def _digest(login: Login, secret: Secret) -> bytes:
    return hashlib.sha256(msgspec.json.encode([secret.get(name) for name in login.fields])).digest()

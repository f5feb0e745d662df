"""How the modules beside this one reach Valkey: scripts that run on the server, and failing closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, RedisError

from collectors.errors import PutOff

_UNREACHABLE_WAIT = timedelta(seconds=5)


@cache
def script(name: str) -> str:
    """Return the text of `name`.lua."""
    return (files("worker.http") / f"{name}.lua").read_text("utf-8")


def microseconds(time: timedelta) -> int:
    return round(time / timedelta(microseconds=1))


@contextmanager
def reached(what: str) -> Iterator[None]:
    """Fail closed: whatever is wrong with Valkey, nothing is fetched until it answers again."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise PutOff(
            f"{what} cannot be reached ({type(error).__name__}): nothing is fetched without it", wait=_UNREACHABLE_WAIT
        ) from error


@dataclass(frozen=True)
class _Call:
    script: AsyncScript
    keys: Sequence[str]
    args: Sequence[str | int | float]
    answer: asyncio.Future[Any]


class Calls:
    """Calls of scripts, which reach Valkey in the order in which they were asked for.

    What is asked for while others are under way, or in one turn of the loop, goes together: however many requests there
    are, they share round trips. So nobody has to wait for a call only for the next one to find what it did.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asked: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None

    def script(self, text: str) -> AsyncScript:
        return self._redis.register_script(text)

    def ask(
        self, script: AsyncScript, *, keys: Sequence[str], args: Sequence[str | int | float]
    ) -> asyncio.Future[Any]:
        """Call a script, whether or not the answer is waited for. The answer raises RedisError or OSError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._asked.append(_Call(script, keys, args, answer))
        if self._sending is None:
            self._sending = loop.create_task(self._send())
        return answer

    def tell(self, script: AsyncScript, *, keys: Sequence[str], args: Sequence[str | int | float]) -> None:
        """Call a script whose answer says nothing, and which may be lost."""
        self.ask(script, keys=keys, args=args).add_done_callback(_forget)

    async def drain(self) -> None:
        """Return when everything that was asked for is answered."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        calls: list[_Call] = []
        try:
            while self._asked:
                calls, self._asked = self._asked, []
                await self._send_together(calls)
        finally:
            self._sending = None
            for call in (*calls, *self._asked):  # of a process that ends: nobody answers them any more
                call.answer.cancel()

    async def _send_together(self, calls: Sequence[_Call]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            # A server that began anew knows no scripts.
            said = await _loaded(call) if isinstance(answer, NoScriptError) else answer
            if call.answer.done():  # who had asked is cancelled
                continue
            if isinstance(said, Exception):
                call.answer.set_exception(said)
            else:
                call.answer.set_result(said)


async def _loaded(call: _Call) -> Any:
    try:
        return await call.script(keys=call.keys, args=call.args)
    except (RedisError, OSError) as error:
        return error


def _forget(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()

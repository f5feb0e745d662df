"""How the modules beside this one reach Valkey: scripts that run on the server, and failing closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from importlib.resources import files

from redis.exceptions import RedisError

from collectors.errors import PutOff

_UNREACHABLE_WAIT = timedelta(seconds=5)


@cache
def script(name: str) -> str:
    """Return the text of `name`.lua."""
    return (files("worker.http") / f"{name}.lua").read_text("utf-8")


def microseconds(time: timedelta) -> int:
    return round(time / timedelta(microseconds=1))


@asynccontextmanager
async def reached(what: str) -> AsyncIterator[None]:
    """Fail closed: whatever is wrong with Valkey, nothing is fetched until it answers again."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise PutOff(
            f"{what} cannot be reached ({type(error).__name__}): nothing is fetched without it", wait=_UNREACHABLE_WAIT
        ) from error

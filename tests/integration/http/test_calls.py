"""Calls of scripts that share their way to Valkey."""

import asyncio
from collections.abc import Awaitable
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.integration.http.conftest import Run, StartTunnel
from tests.integration.http.peers import asked
from tests.integration.http.test_pools import proxy
from worker.http.valkey import Calls

_ADD = "return redis.call('RPUSH', KEYS[1], ARGV[1])"


async def reads(redis: Redis) -> int:
    """Return how often the server has read what somebody sent."""
    return int((await redis.info("stats"))["total_reads_processed"])


async def listed(redis: Redis) -> list[bytes]:
    return await cast("Awaitable[list[bytes]]", redis.lrange("list", 0, -1))


async def test_what_is_asked_together_goes_together_and_in_its_order(redis: Redis) -> None:
    calls = Calls(redis)
    add = calls.script(_ADD)
    await calls.ask(add, keys=["list"], args=["first"])
    before = await reads(redis)
    numbers = await asyncio.gather(*(calls.ask(add, keys=["list"], args=[number]) for number in range(50)))
    assert await reads(redis) - before <= 3, "one for all of them, and one for each time that we look"
    assert numbers == list(range(2, 52))
    assert (await listed(redis))[1:] == [str(number).encode() for number in range(50)]


async def test_what_is_asked_while_others_are_under_way_comes_after_them(redis: Redis) -> None:
    calls = Calls(redis)
    add = calls.script(_ADD)
    first = calls.ask(add, keys=["list"], args=["first"])
    await asyncio.sleep(0)
    calls.tell(add, keys=["list"], args=["second"])
    assert not first.done()
    assert await calls.ask(add, keys=["list"], args=["third"]) == 3
    assert await listed(redis) == [b"first", b"second", b"third"]


async def test_a_call_that_fails_or_is_given_up_fails_alone(redis: Redis) -> None:
    calls = Calls(redis)
    add = calls.script(_ADD)
    await redis.set("text", "no list")
    given_up = calls.ask(add, keys=["list"], args=["given up"])
    wrong = calls.ask(add, keys=["text"], args=["wrong"])
    calls.tell(add, keys=["text"], args=["wrong and not waited for"])
    good = calls.ask(add, keys=["list"], args=["good"])
    given_up.cancel()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await wrong
    assert await good == 2, "whoever gives up does not take back what was asked"


async def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(redis: Redis) -> None:
    calls = Calls(redis)
    add = calls.script(_ADD)
    for _ in range(2):
        await redis.script_flush()
        asking = [calls.ask(add, keys=["list"], args=[number]) for number in range(3)]
        await asyncio.gather(*asking)
    assert await listed(redis) == [b"0", b"1", b"2"] * 2


async def test_without_a_server_everybody_hears_of_it_and_the_next_try_is_a_new_one() -> None:
    nowhere = Redis(port=1)
    calls = Calls(nowhere)
    add = calls.script(_ADD)
    for _ in range(2):
        ends = await asyncio.gather(*(calls.ask(add, keys=["x"], args=[1]) for _ in range(3)), return_exceptions=True)
        assert [type(end) for end in ends] == [RedisConnectionError] * 3
    await calls.drain()
    await nowhere.aclose()


async def test_a_page_through_a_proxy_takes_three_calls(run: Run, redis: Redis, tunnels: StartTunnel) -> None:
    """One lets it go, one settles everything that it took, one tells of the proxy; the last two go together."""
    fetch = run(proxy(await tunnels()))
    await fetch(asked())  # its first one also takes the account's place at the proxy

    async def called() -> int:
        return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])

    before = await called()
    for _ in range(4):
        await fetch(asked())
    assert await called() - before == 12

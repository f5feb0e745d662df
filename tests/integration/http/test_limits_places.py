"""Places for what a marketplace makes: held over requests and workers, given back at the end, or at last by time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from collectors.errors import CollectError, RateLimited
from collectors.place import Place
from collectors.stream import Bucket, Request, Scope
from tests.integration.http.conftest import Run, Slept
from tests.integration.http.peers import Api, Reply, asked
from tests.integration.http.turns import bucket, keyed
from worker.http.limits import Limits

PLACES = bucket("reports", every=900, scope=Scope.PLACES)


def about(place: Place) -> Request:
    return replace(asked(), place=place)


def begins(name: str, places: Bucket = PLACES) -> Request:
    return about(Place(places, name))


def asks_after(name: str, *, over: bool, places: Bucket = PLACES) -> Request:
    return about(Place(places, name, lambda _: over))


async def test_a_place_is_held_until_an_answer_says_that_it_is_over(run: Run) -> None:
    for _ in range(2):  # and then it is free for the next
        await run()(begins("one"))
        for _ in range(3):
            with pytest.raises(RateLimited, match="no place of 'reports' is free yet"):
                await run(account="2")(begins("two"))
            await run()(asks_after("one", over=False))
        await run()(asks_after("one", over=True))


async def test_who_finds_no_place_comes_again_soon_and_has_asked_nothing(run: Run, api: Api, slept: Slept) -> None:
    await run()(begins("one"))
    requests = len(api.seen)
    waits = set()
    for _ in range(5):
        with pytest.raises(RateLimited) as caught:
            await run()(begins("two"))
        assert timedelta(seconds=10) <= caught.value.wait <= timedelta(seconds=30)
        waits.add(caught.value.wait)
    assert len(waits) > 1, "those who wait do not come back together"
    assert slept.seconds == []
    assert len(api.seen) == requests


async def test_there_are_as_many_as_the_bucket_says(run: Run) -> None:
    five = bucket("reports", every=900, burst=5, scope=Scope.PLACES)
    for number in range(5):
        await run()(begins(str(number), five))
    with pytest.raises(RateLimited):
        await run()(begins("six", five))
    await run()(asks_after("3", over=True, places=five))
    await run()(begins("six", five))


async def test_what_is_begun_anew_takes_its_own_place(run: Run) -> None:
    for _ in range(3):
        await run()(begins("one"))
    with pytest.raises(RateLimited):
        await run()(begins("two"))


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_what_was_not_begun_holds_no_place(run: Run, api: Api, status: int) -> None:
    api.replies.extend([Reply(status)] * 3)
    with pytest.raises(CollectError):
        await run()(replace(begins("one"), repeatable=False))
    api.replies.clear()
    await run()(begins("two"))


async def test_a_place_that_nobody_asks_after_is_free_in_the_end(run: Run) -> None:
    short = bucket("reports", every=0.15, scope=Scope.PLACES)
    await run()(begins("one", short))
    for _ in range(3):
        await asyncio.sleep(0.1)
        await run()(asks_after("one", over=False, places=short))
        with pytest.raises(RateLimited):
            await run()(begins("two", short))
    await asyncio.sleep(0.16)
    await run()(begins("two", short))


async def test_a_place_that_valkey_has_lost_is_held_again_by_the_next_who_asks_after_it(run: Run, redis: Redis) -> None:
    await run()(begins("one"))
    await redis.flushdb()
    await run()(asks_after("one", over=False))
    with pytest.raises(RateLimited):
        await run()(begins("two"))


async def test_a_marketplace_that_has_no_place_for_us_stops_everybody_who_would_begin_something(
    redis: Redis, slept: Slept
) -> None:
    limits, keys = Limits(redis), keyed(PLACES)
    async with limits.turn(keys, "", wait=slept):
        await limits.penalise(keys, timedelta(minutes=1))
    with pytest.raises(RateLimited) as caught:
        async with Limits(redis).turn(keys, "", wait=slept):
            raise AssertionError
    assert caught.value.wait > timedelta(seconds=55)

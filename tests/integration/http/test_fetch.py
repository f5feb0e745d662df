"""What a run fetches, what it does about refusals, and what it never shows."""

import asyncio
import gzip
import logging
import socket
import traceback
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from redis.asyncio import Redis

from collectors.errors import AccountRefused, CollectError, Later, PutOff, RateLimited, RequestRefused
from collectors.stream import Bucket, Rate, Scope, Secret
from tests.integration.http.conftest import Run, Slept
from tests.integration.http.peers import CANARY, FILES, HOST, Api, Reply, asked
from worker.http.fetch import Fetcher
from worker.http.limits import Limits

MINUTE = Bucket(name="minute", rate=Rate(timedelta(minutes=1), burst=3))
WIDE = Bucket(name="wide", rate=Rate(timedelta(milliseconds=1), burst=1000))
DEAR = Bucket(name="dear", rate=Rate(timedelta(minutes=1), burst=10), cost=lambda _: 10)


async def test_an_answer_says_what_was_asked_of_the_vendor_and_is_counted(api: Api, run: Run) -> None:
    body = b'{"orders": []}'
    api.replies.append(Reply(body=gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    fetch = run()
    request = replace(asked(), method="POST", query={"from": "2026-11-21T00:00:00+03:00"}, body={"limit": 5})
    answer = await fetch(request)
    assert (answer.status, answer.body, answer.request) == (200, body, request)
    assert answer.request.host == HOST
    assert answer.content_type == "application/json"
    assert answer.proxy is None
    (seen,) = api.seen
    assert seen.host == HOST
    assert seen.method == "POST"
    assert seen.path == "/orders?from=2026-11-21T00%3A00%3A00%2B03%3A00"
    assert seen.body == b'{"limit":5}'
    assert seen.headers["authorization"] == CANARY
    assert (fetch.requests, fetch.seconds_waited, fetch.used) == (1, 0.0, set())
    assert fetch.bytes_received == len(gzip.compress(body))


async def test_answers_hold_the_budget_until_they_are_released(api: Api, run: Run, fetcher: Fetcher) -> None:
    api.replies.extend([Reply(body=b"1" * 1000), Reply(status=503, body=b"2" * 500), Reply(body=b"3" * 1000)])
    fetch = run()
    for _ in range(2):
        await fetch(asked())
    assert fetcher.budget.used >= 2000
    fetch.release()
    assert fetcher.budget.used == 0


async def test_a_bad_moment_of_the_api_is_tried_again(api: Api, run: Run) -> None:
    api.replies.extend([Reply(503), Reply(500)])
    fetch = run()
    assert (await fetch(asked())).status == 200
    assert fetch.requests == len(api.seen) == 3


async def test_an_api_that_stays_down_is_left_alone_after_three_attempts(api: Api, run: Run, slept: Slept) -> None:
    api.replies.extend([Reply(503)] * 10)
    with pytest.raises(Later) as caught:
        await run()(asked())
    assert caught.value.status == 503
    assert len(api.seen) == 3
    assert all(seconds <= 2 for seconds in slept.seconds)


async def test_an_api_that_says_when_to_come_back_is_not_asked_before(api: Api, run: Run, slept: Slept) -> None:
    api.replies.append(Reply(503, headers={"Retry-After": "60"}))
    with pytest.raises(Later):
        await run()(asked())
    api.replies.append(Reply(503, headers={"Retry-After": "2"}))
    await run()(asked())
    assert slept.seconds == [2.0]
    assert len(api.seen) == 3


@pytest.mark.parametrize(
    ("status", "error"), [(401, AccountRefused), (402, AccountRefused), (400, RequestRefused), (404, RequestRefused)]
)
async def test_a_refusal_is_not_asked_twice(api: Api, run: Run, status: int, error: type[CollectError]) -> None:
    api.replies.append(Reply(status))
    with pytest.raises(error):
        await run()(asked())
    assert len(api.seen) == 1


async def test_a_redirect_is_not_followed(api: Api, run: Run) -> None:
    api.replies.append(Reply(302, headers={"Location": f"{api.url}/elsewhere"}))
    with pytest.raises(RequestRefused):
        await run()(asked())
    assert [seen.path for seen in api.seen] == ["/orders"]


async def test_cookies_are_not_kept(api: Api, run: Run) -> None:
    api.replies.append(Reply(headers={"Set-Cookie": "waf=1; Path=/"}))
    fetch = run()
    for _ in range(2):
        await fetch(asked())
    assert "cookie" not in api.seen[1].headers


async def test_a_short_wait_is_slept_and_the_request_repeated(api: Api, run: Run, fetcher: Fetcher) -> None:
    api.replies.append(Reply(429, headers={"Retry-After": "1"}))
    fetch = run(buckets=(WIDE,), through=replace(fetcher, sleep=asyncio.sleep))
    assert (await fetch(asked())).status == 200
    assert 1.0 <= fetch.seconds_waited <= 1.2


async def test_a_long_wait_is_raised_and_stops_every_other_worker(
    api: Api, run: Run, redis: Redis, fetcher: Fetcher
) -> None:
    api.replies.append(Reply(429, headers={"Retry-After": "60"}))
    with pytest.raises(RateLimited) as caught:
        await run(buckets=(WIDE,))(asked())
    assert caught.value.wait == timedelta(seconds=60)
    other = run(buckets=(WIDE,), account="2", through=replace(fetcher, limits=Limits(redis)))
    for fetch in (run(buckets=(WIDE,)), other):
        with pytest.raises(RateLimited, match="'wide'"):
            await fetch(asked())
    assert len(api.seen) == 1


async def test_what_a_good_answer_cost_binds_other_workers_as_soon_as_it_is_fetched(
    api: Api, run: Run, redis: Redis, fetcher: Fetcher
) -> None:
    for number in range(10):
        await run(buckets=(DEAR,), account=str(number))(asked())
        with pytest.raises(RateLimited, match="'dear'"):
            await run(buckets=(DEAR,), account="other", through=replace(fetcher, limits=Limits(redis)))(asked())
        await redis.flushdb()
    assert len(api.seen) == 10


async def test_what_a_refusal_cost_binds_other_workers_before_another_key_is_looked_for(
    api: Api, run: Run, redis: Redis, fetcher: Fetcher
) -> None:
    async def looked_for() -> Secret:
        with pytest.raises(RateLimited, match="'dear'"):
            await run(buckets=(DEAR,), account="other", through=replace(fetcher, limits=Limits(redis)))(asked())
        return {"token": CANARY}

    api.replies.append(Reply(401))
    with pytest.raises(AccountRefused):
        await run(buckets=(DEAR,), resolve=looked_for)(asked())
    assert len(api.seen) == 1


async def test_a_used_up_limit_is_raised_without_a_request(api: Api, run: Run) -> None:
    fetch = run(buckets=(MINUTE,))
    for _ in range(2):
        await fetch(asked())
    with pytest.raises(RateLimited, match="'minute'"):
        await fetch(asked())
    assert len(api.seen) == 2
    await fetch(replace(asked(), buckets=()))


async def test_a_slot_is_given_back_when_its_request_ends(api: Api, run: Run, redis: Redis) -> None:
    slots = Bucket(name="parallel", rate=Rate(timedelta(minutes=2)), scope=Scope.SLOTS)
    fetch = run(buckets=(slots,))
    api.replies.extend([Reply(), Reply(404)])
    await fetch(asked())
    with pytest.raises(RequestRefused):
        await fetch(asked())
    await fetch(asked())
    assert await redis.zcard("limit:{vendor}:parallel:slots:seller-1:held") == 0


async def test_many_runs_never_exceed_the_limit_and_use_it(api: Api, run: Run, fetcher: Fetcher) -> None:
    """Twenty runs of one seller against 50 requests a second with a burst of 5, as the API itself counts them."""
    bucket = Bucket(name="busy", rate=Rate(timedelta(milliseconds=20), burst=5))
    awake = replace(fetcher, sleep=asyncio.sleep)
    fetches = [run(buckets=(bucket,), account=str(number), through=awake) for number in range(20)]
    await asyncio.gather(*(fetch(asked()) for fetch in fetches for _ in range(4)))
    arrived = sorted(seen.at for seen in api.seen)
    assert len(arrived) == 80
    for start in arrived:
        assert sum(start <= at < start + 0.5 for at in arrived) <= 25 + 5 + 3, "3: what the network bunches"
    assert (80 - 5) / (arrived[-1] - arrived[0]) >= 50 * 0.8, "client and server share one loop here"


async def test_what_makes_something_is_not_repeated_once_it_was_sent(api: Api, run: Run) -> None:
    api.replies.extend([Reply(503), Reply(429, headers={"Retry-After": "1"})])
    for error in (Later, RateLimited):
        with pytest.raises(error):
            await run()(asked(repeatable=False))
    assert len(api.seen) == 2


async def test_a_kept_connection_that_died_is_replaced_at_once(api: Api, run: Run, slept: Slept) -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        if len(api.seen) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b"{}")

    api.answering = hang_up
    fetch = run()
    for _ in range(2):
        assert (await fetch(asked())).status == 200
    assert fetch.requests == 3
    assert slept.seconds == []


async def test_a_body_cut_off_is_fetched_again(api: Api, run: Run) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"1" * 10)
        if len(api.seen) == 1:
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(b"1" * 990)
        return response

    api.answering = cut
    assert (await run()(asked())).body == b"1" * 1000


async def test_no_connection_is_a_later_that_says_so(run: Run, fetcher: Fetcher) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        elsewhere = replace(fetcher, hosts={HOST: f"https://127.0.0.1:{unused.getsockname()[1]}"})
        fetch = run(through=elsewhere)
        with pytest.raises(Later, match=r"GET api\.vendor\.example/orders: ConnectError"):
            await fetch(asked(repeatable=False))
        assert fetch.requests == 3


async def test_a_file_is_fetched_without_credentials_and_its_bytes_are_not_judged(api: Api, run: Run) -> None:
    api.replies.append(Reply(body=b"<html>not a refusal</html>"))
    answer = await run()(asked("/reports/1.zip", host=FILES, signed=False))
    assert answer.body == b"<html>not a refusal</html>"
    assert "authorization" not in api.seen[0].headers
    assert api.seen[0].host == FILES
    api.replies.append(Reply(401))
    with pytest.raises(Later, match="the link to the file does not open"):
        await run()(asked("/reports/1.zip", host=FILES, signed=False))


async def test_without_valkey_nothing_is_sent(api: Api, run: Run, fetcher: Fetcher) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Redis(port=unused.getsockname()[1]) as redis:
            fetch = run(buckets=(MINUTE,), through=replace(fetcher, limits=Limits(redis)))
            with pytest.raises(PutOff, match="cannot be reached"):
                await fetch(asked())
    assert api.seen == []


async def test_the_secret_is_in_no_error_and_no_log(
    api: Api, run: Run, redis: Redis, fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.replies.extend([Reply(401), Reply(404), Reply(429), Reply(body=b"x", headers={"Content-Encoding": "gzip"})])
    api.replies.extend([Reply(body=b"x", headers={"Content-Encoding": "gzip"})] * 2)
    shown = []
    fetch = run(buckets=(WIDE,))
    for _ in range(4):
        with pytest.raises(CollectError) as caught:
            await fetch(asked())
        shown.append("".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)))
        await redis.flushdb()
    assert len(api.seen) == 6
    assert CANARY not in "".join(shown)
    assert CANARY not in caplog.text
    assert CANARY not in repr(fetcher) + repr(fetch)

"""What keeps one account's key and data apart from what is not its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from collectors.errors import AccountRefused, CollectError, Malformed, RateLimited
from collectors.stream import Secret
from tests.integration.http.conftest import Run
from tests.integration.http.peers import CANARY, HOST, Api, Reply, asked, stream_of
from worker.http.fetch import Fetcher
from worker.http.limits import Limits


async def test_a_refused_key_costs_three_calls_however_many_runs_and_workers_there_are(
    api: Api, run: Run, redis: Redis, fetcher: Fetcher
) -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.json_response({"message": "unauthorized"}, status=401)

    api.answering = refuse
    other_worker = replace(fetcher, limits=Limits(redis))
    fetches = [run(through=through) for through in (fetcher, other_worker) for _ in range(10)]
    ends = await asyncio.gather(*(fetch(asked()) for fetch in fetches), return_exceptions=True)
    assert 1 <= len(api.seen) <= 3
    assert {type(end) for end in ends} <= {AccountRefused, RateLimited}
    with pytest.raises(RateLimited):
        await run()(asked())
    assert len(api.seen) <= 3
    api.answering = None
    await run(account="2")(asked())


async def test_a_key_that_was_replaced_meanwhile_is_taken_at_once(api: Api, run: Run) -> None:
    async def fresh() -> Secret:
        return {"token": "a newer one"}

    api.replies.append(Reply(401))
    fetch = run(resolve=fresh)
    for _ in range(2):
        assert (await fetch(asked())).status == 200
    assert [seen.headers["authorization"] for seen in api.seen] == [CANARY, "a newer one", "a newer one"]


async def test_a_new_key_that_is_refused_too_is_not_tried_again(api: Api, run: Run) -> None:
    async def fresh() -> Secret:
        return {"token": "a newer one"}

    api.replies.extend([Reply(401)] * 5)
    with pytest.raises(AccountRefused):
        await run(resolve=fresh)(asked())
    assert len(api.seen) == 2


async def test_what_makes_something_is_asked_again_with_the_new_key(api: Api, run: Run) -> None:
    """A refusal has made nothing."""

    async def fresh() -> Secret:
        return {"token": "a newer one"}

    api.replies.append(Reply(401))
    assert (await run(resolve=fresh)(asked(repeatable=False))).status == 200


async def test_an_answer_of_another_seller_is_refused_without_its_body(api: Api, run: Run) -> None:
    api.replies.append(Reply(body=b'{"seller": "seller-2"}'))
    fetch = run()
    fetch.stream = replace(stream_of(), sellers=lambda answer: [answer.body.decode().split('"')[3]])
    with pytest.raises(Malformed, match="another seller") as caught:
        await fetch(asked())
    assert caught.value.answer.body == b""
    api.replies.append(Reply(body=b'{"seller": "seller-1"}'))
    assert (await fetch(asked())).status == 200


async def test_bytes_after_an_answer_are_not_the_answer_of_the_next_request(
    run: Run, fetcher: Fetcher, server_context: ssl.SSLContext
) -> None:
    """Httpx would give them to whoever uses the connection next, and that may be another tenant."""
    async with _speaking_twice(server_context) as port:
        doubled = replace(fetcher, hosts={HOST: f"https://localhost:{port}"})
        bodies = [(await run(through=doubled, account=account)(asked())).body for account in ("1", "2", "3")]
    assert bodies == [b'{"mine":1}'] * 3


async def test_bytes_after_an_answer_are_not_the_answer_of_a_request_that_waits_for_the_connection(
    run: Run, fetcher: Fetcher, server_context: ssl.SSLContext
) -> None:
    """More ask at the same time than there are connections, and httpcore hands one on in the moment it is free."""
    async with _speaking_twice(server_context) as port:
        doubled = replace(fetcher, hosts={HOST: f"https://localhost:{port}"})
        answers = await asyncio.gather(*(run(through=doubled, account=str(n))(asked()) for n in range(60)))
    assert [answer.body for answer in answers] == [b'{"mine":1}'] * 60


@asynccontextmanager
async def _speaking_twice(context: ssl.SSLContext) -> AsyncIterator[int]:
    def answer(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer(b'{"mine":1}') + answer(b'{"stray":1}'))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_marketplace_whose_clock_differs_is_told_once(api: Api, run: Run) -> None:
    api.replies.extend([Reply(headers={"Date": "Sat, 21 Nov 2020 10:00:00 GMT"})] * 2)
    with capture_logs() as logs:
        for _ in range(2):
            await run()(asked())
    assert [entry["host"] for entry in logs if "clocks" in entry["event"]] == [HOST]


async def test_all_sellers_told_to_wait_at_once_stop_the_marketplace(api: Api, run: Run) -> None:
    api.replies.extend([Reply(429, headers={"Retry-After": "30"})] * 3)
    for number in ("1", "2", "3", "4"):
        fetch = run(account=number)
        fetch.seller = f"seller-{number}"
        with pytest.raises(CollectError) as caught:
            await fetch(asked())
    assert "left alone" in str(caught.value)
    assert caught.value.wait >= timedelta(seconds=59)  # type: ignore[attr-defined]
    assert len(api.seen) == 3

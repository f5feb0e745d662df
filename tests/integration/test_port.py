"""The port of a process over real sockets: what it answers, what it refuses, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from worker.port import HttpAddress, PortUnavailable, Reply, http_address, serving

HERE = HttpAddress("127.0.0.1", 0)


async def hello() -> Reply:
    return Reply(200, b"hello\n")


async def mistake() -> Reply:
    raise RuntimeError("token=never-shown")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(HERE, {"/hello": hello, "/mistake": mistake}) as port:
        yield port


async def said(port: int, *pieces: bytes) -> bytes:
    """Send these bytes as they are and return what comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(3):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_page_is_answered_and_the_connection_closed(port: int) -> None:
    got = await said(port, b"GET /hello?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await said(port, b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Length: 6\r\n" in got
    assert b"\r\nConnection: close\r\n" in got
    assert got.endswith(b"\r\n\r\nhello\n")
    assert head == got.removesuffix(b"hello\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 100_000, 431),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000, 431),
    ],
    ids=["no such page", "a body", "TLS", "no host", "a long line", "a long header"],
)
async def test_what_is_no_request_for_a_page_is_refused_in_words(port: int, sent: bytes, status: int) -> None:
    answer = await said(port, sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Traceback" not in answer
    assert await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "it answers the next one"


async def test_a_mistake_of_ours_is_for_the_log_and_not_for_who_asked(port: int) -> None:
    answer = await said(port, b"GET /mistake HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"never-shown" not in answer


async def test_who_says_nothing_is_sent_away_and_keeps_nobody_waiting(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.port._REQUEST_WITHIN", 0.2)
    silent = asyncio.create_task(said(port, b"GET /hel"))
    assert (await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"hello\n")
    assert (await silent).startswith(b"HTTP/1.1 408 ")


async def test_more_connections_than_a_few_are_dropped_and_its_end_ends_the_others() -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(HERE, {"/hello": hello}))
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises((ConnectionError, AssertionError)):
            assert await said(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(1):
            await stack.aclose()
        for _, writer in held:
            writer.close()


async def test_a_port_that_is_taken_is_told_in_one_sentence(port: int) -> None:
    with pytest.raises(PortUnavailable, match=rf"^the HTTP port 127\.0\.0\.1:{port} cannot be opened \(.*\): give "):
        async with serving(HttpAddress("127.0.0.1", port), {}):
            raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("text", "read", "of_third"),
    [
        ("9464", "127.0.0.1:9464", "127.0.0.1:9466"),
        ("0.0.0.0:9464", "0.0.0.0:9464", "0.0.0.0:9466"),
        ("[::]:9464", "[::]:9464", "[::]:9466"),
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"),
    ],
)
def test_each_process_has_the_next_port(text: str, read: str, of_third: str) -> None:
    assert str(http_address(text)) == read
    assert str(http_address(text).of_process(2)) == of_third


@pytest.mark.parametrize("text", ["", "http", "::1:80", "http://here:80", "65536", "here:", "-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a port or an address with one"):
        http_address(text)

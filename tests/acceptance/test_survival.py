"""A worker in a process of its own: killed, told to stop, watched for secrets."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.oracle import assert_honest, assert_whole
from tests.servers import Database
from tests.stage import FEW, PAGE_LIMITS, Stage, reports, stage_settings

WITHIN = 60.0  # seconds; a worker that takes longer hangs


@asynccontextmanager
async def worker(stage: Stage, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`collector worker`, killed on leaving if it still runs. What it says is in the stage's directory."""
    with (stage.secrets / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker.cli", "worker", env=stage.environment() | settings, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(condition: Callable[[], Awaitable[bool]], *, process: asyncio.subprocess.Process) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(WITHIN):
        while not await condition():
            assert process.returncode is None, f"the worker left with {process.returncode}"
            await asyncio.sleep(0.05)


@pytest.fixture
async def slow_stage(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose answers take a while, so that something is always under way."""
    async with Sandbox(
        tmp_path / "sandbox",
        clock=Clock.frozen(datetime.now(UTC)),
        page_limits=PAGE_LIMITS | {"wildberries/orders": 10},
        rate_scale=1e9,
        play=Play(scale=0.3, report_polls=0, latency=0.05),
    ) as box:
        yield Stage(box, database, stage_settings(box, database, redis_url, rate_scale=1e9), tmp_path)


async def all_is_collected(stage: Stage, *, slices: int = 15) -> bool:
    return bool(
        await stage.value(
            "SELECT count(*) > $1 AND bool_and(last_success_at IS NOT NULL AND lease_until IS NULL)"
            " FROM collect.stream_state WHERE state = 'active'",
            slices,
        )
    )


async def test_a_worker_killed_in_mid_run_loses_and_doubles_nothing(slow_stage: Stage) -> None:
    stage = slow_stage
    organization = await stage.add_organization("Sunrise")
    accounts = [
        await stage.add_account(organization, marketplace) for marketplace in ("wildberries", "ozon", "yandex_market")
    ]
    await stage.collect_few()
    for kills in range(1, 5):
        async with worker(stage) as process:
            served = len(stage.box.served())
            await until(lambda: _true(len(stage.box.served()) >= served + 40 * kills), process=process)  # noqa: B023
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await _pass_leases(stage)
    assert await stage.value("SELECT count(*) FROM raw.payload") > 0
    assert not await all_is_collected(stage), "it was never in mid-run: the test would prove nothing"
    async with worker(stage) as process:
        await until(lambda: all_is_collected(stage), process=process)
    for account in accounts:
        few = FEW[account.marketplace]
        await assert_whole(stage, account, [stream for stream in few if stream not in reports(account.marketplace)])
    await assert_honest(stage)


async def test_a_worker_that_is_told_to_stop_lets_the_page_finish_and_spends_no_attempt(slow_stage: Stage) -> None:
    stage = slow_stage
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    await stage.collect_few()
    async with worker(stage) as process:
        await until(lambda: _true(stage.box.requests().get("wildberries/orders", 0) >= 3), process=process)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 0
    orders = (
        await stage.rows(
            "SELECT attempts, lease_until, next_due_at <= now() AS due FROM collect.stream_state"
            " WHERE stream = 'orders'"
        )
    )[0]
    assert dict(orders) == {"attempts": 0, "lease_until": None, "due": True}
    served = sum(answer.stream == "orders" for answer in stage.box.served())
    assert await stage.value("SELECT count(*) FROM raw.payload WHERE stream = 'orders'") == served
    async with worker(stage) as process:
        await until(lambda: all_orders(stage), process=process)
    await assert_whole(stage, account, ["orders"])
    await assert_honest(stage)


async def all_orders(stage: Stage) -> bool:
    found = await stage.rows("SELECT last_success_at FROM collect.stream_state WHERE stream = 'orders'")
    return found[0]["last_success_at"] is not None


async def test_a_worker_whose_servers_drop_it_again_and_again_keeps_trying_and_loses_nothing(
    slow_stage: Stage,
) -> None:
    stage = slow_stage
    organization = await stage.add_organization("Sunrise")
    accounts = [await stage.add_account(organization, marketplace) for marketplace in ("wildberries", "ozon")]
    await stage.collect_few()
    async with worker(stage) as process:
        for cuts in range(1, 7):
            await until(lambda: _true(len(stage.box.served()) >= 30 * cuts), process=process)  # noqa: B023
            await _cut(stage)
        assert not await all_is_collected(stage), "nothing was under way: the test would prove nothing"

        async def all_is_collected_in_time() -> bool:
            await _pass_leases(stage)
            await stage.pass_waits()
            return await all_is_collected(stage, slices=8)

        await until(all_is_collected_in_time, process=process)
    for account in accounts:
        await assert_whole(stage, account, FEW[account.marketplace])
    await assert_honest(stage)
    assert b"Traceback" not in (stage.secrets / "worker.log").read_bytes()


async def _cut(stage: Stage) -> None:
    """Drop every connection of the worker to both servers, and what Redis knows."""
    async with stage.database.connect("postgres") as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = 'collector_worker'"
        )
    url = stage.settings.redis_url
    assert url is not None
    async with Redis.from_url(url.get_secret_value()) as redis:
        await redis.flushdb()
        await redis.client_kill_filter(_type="normal", skipme=True)


async def test_a_secret_is_nowhere_but_in_its_file(slow_stage: Stage) -> None:
    """Not in logs, Redis, the database or what the worker says, not even when the API refuses the key."""
    stage = slow_stage
    organization = await stage.add_organization("Sunrise")
    accounts = [await stage.add_account(organization, "wildberries"), await stage.add_account(organization, "ozon")]
    await stage.collect_few()
    stage.box.fail("wildberries", "cards", 500, count=20)
    stage.box.fail("ozon", "products", 403, count=20)
    stage.box.fail("wildberries", "feedbacks", body="<html>who are you?</html>", count=5)
    said: list[bytes] = []
    async with worker(stage) as process, _heard(stage, said):
        await until(lambda: _answered(stage, "SELECT count(DISTINCT outcome) >= 3 FROM collect.run"), process=process)
        stage.box.fail("wildberries", "prices", 401)
        await _make_due(stage)
        await until(
            lambda: _answered(stage, "SELECT bool_or(status = 'paused') FROM core.marketplace_account"),
            process=process,
        )
        process.send_signal(signal.SIGTERM)
        await process.wait()
    canaries = [
        value.encode()
        for account in accounts
        for value in _values(stage.box.credentials(account.marketplace, account.seller), account.marketplace)
    ]
    places = {
        "the log": (stage.secrets / "worker.log").read_bytes(),
        "Redis": b"\n".join(said),
        "the database": _dump(stage),
    }
    for place, content in places.items():
        assert len(content) > 500, f"{place} is empty: the test would prove nothing"
        for canary in canaries:
            assert canary not in content, f"a secret is in {place}"


def _values(credentials: str, marketplace: str) -> list[str]:
    return [credentials] if marketplace == "wildberries" else [credentials.split('"api_key"')[1].split('"')[1]]


def _dump(stage: Stage) -> bytes:
    program = stage.database.servers.psql.parent / "pg_dump"
    dumped = subprocess.run([program, "--dbname", stage.database.url("postgres")], capture_output=True, check=True)
    return dumped.stdout


@asynccontextmanager
async def _heard(stage: Stage, said: list[bytes]) -> AsyncIterator[None]:
    """Everything that is sent to Redis meanwhile."""
    url = stage.settings.redis_url
    assert url is not None
    async with Redis.from_url(url.get_secret_value()) as redis, redis.monitor() as monitor:

        async def listen_until_told() -> None:
            async for command in monitor.listen():
                said.append(str(command).encode())  # noqa: PERF401 - it never ends by itself

        listening = asyncio.create_task(listen_until_told())
        try:
            yield
        finally:
            listening.cancel()


async def _pass_leases(stage: Stage) -> None:
    """Let what a killed worker held run out, in PostgreSQL and in Redis, as time would."""
    async with stage.database.connect("collector_admin") as admin:
        await admin.execute("UPDATE collect.stream_state SET lease_until = now() WHERE lease_until IS NOT NULL")
    url = stage.settings.redis_url
    assert url is not None
    async with Redis.from_url(url.get_secret_value()) as redis:
        for pattern in ("arq:in-progress:*", "limit:*:slots:*", "limit:*:held"):
            for key in await redis.keys(pattern):
                await redis.delete(key)


async def _make_due(stage: Stage) -> None:
    await stage.make_due()


async def _answered(stage: Stage, question: str) -> bool:
    return bool(await stage.value(question))


async def _true(value: bool) -> bool:
    return value

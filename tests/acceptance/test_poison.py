"""What keeps killing its worker, what is slow, and how long a stream that fails is left alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.servers import Database
from tests.stage import Stage, run_all, stage_settings
from worker import heartbeat
from worker.cli.mending import mended_by
from worker.cli.opening import as_admin
from worker.db import progress
from worker.db.pauses import list_streams
from worker.jobs import POISON, _backoff, collect_slice

ROOT = Path(__file__).parents[2]
_LIVES = 3

# Each life is a process of its own, which the stream kills as its first page is asked for.
PROGRAM = """
import asyncio, dataclasses, os, signal, sys
from uuid import UUID
import asyncpg
from collectors.registry import STREAMS
from worker.db.progress import AccountId, SliceKey
from worker.db.tenancy import OrganizationId
from worker.jobs import collect_slice
from worker.main import open_resources
from worker.settings import load

lives, organization, account, admin_url = int(sys.argv[1]), *sys.argv[2:4], input()

async def pages(fetch, walk):
    os.kill(os.getpid(), signal.SIGKILL)
    yield

async def live():
    deadly = dataclasses.replace(STREAMS["wildberries"]["prices"], pages=pages)
    key = SliceKey(organization_id=OrganizationId(UUID(organization)), account_id=AccountId(UUID(account)),
                   marketplace="wildberries", stream="prices")
    async with open_resources(load(), streams={"wildberries": {"prices": deadly}}) as resources:
        await collect_slice(resources, key, stopping=lambda: False)

async def pass_lease():
    connection = await asyncpg.connect(admin_url)
    await connection.execute("UPDATE collect.stream_state SET lease_until = now() WHERE lease_until IS NOT NULL")
    await connection.close()

for _ in range(lives):
    if not (child := os.fork()):
        asyncio.run(live())
        os._exit(0)
    print(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    asyncio.run(pass_lease())
"""


async def test_a_stream_that_kills_its_worker_time_and_again_is_set_aside_and_says_how_it_is_mended(
    stage: Stage,
) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources():
        pass
    await stage.change("UPDATE collect.stream_state SET attempts = $1", POISON - _LIVES)  # as many were taken before
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(_LIVES + 1), str(account.organization_id), str(account.id)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=stage.environment() | {"COLLECTOR_LOG_LEVEL": "ERROR"},
        cwd=ROOT,
    )
    said, _ = await process.communicate(f"{stage.database.url('collector_admin')}\n".encode())
    ends = [line for line in said.decode().split() if line.lstrip("-").isdigit()]
    assert ends == ["9"] * _LIVES + ["0"], "the last life is not risked any more"
    async with as_admin(stage.settings) as session:
        (row,) = await list_streams(session, account.id, dead=True)
    assert (row["stream"], row["state"]) == ("prices", "quarantined")
    assert row["reason"] == f"{POISON} attempts in a row kept nothing, and each ended without a word"
    assert mended_by(row["state"], row) == f"collector enqueue --account {account.id} --stream prices"
    assert stage.box.requests().get("wildberries/prices", 0) == 0


@pytest.fixture
async def slow(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Every answer takes longer than the lease that the test gives."""
    async with Sandbox(
        tmp_path / "sandbox",
        clock=Clock.frozen(datetime.now(UTC)),
        rate_scale=1e9,
        play=Play(scale=0.1, latency=1.5),
    ) as box:
        yield Stage(box, database, stage_settings(box, database, redis_url, rate_scale=1e9), tmp_path)


async def test_a_page_that_takes_longer_than_the_lease_keeps_it_and_nobody_else_gets_it(
    slow: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (progress, heartbeat):
        monkeypatch.setattr(module, "LEASE", timedelta(seconds=0.9))
    account = await slow.add_account(await slow.add_organization("Sunrise"), "ozon")
    async with slow.resources() as resources:
        began = asyncio.get_running_loop().time()
        slowly = asyncio.create_task(run_all(resources, account, "warehouses"))
        while not slowly.done():
            await asyncio.sleep(0.1)
            await collect_slice(resources, account.key("warehouses"), stopping=lambda: False)
        assert asyncio.get_running_loop().time() - began > 1.4, "it was not slow: the test would prove nothing"
    (run,) = await slow.rows("SELECT outcome, requests FROM collect.run")
    assert run["outcome"] == "done"
    assert slow.box.requests()["ozon/warehouses"] == run["requests"], "somebody else has asked as well"
    assert await slow.value("SELECT attempts FROM collect.stream_state WHERE stream = 'warehouses'") == 0


def test_a_stream_that_fails_is_left_alone_for_a_random_and_ever_longer_time_of_an_hour_at_most() -> None:
    for attempts, longest in ((1, 30), (3, 120), (7, 1920), (8, 3600), (400, 3600)):
        waits = sorted(_backoff(attempts).total_seconds() - 1 for _ in range(400))
        assert waits[0] >= 0
        assert waits[-1] <= longest
        assert waits[20] < 0.2 * longest, "full jitter begins at nothing"
        assert waits[-20] > 0.8 * longest

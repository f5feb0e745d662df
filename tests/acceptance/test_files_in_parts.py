"""A report's file that goes over the disk is kept whole or not at all, and leaves nothing open, whatever happens."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from tests.oracle import netted_order_ids
from tests.spools import OpenFiles
from tests.stage import Account, Stage, run_all
from worker.http.spool import Spool

FILES = (
    "SELECT string_agg(body, ''::bytea ORDER BY part) AS file, count(*) AS parts FROM raw.page"
    " WHERE file_name IS NOT NULL AND NOT superseded GROUP BY coalesce(parts_id, id)"
)


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of the sandbox has a few kilobytes."""
    monkeypatch.setattr("worker.http.body.PART", 500)
    monkeypatch.setattr("worker.http.spool.PART", 500)
    monkeypatch.setattr("worker.http.body.DECODED_CAP", 1000)


@pytest.fixture
async def account(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")


async def test_reports_in_parts_hold_what_the_marketplace_served(
    stage: Stage, account: Account, open_files: OpenFiles
) -> None:
    async with stage.resources() as resources:
        for _ in range(6):
            await run_all(resources, account, "united_netting")
            await stage.pass_waits()
            assert open_files() == 0
    files = await stage.rows(FILES)
    assert max(file["parts"] for file in files) > 2
    for file in files:
        assert netted_order_ids(file["file"])
    assert await stage.value("SELECT count(*) FROM raw.payload WHERE part = 0") == len(files) >= 3


Trouble = Callable[[], Awaitable[None]]


@pytest.fixture
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Trouble], None]:
    """Let something happen behind the first part of each file that is stored, until the test is over."""
    parts = Spool.parts

    def set_trouble(trouble: Trouble) -> None:
        async def troubled(self: Spool) -> AsyncGenerator[bytes, None]:
            async for part in parts(self):
                yield part
                await trouble()

        monkeypatch.setattr(Spool, "parts", troubled)

    return set_trouble


async def nothing_is_stored(stage: Stage) -> bool:
    return bool(await stage.value("SELECT count(*) = 0 FROM raw.payload"))


async def test_a_worker_that_loses_the_lease_in_the_middle_of_a_file_keeps_none_of_it(
    stage: Stage, account: Account, open_files: OpenFiles, in_the_middle: Callable[[Trouble], None]
) -> None:
    """The slice's row is not locked meanwhile: the heartbeat, and here another worker, can have it."""

    async def lose() -> None:
        await stage.change("UPDATE collect.stream_state SET lease_token = gen_random_uuid()")

    async with stage.resources() as resources:
        await run_all(resources, account, "united_netting")
        await stage.pass_waits()
        in_the_middle(lose)
        await run_all(resources, account, "united_netting")
    assert await nothing_is_stored(stage)
    assert await stage.value("SELECT count(*) FROM collect.run WHERE outcome = 'done'") == 0
    assert open_files() == 0


async def test_a_disk_that_fails_in_the_middle_of_a_file_puts_the_run_off(
    stage: Stage, account: Account, open_files: OpenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Spool, start: int, __: int) -> bytes:
        if start == 0:
            return b"so far so good"
        raise OSError(errno.EIO, "Input/output error")

    async with stage.resources() as resources:
        await run_all(resources, account, "united_netting")
        await stage.pass_waits()
        with monkeypatch.context() as failing:
            failing.setattr(Spool, "_read_at", fail)
            await run_all(resources, account, "united_netting")
        assert await nothing_is_stored(stage)
        (run,) = await stage.rows("SELECT outcome, error FROM collect.run ORDER BY started_at DESC LIMIT 1")
        assert run["outcome"] == "put off"
        assert "cannot be kept on disk (Input/output error)" in run["error"]
        assert open_files() == 0
        await stage.pass_waits()
        await run_all(resources, account, "united_netting")
    assert await stage.value("SELECT max(attempts) FROM collect.stream_state WHERE stream = 'united_netting'") == 0
    (file,) = await stage.rows(FILES)
    assert netted_order_ids(file["file"])
    assert stage.box.requests()["yandex_market/united_netting/create"] <= 2, "the first report was not made again"


async def test_a_run_that_is_cancelled_in_the_middle_of_a_file_keeps_none_of_it(
    stage: Stage, account: Account, open_files: OpenFiles, in_the_middle: Callable[[Trouble], None]
) -> None:
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    async with stage.resources() as resources:
        await run_all(resources, account, "united_netting")
        await stage.pass_waits()
        in_the_middle(wait)
        running = asyncio.create_task(run_all(resources, account, "united_netting"))
        async with asyncio.timeout(10):
            await reached.wait()
        assert open_files() == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await nothing_is_stored(stage)
    assert open_files() == 0

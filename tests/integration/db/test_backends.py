"""What a connection does to the backend that serves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.servers import Database
from worker.db.engine import make_engine

PAGE = json.dumps([{"id": n, "name": f"товар {n}"} for n in range(16_000)])  # 1 MB
PAGES = 20


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a process's page faults are read from Linux' /proc")
@pytest.mark.skipif(HUGE.exists() and "[always]" in HUGE.read_text("ascii"), reason="a fault maps 2 MB: few either way")
async def test_a_backend_keeps_the_memory_that_a_large_page_takes(database: Database) -> None:
    """Else it maps, and the kernel clears, every page of memory anew for each row."""
    assert await _faults_a_page(database, pooled=True) < await _faults_a_page(database, pooled=False) / 4


async def _faults_a_page(database: Database, *, pooled: bool) -> float:
    """Return the page faults of a backend for each page of 1 MB. Without a pool connections are as they come."""
    engine = make_engine(database.owner_url, null_pool=not pooled)
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE raw.large (body json)"))
        backend = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()

        async def keep(pages: int) -> None:
            await connection.execute(text("INSERT INTO raw.large VALUES (:body)"), [{"body": PAGE}] * pages)

        await keep(2)
        before = _faults(backend)
        await keep(PAGES)
        taken = _faults(backend) - before
        await connection.rollback()
    await engine.dispose()
    return taken / PAGES


def _faults(process: int) -> int:
    after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(after_name[7])  # minflt, the tenth field: proc_pid_stat(5)

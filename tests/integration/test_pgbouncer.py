"""The worker behind pgbouncer in transaction mode, where a connection may be another one after each commit."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from tests.oracle import assert_honest, assert_whole
from tests.stage import Stage, run_all
from worker import schedule
from worker.embedded import Servers
from worker.embedded_process import free_port
from worker.main import open_resources

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SERVER_CONNECTIONS = 2


@pytest.fixture
def pooler(servers: Servers) -> Iterator[int]:
    """A pooler before this session's PostgreSQL; its port."""
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer on this machine: apt-get install pgbouncer")
    port = free_port(None)
    home = Path(tempfile.mkdtemp(prefix="collector-pgbouncer-"))
    home.chmod(0o755)  # as root it becomes nobody
    password = servers.passwords["collector_worker"]
    (home / "users.txt").write_text(f'"collector_worker" "{password}"\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={servers.postgres_port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = scram-sha-256\nauth_file = {home}/users.txt\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
        "max_client_conn = 100\n" + ("user = nobody\n" if os.getuid() == 0 else "")
    )
    program = subprocess.Popen([PROGRAM, "--quiet", str(home / "pgbouncer.ini")], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        program.terminate()
        program.wait()
        shutil.rmtree(home)


async def test_workers_share_few_connections_through_pgbouncer_and_no_tenants_are_mixed(
    stage: Stage, servers: Servers, pooler: int
) -> None:
    url = stage.database.worker_url.replace(f":{servers.postgres_port}/", f":{pooler}/")
    pooled = {"database_url": SecretStr(url), "pgbouncer": True, "pool_size": 8}
    accounts = [
        await stage.add_account(await stage.add_organization(name), "ozon", number=number)
        for number, name in enumerate(("Sunrise", "Northern"), start=1)
    ]
    streams = ["products", "returns", "prices"]
    most = 0

    async def count() -> None:
        nonlocal most
        async with stage.database.connect("postgres") as superuser:
            while True:
                sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'collector_worker' AND datname = $1"
                most = max(most, await superuser.fetchval(sql, stage.database.name))
                await asyncio.sleep(0.01)

    await _ready(url)
    async with open_resources(stage.settings.model_copy(update=pooled)) as resources:
        await schedule.reconcile(resources)
        counting = asyncio.create_task(count())
        await asyncio.gather(*(run_all(resources, account, stream) for account in accounts for stream in streams))
        counting.cancel()
    assert 1 <= most <= SERVER_CONNECTIONS
    for account in accounts:
        await assert_whole(stage, account, streams)
    await assert_honest(stage)


async def _ready(url: str) -> None:
    for _ in range(100):
        try:
            await (await asyncpg.connect(url, statement_cache_size=0)).close()
        except OSError:
            await asyncio.sleep(0.02)
        else:
            return
    pytest.fail("pgbouncer does not answer")

"""Worker processes that collect from the shop: whatever `collector worker` is, with streams that are all alike.

`python -m benchmarks.crew` is such a process; the benchmarks start it and say how in the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.ground import ORGANIZATIONS, Ground
from benchmarks.shop import Shop, ca_file
from collectors.ozon.goods import PRICES
from collectors.stream import Stream
from worker import logs
from worker.main import run_worker
from worker.processes import run_processes
from worker.settings import load

GROUP = "shop"  # of proxies

_ORGANIZATIONS = """
INSERT INTO core.organization (name) SELECT format('organization %s', n) FROM generate_series(1, $1::integer) n
"""
_PROXIES = """
INSERT INTO core.proxy (name, proxy_group, url, max_accounts)
SELECT format('proxy %s', n), $1, url, 100000 FROM unnest($2::text[]) WITH ORDINALITY AS p (url, n)
"""
_ACCOUNTS = """
INSERT INTO core.marketplace_account
    (organization_id, marketplace, name, external_id, secret_ref, proxy_group, key_checked_at)
SELECT o.id, 'ozon', format('shop %s', n), n::text, 'env:SHOP_SECRET', $2, now()
FROM generate_series(1, $1::integer) n
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM core.organization) o ON o.place = n % $3
"""
_STATES = """
INSERT INTO collect.stream_state
    (organization_id, marketplace_account_id, marketplace, stream, lane, "interval", next_due_at)
SELECT a.organization_id, a.id, a.marketplace, stream, 'live', $2, now() + interval '1 day'
FROM core.marketplace_account a, unnest($1::text[]) stream
"""
_COVERAGE = """
INSERT INTO collect.coverage (organization_id, marketplace_account_id, stream, slice, wanted_from)
SELECT organization_id, marketplace_account_id, stream, slice, now() FROM collect.stream_state
"""
_DUE = """
UPDATE collect.stream_state SET next_due_at = now() - interval '1 minute'
WHERE ctid IN (SELECT ctid FROM collect.stream_state ORDER BY stream, marketplace_account_id LIMIT $1)
"""


def catalogue(streams: int) -> Mapping[str, Mapping[str, Stream]]:
    """Return so many streams which are Ozon's prices under other names."""
    alike = (dataclasses.replace(PRICES, name=f"prices_{number}") for number in range(streams))
    return {"ozon": {stream.name: stream for stream in alike}}


async def fill(ground: Ground, shop: Shop, *, accounts: int, streams: int, proxies: int) -> None:
    """Make the accounts with their rows, none of them due yet."""
    async with ground.admin() as admin:
        await admin.execute(_ORGANIZATIONS, ORGANIZATIONS)
        await admin.execute(_PROXIES, GROUP, shop.proxies(proxies))
        await admin.execute(_ACCOUNTS, accounts, GROUP, ORGANIZATIONS)
        await admin.execute(_STATES, list(catalogue(streams)["ozon"]), PRICES.every)
        await admin.execute(_COVERAGE)
        await admin.execute("VACUUM ANALYZE")


async def make_due(ground: Ground, slices: int) -> None:
    async with ground.admin() as admin:
        await admin.execute(_DUE, slices)


@asynccontextmanager
async def at_work(
    ground: Ground, shop: Shop, home: Path, *, processes: int = 1, streams: int = 1, address: str = ""
) -> AsyncIterator[Process]:
    """Run a worker of so many processes, and stop it on leaving as its supervisor would."""
    words = ("-m", "benchmarks.crew", "--processes", str(processes), "--streams", str(streams))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env={
            **os.environ,  # noqa: TID251 - a child needs PATH
            "COLLECTOR_DATABASE_URL": ground.servers.worker_url,
            "COLLECTOR_REDIS_URL": ground.servers.redis_url,
            "COLLECTOR_HOSTS": json.dumps(dict(shop.hosts)),
            "COLLECTOR_CA_FILE": str(ca_file(home)),
            "COLLECTOR_RATE_SCALE": "1000000",
            "COLLECTOR_HOME": str(home),
            "COLLECTOR_HEALTH_FILE": str(home / "alive"),
            "COLLECTOR_LOG_LEVEL": "ERROR",
            "COLLECTOR_HTTP_ADDRESS": address,
            "SHOP_SECRET": json.dumps({"client_id": "1", "api_key": "key-of-the-shop"}),
        },
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crew", description=__doc__)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--number", type=int, default=0)
    options = parser.parse_args()
    settings = load()
    logs.configure(settings.log_format, settings.log_level)
    words = [sys.executable, "-m", "benchmarks.crew", "--streams", str(options.streams), "--number"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.processes > 1:
            runner.run(run_processes(options.processes, lambda number: [*words, str(number)]))
        else:
            runner.run(run_worker(settings, number=options.number, streams=catalogue(options.streams)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

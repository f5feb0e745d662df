"""A PostgreSQL and a Valkey with the rows of a large deployment, made and thrown away by a benchmark."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg

from collectors.registry import STREAMS
from collectors.stream import ListedBy
from worker.db.migrate import upgrade
from worker.embedded import Servers, start
from worker.main import open_resources
from worker.resources import Resources
from worker.settings import load

ORGANIZATIONS = 100
_SLICES_OF_A_LIST = 2  # of each stream whose slices another one lists

_ORGANIZATIONS = """
INSERT INTO core.organization (name) SELECT format('organization %s', n) FROM generate_series(1, $1::integer) n
"""

_ACCOUNTS = """
INSERT INTO core.marketplace_account (organization_id, marketplace, name, external_id, secret_ref)
SELECT o.id, $1, format('%s %s', $1::text, n), format('%s-%s', o.name, n), 'env:NOBODY'
FROM generate_series(1, $2::integer) n
JOIN (SELECT id, name, row_number() OVER (ORDER BY name) - 1 AS place FROM core.organization) o ON o.place = n % $3
"""

# Each due in its own time, as the phases of a fleet that has run for long lie.
_STATES = """
INSERT INTO collect.stream_state (organization_id, marketplace_account_id, marketplace, stream, slice, lane,
    "interval", next_due_at, last_success_at)
SELECT a.organization_id, a.id, a.marketplace, w.stream, w.slice, 'live', w.every,
    now() + interval '1 hour' + w.every * random(), now()
FROM core.marketplace_account a, unnest($2::text[], $3::text[], $4::interval[]) w (stream, slice, every)
WHERE a.marketplace = $1
"""

_COVERAGE = """
INSERT INTO collect.coverage (organization_id, marketplace_account_id, stream, slice, wanted_from)
SELECT organization_id, marketplace_account_id, stream, slice, now() FROM collect.stream_state
"""

_CUT = """
DELETE FROM collect.stream_state WHERE ctid IN (SELECT ctid FROM collect.stream_state OFFSET $1)
"""


@dataclass(frozen=True)
class Ground:
    """The servers, migrated; `fill` makes the rows."""

    servers: Servers

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection that sees every tenant, to set up and to look."""
        connection = await asyncpg.connect(self.servers.url("postgres"))
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def resources(self) -> AsyncIterator[Resources]:
        """What a worker has, connected as its restricted role."""
        settings = load(database_url=self.servers.worker_url, redis_url=self.servers.redis_url)
        async with open_resources(settings) as resources:
            yield resources

    async def fill(self, pairs: int) -> int:
        """Make so many account × stream pairs, none of them due yet, over a hundred organizations; the accounts."""
        each = {marketplace: _pairs(marketplace) for marketplace in STREAMS}
        accounts = -(-pairs // sum(len(of_account[0]) for of_account in each.values()))
        async with self.admin() as admin:
            await admin.execute(_ORGANIZATIONS, ORGANIZATIONS)
            for marketplace, of_account in each.items():
                await admin.execute(_ACCOUNTS, marketplace, accounts, ORGANIZATIONS)
                await admin.execute(_STATES, marketplace, *of_account)
            await admin.execute(_CUT, pairs)
            await admin.execute(_COVERAGE)
            await admin.execute("VACUUM ANALYZE")
        return accounts * len(each)


def _pairs(marketplace: str) -> tuple[list[str], list[str], list[timedelta]]:
    streams, slices, every = [], [], []
    for stream in STREAMS[marketplace].values():
        listed = [str(number) for number in range(1, _SLICES_OF_A_LIST + 1)]
        for name in listed if isinstance(stream.slices, ListedBy) else stream.slices:
            streams.append(stream.name)
            slices.append(name)
            every.append(stream.every)
    return streams, slices, every


@contextmanager
def make_ground() -> Iterator[Ground]:
    # As in tests/servers.py: as root pytest's and Python's own temporary directories are private.
    home = Path(tempfile.mkdtemp(prefix="collector-benchmark-"))
    home.chmod(0o755)
    try:
        with start(home, durable=False) as running:
            upgrade(running.servers.owner_url)
            yield Ground(running.servers)
    finally:
        shutil.rmtree(home)

"""The ground on which all cases are played, made once."""

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.errors import CollectError
from sandbox.faults.api import FaultApi
from sandbox.faults.certificates import Certificates
from tests.faults.ground import GOOD, Ground
from tests.faults.scenes import Asked, streams
from tests.servers import Database
from worker.db.position import Trail
from worker.embedded import Embedded
from worker.guard import trail_behind
from worker.http import body, spool
from worker.http.pools import trusted
from worker.main import open_resources
from worker.settings import load

CAP = 2 << 20  # bytes of a page, far below the worker's own, so that no case has to send 64 MB


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="session")
def context(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What the collector trusts."""
    ca_file: Path = tmp_path_factory.mktemp("faults") / "ca.pem"
    certificates.authority.cert_pem.write_to_path(str(ca_file))
    return trusted(ca_file)


@pytest.fixture(scope="session")
def shared_database(embedded: Embedded, template: str) -> Iterator[Database]:
    embedded.run_sql(f"CREATE DATABASE faults TEMPLATE {template} STRATEGY file_copy OWNER collector_owner")
    yield Database("faults", embedded.servers)
    embedded.run_sql("DROP DATABASE faults WITH (FORCE)")


@pytest.fixture(scope="session")
async def shared_ground(
    shared_database: Database, certificates: Certificates, context: ssl.SSLContext
) -> AsyncIterator[Ground]:
    settings = load(
        database_url=shared_database.worker_url,
        redis_url=f"{shared_database.servers.redis_url.rpartition('/')[0]}/0",
        rate_scale=1e6,
        pool_size=3,
    )
    log: list[object] = []
    async with (
        FaultApi(certificates, dict(GOOD)).serving() as api,
        open_resources(settings, streams=streams(Asked(log))) as resources,
    ):
        yield Ground(resources, shared_database, api, certificates, context, log)


@pytest.fixture
def ground(shared_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(body, "WIRE_CAP", CAP)
    monkeypatch.setattr(body, "DECODED_CAP", CAP)
    for holder in (body, spool):
        monkeypatch.setattr(holder, "PART", CAP // 2)

    def noted(*args: Any, **named: Any) -> Trail:
        try:
            return trail_behind(*args, **named)
        except CollectError as error:
            shared_ground.log.append(error)
            raise

    monkeypatch.setattr("worker.batch.trail_behind", noted)
    return shared_ground

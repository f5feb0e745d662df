"""What a job may use, in one typed value. `main.py` or a test builds it; nothing else is global."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arq.connections import ArqRedis
from sqlalchemy.ext.asyncio import AsyncEngine

from collectors.stream import Marketplace, Stream
from worker.clock import Clock
from worker.db.engine import Sessions
from worker.http.body import ByteBudget
from worker.http.fetch import Fetcher
from worker.kept_ids import KeptIds
from worker.metrics import Metrics
from worker.secrets import Resolve
from worker.traces import Traces

# Bytes: one batch of many pages, and one that overdraws, for two connections saturate a server's two cores; of batches
# that two pages of 8 MB make, one at a time.
_WRITTEN_AT_A_TIME = 12 << 20


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything that is opened once per process."""

    engine: AsyncEngine = field(repr=False)  # of the sessions, for its figures
    sessions: Sessions = field(repr=False)
    redis: ArqRedis = field(repr=False)
    fetcher: Fetcher = field(repr=False)
    secret: Resolve = field(repr=False)  # a reference → what it stands for
    streams: Mapping[str, Mapping[str, Stream]] = field(repr=False)  # by marketplace and name
    ids: KeptIds = field(default_factory=KeptIds, repr=False)  # of walks under way
    clock: Clock
    metrics: Metrics = field(repr=False)
    traces: Traces = field(repr=False)
    partitions_ahead: int
    organization_jobs: int  # offered or under way at a time, of one organization
    account_jobs: int  # … of one account
    worker: str  # this process's name, for the record of runs
    writing: ByteBudget = field(default_factory=lambda: ByteBudget(_WRITTEN_AT_A_TIME), repr=False)  # of large batches

    def stream(self, marketplace: str, name: str) -> Stream | None:
        return self.streams.get(marketplace, {}).get(name)

    def marketplace(self, name: str) -> Marketplace:
        return next(iter(self.streams[name].values())).marketplace

"""Every metric there is, in one place: name, unit, labels, and what it tells.

`collector_*`, with the unit in the name. A label is a marketplace, a stream, a bucket, a group of proxies or one of a
few words: never a tenant, an account or anything else of which there is no end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collectors.errors import RateLimited

NAMESPACE = "collector"

_OF_STREAM = ("marketplace", "stream")
_REQUEST_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_RUN_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 150.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for each counter, which nobody asks for


@dataclass(frozen=True)
class Figure:
    """One value of a gauge of FLEET, with the values of its labels."""

    name: str
    labels: Sequence[str]
    value: float


# What every process tells of all of them: take the max of it, not the sum. Name → what it tells, its labels.
FLEET: Mapping[str, tuple[str, Sequence[str]]] = {
    "due_slices": ("Slices that are due and nobody's.", _OF_STREAM),
    "due_age_seconds": ("How long the oldest of them has been due.", _OF_STREAM),
    "lag_seconds": ("Since the last success beyond the interval, of the slice that is latest.", _OF_STREAM),
    "slices": ("Slices of active accounts, by state.", ("marketplace", "state")),
    "accounts": ("Accounts, by status.", ("marketplace", "status")),
    "quarantine_open": ("Refused answers that nobody has dealt with.", _OF_STREAM),
    "key_expires_days": ("Until the next key of an active account expires.", ("marketplace",)),
    "partitions_ahead_months": ("Whole months that every table has ahead; -1: not even this one.", ()),
    "table_bytes": ("Disk that a partitioned table takes, with its indexes.", ("table",)),
    "table_rows": ("Rows of a partitioned table, as the planner estimates them.", ("table",)),
    "proxies": ("Proxies, by whether they are usable or out.", ("proxy_group", "health")),
    "proxies_refused": ("Proxies whose address a marketplace refuses.", ("marketplace",)),
    "queue_ready": ("Jobs in Redis that could run now and wait for a worker.", ()),
}


class Fleet(Collector):
    """The figures of the fleet as they were last read. One that is not known is not shown: a 0 would be a lie."""

    def __init__(self) -> None:
        self.figures: Sequence[Figure] = ()

    def collect(self) -> Iterator[Metric]:
        families = {
            name: GaugeMetricFamily(f"{NAMESPACE}_{name}", tells, labels=labels)
            for name, (tells, labels) in FLEET.items()
        }
        for figure in self.figures:
            # Another release may have written it, which knows others.
            if figure.name in FLEET and len(figure.labels) == len(FLEET[figure.name][1]):
                families[figure.name].add_metric(figure.labels, figure.value)
        yield from families.values()


class Metrics:
    """What one process counts. Each has its own, so that two in one test do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=NAMESPACE, registry=self.registry)  # memory, CPU, open files
        self._of_work()
        self._of_process()
        self.fleet = Fleet()
        self.registry.register(self.fleet)

    def _of_work(self) -> None:
        self.runs = self._counter("runs", "Runs that have ended, by outcome.", *_OF_STREAM, "outcome")
        self.run_seconds = self._histogram("run_seconds", "How long runs took.", _RUN_SECONDS)
        self.requests = self._counter("requests", "Requests sent, by what came of them.", *_OF_STREAM, "outcome")
        self.request_seconds = self._histogram("request_seconds", "How long an answer took.", _REQUEST_SECONDS)
        self.waits = self._counter("wait_seconds", "Time that runs slept: for a limit, between attempts.", *_OF_STREAM)
        self.turns = self._counter("limiter_turns", "Requests let go by the limits.", "marketplace")
        self.limited = self._counter(
            "limiter_put_off", "Requests handed back, for this limit is used up.", "marketplace", "bucket"
        )
        self.rows = self._counter("payload_rows", "Rows of raw.payload written.", *_OF_STREAM)
        self.same_as_rows = self._counter("same_as_rows", "Of those, rows that point at an equal one.", *_OF_STREAM)
        self.bytes = self._counter("payload_bytes", "Bodies written to raw.payload, unpacked.", *_OF_STREAM)
        self.slow_queries = self._counter("slow_queries", "Statements over COLLECTOR_SLOW_QUERY_SECONDS.")

    def _of_process(self) -> None:
        self.turn_age = self._gauge("loop_turn_age_seconds", "Since the worker's loop last turned.")
        self.loop_lag = self._gauge("loop_lag_seconds", "The longest that the loop was held within a minute.")
        self.jobs = self._gauge("jobs_running", "Jobs under way in this process.")
        self.most_jobs = self._gauge("jobs_max", "Jobs that it may run at a time.")
        self.pool = self._gauge("pool_connections", "Connections to PostgreSQL.", "state")
        self.most_pool = self._gauge("pool_connections_max", "Connections that it may have.")
        self.budget = self._gauge("body_budget_bytes", "Bodies that it may hold at a time.")
        self.budget_used = self._gauge("body_budget_used_bytes", "Bodies that it holds.")
        self.database_up = self._gauge("database_up", "1 if PostgreSQL answered the figures of the fleet, 0 if not.")
        self.redis_up = self._gauge("redis_up", "1 if Redis answered, 0 if not.")

    @contextmanager
    def turn(self, marketplace: str) -> Iterator[Callable[[], None]]:
        """Count a turn of the limits when the request says that it came, or the limit for which it did not."""
        came = False

        def come() -> None:
            nonlocal came
            came = True
            self.turns.labels(marketplace).inc()

        try:
            yield come
        except RateLimited as error:
            if not came:
                self.limited.labels(marketplace, error.bucket or "").inc()
            raise

    @contextmanager
    def request(self, marketplace: str, stream: str) -> Iterator[None]:
        """Count a request that is sent, by what comes of it: an error's name, or ok; and how long that takes."""
        outcome, began = "ok", time.monotonic()
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self.requests.labels(marketplace, stream, outcome).inc()
            self.request_seconds.labels(marketplace).observe(time.monotonic() - began)

    def run_ended(self, marketplace: str, stream: str, outcome: str, *, seconds: float) -> None:
        self.runs.labels(marketplace, stream, outcome).inc()
        self.run_seconds.labels(marketplace).observe(seconds)

    def kept(self, marketplace: str, stream: str, *, rows: int, same_as: int, size: int) -> None:
        """Count what a commit wrote to raw.payload: rows, those that point at others, and bytes of bodies."""
        self.rows.labels(marketplace, stream).inc(rows)
        self.same_as_rows.labels(marketplace, stream).inc(same_as)
        self.bytes.labels(marketplace, stream).inc(size)

    def text(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, tells: str, *labels: str) -> Counter:
        return Counter(name, tells, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, tells: str, *labels: str) -> Gauge:
        return Gauge(name, tells, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, tells: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, tells, ("marketplace",), namespace=NAMESPACE, registry=self.registry, buckets=buckets)

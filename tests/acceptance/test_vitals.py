"""What a worker tells those who watch it, on a real stage, with its servers there and gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.stream import Secret
from sandbox.ledger import Failure
from tests.acceptance.test_survival import until, worker
from tests.servers import Database
from tests.stage import Stage, hasty, run_all
from worker import schedule
from worker.main import CannotStart, build_worker, run_worker
from worker.port import HttpAddress, Reply
from worker.queue import make_redis
from worker.resources import Resources
from worker.settings import RedisAddress
from worker.vitals import Vitals

LABELS = {"marketplace", "stream", "outcome", "bucket", "state", "status", "table", "proxy_group", "health", "le"}


@pytest.fixture
async def resources(stage: Stage) -> AsyncIterator[Resources]:
    async with stage.resources() as resources:
        yield hasty(resources)


@pytest.fixture
def vitals(stage: Stage, resources: Resources) -> Vitals:
    """Those of a worker that has started."""
    vitals = Vitals(resources)
    vitals.worker = build_worker(stage.settings, resources, handle_signals=False)
    return vitals


def samples(reply: Reply) -> dict[tuple[str, ...], float]:
    """Return every value by its name and the values of its labels, which the alphabet orders."""
    assert reply.status == 200
    families = text_string_to_metric_families(reply.body.decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def told(reply: Reply) -> Any:
    return json.loads(reply.body)


async def test_what_was_done_is_counted_and_names_no_tenant(stage: Stage, resources: Resources, vitals: Vitals) -> None:
    organization = await stage.add_organization("Sunrise")
    account = await stage.add_account(organization, "ozon")
    await stage.change("INSERT INTO core.proxy (name, proxy_group, url) VALUES ('p', 'ru', 'http://proxy:3128')")
    stage.box.ledger.plan(Failure("ozon", "prices", 1, 503))
    await schedule.reconcile(resources)
    for _ in range(2):
        await run_all(resources, account, "warehouses")
        await stage.make_due()
    await run_all(resources, account, "prices")
    await stage.change("UPDATE core.marketplace_account SET key_expires_at = now() + interval '5 days'")
    reply = await vitals.metrics()
    found = samples(reply)
    [(rows, same, size)] = await stage.rows(
        "SELECT count(*), count(same_as), sum(octet_length(payload::text)) FROM raw.payload WHERE stream = 'warehouses'"
    )
    assert found["collector_payload_rows_total", "ozon", "warehouses"] == rows
    assert found["collector_same_as_rows_total", "ozon", "warehouses"] == same > 0
    assert found["collector_payload_bytes_total", "ozon", "warehouses"] == size
    assert found["collector_runs_total", "ozon", "done", "warehouses"] == 2
    assert found["collector_requests_total", "ozon", "Later", "prices"] == 1
    assert found["collector_requests_total", "ozon", "ok", "prices"] > 0
    assert found["collector_limiter_turns_total", "ozon"] == sum(
        value for key, value in found.items() if key[0] == "collector_requests_total"
    )
    assert found["collector_wait_seconds_total", "ozon", "prices"] > 0
    assert found["collector_proxies", "usable", "ru"] == 1
    assert found["collector_database_up",] == found["collector_redis_up",] == 1
    assert found["collector_partitions_ahead_months",] >= 1
    assert found["collector_due_slices", "ozon", "products"] == 2
    assert found["collector_key_expires_days", "ozon"] == pytest.approx(5, abs=0.1)
    assert found["collector_process_resident_memory_bytes",] > 1e7
    families = text_string_to_metric_families(reply.body.decode())
    assert {label for family in families for one in family.samples for label in one.labels} <= LABELS
    text = reply.body.decode()
    keys = [key for key in json.loads(stage.box.credentials("ozon", account.seller)).values() if len(key) > 6]
    for secret in (str(organization), str(account.id), account.seller, "Sunrise", *keys):
        assert secret not in text


async def test_a_lease_that_was_lost_is_counted(stage: Stage, resources: Resources) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    await schedule.reconcile(resources)

    async def lose_the_lease(ref: str, fields: tuple[str, ...], /, *, fresh: bool = False) -> Secret:
        await stage.change("UPDATE collect.stream_state SET lease_token = gen_random_uuid()")
        return await resources.secret(ref, fields, fresh=fresh)

    await run_all(replace(resources, secret=lose_the_lease), account, "warehouses")
    assert resources.metrics.runs.labels("ozon", "warehouses", "lease lost")._value.get() == 1
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0


async def test_one_of_many_processes_reads_the_figures_for_all(
    stage: Stage, resources: Resources, vitals: Vitals
) -> None:
    await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    assert samples(await vitals.metrics())["collector_accounts", "ozon", "active"] == 1
    await stage.add_account(await stage.add_organization("Sunset"), "ozon", number=2)
    assert samples(await Vitals(resources).metrics())["collector_accounts", "ozon", "active"] == 1
    await resources.redis.flushdb()
    assert samples(await Vitals(resources).metrics())["collector_accounts", "ozon", "active"] == 2
    await resources.redis.set("collector:figures", b'[{"name": "of another release", "labels": ["x"], "value": 1}]')
    assert samples(await Vitals(resources).metrics())["collector_database_up",] == 1


async def test_without_postgresql_it_is_not_ready_and_a_scrape_says_so(database: Database, vitals: Vitals) -> None:
    assert told(await vitals.readiness()) == {
        "ready": True,
        "reasons": [],
        "pool": {"most": 10, "in_use": 0, "idle": 1},
    }
    async with replace(database, name="postgres").connect("postgres") as postgres:
        await postgres.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name
        )
    reply = await vitals.readiness()
    assert reply.status == 503
    assert told(reply)["reasons"][0].startswith("PostgreSQL does not answer")
    found = samples(await vitals.metrics())
    assert found["collector_database_up",] == 0
    assert found["collector_redis_up",] == 1
    assert ("collector_partitions_ahead_months",) not in found, "what is not known is not shown as 0"
    assert (await vitals.health()).status == 200


async def test_without_redis_it_is_not_ready_and_the_figures_of_postgresql_are_there(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.vitals._ANSWERS_WITHIN", timedelta(seconds=0.3))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = make_redis(RedisAddress(host="127.0.0.1", port=unused.getsockname()[1]))
    vitals = Vitals(replace(resources, redis=nowhere))
    reply = await vitals.readiness()
    assert reply.status == 503
    assert [reason.partition(" ")[0] for reason in told(reply)["reasons"]] == ["it", "Redis"]
    found = samples(await vitals.metrics())
    assert (found["collector_database_up",], found["collector_redis_up",]) == (1, 0)
    assert found["collector_partitions_ahead_months",] >= 1


async def test_it_is_not_ready_on_another_schema_without_next_month_or_when_it_stops(
    database: Database, vitals: Vitals
) -> None:
    assert vitals.worker is not None
    vitals.worker.stopping.set()
    async with database.connect("postgres") as postgres:
        for table in ("raw.payload", "collect.walk", "collect.run"):
            for month in await postgres.fetch(
                "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::text::regclass", table
            ):
                await postgres.execute(f"ALTER TABLE {table} DETACH PARTITION {month['name']}")
        reasons = told(await vitals.readiness())["reasons"]
        assert reasons == ["it was told to stop", "next month has no partitions: run `collector partitions ensure`"]
        await postgres.execute("UPDATE meta.alembic_version SET version_num = '0001'")
        assert "run `collector migrate`" in told(await vitals.readiness())["reasons"][1]


async def test_a_loop_that_does_not_turn_is_not_healthy(vitals: Vitals) -> None:
    assert vitals.worker is not None
    assert told(await vitals.health())["alive"]
    vitals.worker.turned_at = time.monotonic() - 31
    assert (await vitals.health()).status == 503
    feeling = asyncio.create_task(vitals.feel_the_loop())
    await asyncio.sleep(0)
    time.sleep(0.7)  # noqa: ASYNC251 - somebody holds the loop: that is what is measured
    await asyncio.sleep(0.01)
    feeling.cancel()
    found = samples(await vitals.metrics())
    assert found["collector_loop_lag_seconds",] >= 0.2
    assert found["collector_loop_turn_age_seconds",] >= 31


async def test_a_worker_answers_on_its_port_until_it_stops(stage: Stage) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    def get(page: str) -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except URLError:
            return 0

    async def ready() -> bool:
        return await asyncio.to_thread(get, "/readyz") == 200

    async with worker(stage, COLLECTOR_HTTP_ADDRESS=str(port)) as process:
        await until(ready, process=process)
        assert await asyncio.to_thread(get, "/healthz") == 200
        assert await asyncio.to_thread(get, "/metrics") == 200
        assert await _is_alive(COLLECTOR_HTTP_ADDRESS=f"0.0.0.0:{port}")
        taken = stage.settings.model_copy(update={"http_address": HttpAddress("127.0.0.1", port)})
        with pytest.raises(CannotStart, match=rf"^the HTTP port 127\.0\.0\.1:{port} cannot be opened "):
            await run_worker(taken)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert await asyncio.to_thread(get, "/healthz") == 0
    assert not await _is_alive(COLLECTOR_HTTP_ADDRESS=str(port))


async def _is_alive(**environment: str) -> bool:
    """Ask as the image's health check does."""
    check = await asyncio.create_subprocess_exec(sys.executable, "-m", "worker.alive", env=environment, stderr=DEVNULL)
    return await check.wait() == 0

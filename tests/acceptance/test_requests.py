"""Asking by hand or from another service: three ways in, one row; and every way of asking wrongly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from arq import create_pool
from arq.connections import RedisSettings

from collectors.registry import Unknown
from collectors.stream import Window
from tests.oracle import assert_whole
from tests.stage import Account, Stage, run_all
from worker import functions
from worker.client import Client, parse_window
from worker.db.requests import RequestId, RequestRefusedByUs
from worker.jobs import collect_slice
from worker.queue import QUEUE
from worker.resources import Resources
from worker.runtime import CollectorWorker, worker_options
from worker.settings import redis_parts

NOW = datetime.now(UTC)


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


@pytest.fixture
async def resources(stage: Stage, ozon: Account) -> AsyncIterator[Resources]:
    del ozon  # it must be there first
    async with stage.resources() as opened:
        yield opened


async def test_a_request_is_a_row_for_each_slice_and_is_done_when_its_run_is(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    asked = await stage.client(resources).request(ozon.organization_id, ozon.id, "products", asked_by="a test")
    rows = await stage.rows("SELECT id, slice, done_at, asked_by FROM collect.request ORDER BY slice")
    assert [(row["id"], row["slice"], row["done_at"], row["asked_by"]) for row in rows] == [
        (asked[0], "ALL", None, "a test"),
        (asked[1], "ARCHIVED", None, "a test"),
    ]
    await run_all(resources, ozon, "products")
    outcomes = await stage.rows("SELECT outcome, done_at FROM collect.request")
    assert [row["outcome"] for row in outcomes] == ["collected", "collected"]


async def test_a_window_of_the_past_is_backfilled_beside_live_collection(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    window = Window(NOW - timedelta(days=80), NOW - timedelta(days=75))
    await stage.client(resources).request(
        ozon.organization_id, ozon.id, "fbs_postings", window=window, asked_by="a test"
    )
    await collect_slice(resources, ozon.key("fbs_postings", lane="backfill"), stopping=lambda: False)
    request = (await stage.rows("SELECT outcome, collected, time_window FROM collect.request"))[0]
    assert request["outcome"] == "collected"
    assert await stage.value("SELECT bool_and(collected @> time_window) FROM collect.request")
    assert await stage.value("SELECT bool_and(lane = 'backfill') FROM raw.page")
    await run_all(resources, ozon, "fbs_postings")
    await assert_whole(stage, ozon, ["fbs_postings"])


async def test_a_backfill_of_a_watermark_stream_is_a_walk_that_ends_with_its_window(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        window = Window(NOW - timedelta(days=20), NOW - timedelta(days=10))
        await stage.client(resources).request(
            account.organization_id, account.id, "orders", window=window, asked_by="a test"
        )
        await collect_slice(resources, account.key("orders", lane="backfill"), stopping=lambda: False)
    assert await stage.value("SELECT outcome FROM collect.request") == "collected"
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 1
    changed = "(payload -> -1 ->> 'lastChangeDate')::timestamp AT TIME ZONE 'Europe/Moscow'"
    assert await stage.value(f"SELECT max({changed}) FROM raw.page") >= window.end


async def test_a_request_made_while_the_slice_runs_is_served_by_the_next_run(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    client = stage.client(resources)
    asking: list[asyncio.Task[list[RequestId]]] = []

    def ask_in_mid_run() -> bool:
        if not asking:
            request = client.request(ozon.organization_id, ozon.id, "fbs_postings", asked_by="in mid-run")
            asking.append(asyncio.create_task(request))
        return False

    await collect_slice(resources, ozon.key("fbs_postings"), stopping=ask_in_mid_run)
    await asking[0]
    assert await stage.value("SELECT count(*) FROM collect.request WHERE done_at IS NULL") == 1
    assert await stage.value("SELECT next_due_at <= now() FROM collect.stream_state WHERE stream = 'fbs_postings'")
    await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: False)
    assert await stage.value("SELECT outcome FROM collect.request") == "collected"


async def test_a_plain_arq_client_ends_in_a_row_too(stage: Stage, ozon: Account, resources: Resources) -> None:
    """The client has only arq and JSON: neither our code nor our serializer."""
    url = stage.settings.redis_url
    assert url is not None
    address = redis_parts(url.get_secret_value())
    pool = await create_pool(
        RedisSettings(host=address.host, port=address.port, database=address.database, password=address.password),
        job_serializer=lambda job: json.dumps(job, default=repr).encode(),
        job_deserializer=json.loads,
        default_queue_name=QUEUE,
    )
    account = str(ozon.organization_id), str(ozon.id)
    await pool.enqueue_job("request_collection", *account, "products")
    since, until = (NOW - timedelta(days=70)).date(), (NOW - timedelta(days=69)).date()
    await pool.enqueue_job("request_collection", *account, "fbs_postings", since.isoformat(), until.isoformat())
    await pool.enqueue_job("request_collection", *account, "no_such_stream")
    await pool.aclose(close_connection_pool=True)
    worker = CollectorWorker(
        **worker_options(
            redis=resources.redis, functions=functions.FUNCTIONS, burst=True, handle_signals=False, max_jobs=3
        )
    )
    worker.ctx.update(resources=resources, stopping=lambda: True)
    await worker.async_run()
    await worker.close()
    rows = await stage.rows(
        "SELECT stream, slice, asked_by, lower(time_window) IS NOT NULL AS windowed FROM collect.request"
        " ORDER BY stream, slice"
    )
    assert [tuple(row) for row in rows] == [
        ("fbs_postings", "", "arq", True),
        ("products", "ALL", "arq", False),
        ("products", "ARCHIVED", "arq", False),
    ]


def windows() -> list[object]:
    day = timedelta(days=1)
    return [
        pytest.param("fbs_postings", NOW, NOW - day, "before it begins", id="reversed"),
        pytest.param("fbs_postings", NOW - day, NOW + day, "in the future", id="in the future"),
        pytest.param("products", NOW - day, NOW - day / 2, "a snapshot", id="of a snapshot"),
        pytest.param("accruals_by_day", NOW - day / 1000, NOW, "yet", id="nothing to tell yet"),
    ]


@pytest.mark.parametrize(("stream", "since", "until", "words"), windows())
async def test_a_window_that_cannot_be_is_refused_and_nothing_is_written(
    stage: Stage, ozon: Account, resources: Resources, stream: str, since: datetime, until: datetime, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        await stage.client(resources).request(
            ozon.organization_id, ozon.id, stream, window=Window(since, until), asked_by="a test"
        )
    await _nothing_is_written(stage)


async def test_a_window_longer_than_the_stream_allows_is_refused(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    async with stage.resources() as resources:
        with pytest.raises(ValueError, match="keeps 31 days"):
            await stage.client(resources).request(
                account.organization_id,
                account.id,
                "order_feed",
                window=Window(NOW - timedelta(days=40), NOW - timedelta(minutes=10)),
                asked_by="a test",
            )
    await _nothing_is_written(stage)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [(None, "2026-01-01", "--from"), ("yesterday", None, "--from is not a time"), ("2026-01-01", "x", "--to is not")],
)
def test_times_that_cannot_be_read_are_refused(since: str | None, until: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_window(since, until, NOW)


async def test_an_unknown_stream_is_refused_with_those_there_are(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    with pytest.raises(Unknown, match="ozon has no stream 'orders': there are products"):
        await stage.client(resources).request(ozon.organization_id, ozon.id, "orders", asked_by="a test")
    await _nothing_is_written(stage)


async def test_an_unknown_account_and_one_of_another_organization_look_the_same(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    other = await stage.add_organization("Northern")
    client = stage.client(resources)
    for organization, account in ((ozon.organization_id, uuid4()), (other, ozon.id)):
        with pytest.raises(RequestRefusedByUs, match=f"account {account} does not exist in organization"):
            await client.request(organization, account, "products", asked_by="a test")
    await _nothing_is_written(stage)


@pytest.mark.parametrize("wrong", ["", "1", "' OR true --"])
async def test_an_id_that_is_not_a_uuid_is_refused(
    stage: Stage, ozon: Account, resources: Resources, wrong: str
) -> None:
    client = stage.client(resources)
    with pytest.raises(ValueError, match="not a UUID"):
        await client.request(wrong, ozon.id, "products", asked_by="a test")
    with pytest.raises(ValueError, match="not a UUID"):
        await client.request(ozon.organization_id, wrong, "products", asked_by="a test")
    await _nothing_is_written(stage)


async def test_an_unknown_slice_is_refused_and_so_are_slices_that_were_never_listed(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "yandex_market")
    async with stage.resources() as resources:
        client = stage.client(resources)
        with pytest.raises(RequestRefusedByUs, match="no slices yet"):
            await client.request(account.organization_id, account.id, "orders_stats", asked_by="a test")
        await run_all(resources, account, "campaigns")
        with pytest.raises(RequestRefusedByUs, match="no slice '0'"):
            await client.request(account.organization_id, account.id, "orders_stats", slice="0", asked_by="a test")
        await client.request(account.organization_id, account.id, "orders_stats", asked_by="a test")
    assert await stage.value("SELECT count(*) FROM collect.request") == 3


async def test_a_paused_account_is_refused_with_its_reason(stage: Stage, ozon: Account, resources: Resources) -> None:
    async with stage.database.connect("collector_admin") as admin:
        await admin.execute(
            "UPDATE core.marketplace_account SET status = 'paused', status_reason = 'the key has expired'"
        )
    with pytest.raises(RequestRefusedByUs, match="is paused: the key has expired"):
        await stage.client(resources).request(ozon.organization_id, ozon.id, "products", asked_by="a test")
    await _nothing_is_written(stage)


@pytest.mark.parametrize("reference", ["env:COLLECTOR_NO_SUCH_VARIABLE", "file:/no/such/file"])
async def test_a_secret_that_cannot_be_resolved_puts_the_slice_off_and_sends_nothing(
    stage: Stage, ozon: Account, resources: Resources, tmp_path: Path, reference: str
) -> None:
    del tmp_path
    async with stage.database.connect("collector_admin") as admin:
        await admin.execute("UPDATE core.marketplace_account SET secret_ref = $1", reference)
    await run_all(resources, ozon, "products")
    state = (
        await stage.rows(
            "SELECT attempts, position, not_before > now() AS waits, last_error FROM collect.stream_state"
            " WHERE stream = 'products' AND slice = 'ALL'"
        )
    )[0]
    assert (state["attempts"], state["position"], state["waits"]) == (0, None, True)
    assert reference in state["last_error"]
    assert not stage.box.requests()
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0


async def test_redis_being_away_does_not_keep_a_request_from_being_written(
    stage: Stage, ozon: Account, resources: Resources
) -> None:
    class Away:
        """Stands where Redis stood: whatever is asked of it, nobody is there."""

        def register_script(self, _: str) -> object:
            raise ConnectionRefusedError

    client = Client(resources.sessions, Away(), resources.streams)  # type: ignore[arg-type]  # nothing else is used
    await client.request(ozon.organization_id, ozon.id, "fbs_postings", asked_by="a test")
    assert await stage.value("SELECT count(*) FROM collect.request") == 1


async def _nothing_is_written(stage: Stage) -> None:
    assert await stage.value("SELECT count(*) FROM collect.request") == 0
    assert await stage.value("SELECT count(*) FROM collect.stream_state WHERE lane = 'backfill'") == 0

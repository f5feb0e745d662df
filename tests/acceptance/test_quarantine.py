"""Quarantine from the loop to the replay: what a refused answer stops, and how its slice goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from collectors.errors import Malformed
from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Request, Step, Stream, Walk
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage, hasty, run_all
from worker.cli.opening import as_admin
from worker.db.administration import NotPossible
from worker.db.quarantine import drop, find_quarantined, find_undecided, list_quarantine
from worker.jobs import collect_slice
from worker.replay import replay

NOWHERE = UUID("00000000-0000-7000-8000-000000000000")


def unable(stream: Stream, refuses: Callable[[int], bool]) -> Stream:
    """The stream as an older release had it, which could not read some of its answers; they are counted from 0."""
    answers = 0

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        async def reading(request: Request) -> Answer:
            nonlocal answers
            answer = await fetch(request)
            answers += 1
            if refuses(answers - 1):
                raise Malformed("the envelope moved", answer)
            return answer

        async with aclosing(stream.pages(reading, walk)) as steps:
            async for step in steps:
                yield step

    return dataclasses.replace(stream, pages=pages)


async def account_of(stage: Stage, marketplace: str) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), marketplace)


async def collect(stage: Stage, account: Account, stream: Stream, slice_name: str = "", *, times: int = 1) -> None:
    async with stage.resources(streams={account.marketplace: {stream.name: stream}}) as resources:
        for _ in range(times):
            await collect_slice(hasty(resources), account.key(stream.name, slice_name), stopping=lambda: False)
            await stage.pass_waits()


async def quarantined(stage: Stage) -> list[UUID]:
    return [row["id"] for row in await stage.rows("SELECT id FROM collect.quarantine ORDER BY at, id")]


async def replayed(stage: Stage, row: UUID, streams: Any = STREAMS) -> None:
    async with as_admin(stage.settings) as session:
        await replay(session, row, streams)


async def dropped(stage: Stage, row: UUID) -> None:
    async with as_admin(stage.settings) as session:
        await drop(session, [row])


async def state_of(stage: Stage, stream: str) -> dict[str, Any]:
    sql = "SELECT state, position::text, version, next_due_at <= now() AS due, attempts, lease_token, lease_until"
    return dict((await stage.rows(f"{sql} FROM collect.stream_state WHERE stream = $1", stream))[0])


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        pytest.param("wildberries/cards", 0, id="a watermark's first page"),
        pytest.param("wildberries/cards", 1, id="a watermark's last page, which is empty"),
        pytest.param("yandex_market/prices", 0, id="a snapshot's first page"),
        pytest.param("yandex_market/prices", 1, id="a snapshot's second page"),
        pytest.param("wildberries/fin_detail", 0, id="a window's first page"),
        pytest.param("wildberries/fin_detail", 1, id="a window's second page"),
    ],
)
async def test_what_a_newer_release_can_read_is_replayed_and_the_slice_goes_on_behind_it(
    stage: Stage, name: str, refused: int
) -> None:
    marketplace, stream = name.split("/")
    account = await account_of(stage, marketplace)
    declared = STREAMS[marketplace][stream]
    await collect(stage, account, unable(declared, lambda number: number >= refused), times=3)
    assert (await state_of(stage, stream))["state"] == "quarantined"
    before = stage.box.requests()[name]
    await replayed(stage, (await quarantined(stage))[0])
    state = await state_of(stage, stream)
    assert (state["state"], state["due"], state["attempts"], state["lease_token"]) == ("active", True, 0, None)
    assert stage.box.requests()[name] == before, "nothing was fetched"
    async with stage.resources() as resources:
        await run_all(resources, account, stream)
    await assert_whole(stage, account, [stream])
    await assert_honest(stage)
    async with stage.database.connect("collector_admin") as admin:
        changes = "SELECT count(*) FROM core.audit WHERE table_name = 'collect.quarantine'"
        assert await admin.fetchval(changes) == 1, "it is written down who did it"


async def test_every_refused_answer_of_a_run_is_kept_and_can_be_replayed_into_its_own_walk(stage: Stage) -> None:
    account = await account_of(stage, "ozon")
    declared = STREAMS["ozon"]["fbs_postings"]
    await collect(stage, account, unable(declared, lambda number: number in {3, 30}))
    rows = await quarantined(stage)
    assert len(rows) == 2
    pages = await stage.value("SELECT count(*) FROM raw.payload")
    for row in rows:
        await replayed(stage, row)
    assert await stage.value("SELECT count(*) FROM raw.payload") == pages + 2
    async with stage.resources() as resources:
        await run_all(resources, account, "fbs_postings")
    theirs = "SELECT count(*) FROM collect.walk w JOIN collect.quarantine q ON q.walk_id = w.id"
    assert await stage.value(f"{theirs} WHERE w.completed_at IS NOT NULL") == 2
    await assert_whole(stage, account, ["fbs_postings"])
    await assert_honest(stage)


async def test_an_answer_that_is_refused_again_changes_nothing(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    stage.box.fail("yandex_market", "prices", 200, count=9, body='{"result": {"things": []}}')
    await collect(stage, account, STREAMS["yandex_market"]["prices"], times=3)
    before = await state_of(stage, "prices")
    (row, *_) = await quarantined(stage)
    with pytest.raises(NotPossible, match=r"^it is refused again: the answer cannot be read: .*offers"):
        await replayed(stage, row)
    assert await state_of(stage, "prices") == before
    assert before["state"] == "quarantined"
    assert await stage.value("SELECT count(*) FROM collect.quarantine WHERE replayed_at IS NOT NULL") == 0
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0


async def test_an_answer_that_comes_again_is_counted_and_not_kept_again(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    declared = dataclasses.replace(STREAMS["yandex_market"]["prices"], walk_max_age=timedelta(0))

    async def answered(body: str) -> None:
        stage.box.fail("yandex_market", "prices", 200, body=body)
        await collect(stage, account, declared)

    await answered('{"result": {"things": []}}')
    (first,) = await stage.rows("SELECT id, at, walk_id FROM collect.quarantine")
    await answered('{"result": {"things": []}}')
    (again,) = await stage.rows("SELECT id, at, walk_id, times FROM collect.quarantine")
    assert (again["id"], again["times"]) == (first["id"], 2)
    assert again["at"] > first["at"]
    assert again["walk_id"] != first["walk_id"], "a replay goes by where the slice stood the last time"
    await answered('{"result": {"others": []}}')
    assert len(await quarantined(stage)) == 2, "another body is another answer"
    await dropped(stage, first["id"])
    await answered('{"result": {"things": []}}')
    rows = await stage.rows("SELECT times, dropped_at IS NULL AS waits FROM collect.quarantine")
    assert sorted((row["times"], row["waits"]) for row in rows) == [(1, True), (1, True), (2, False)]
    async with stage.database.connect("collector_admin") as admin:
        changes = "SELECT count(*) FROM core.audit WHERE table_name = 'collect.quarantine'"
        assert await admin.fetchval(changes) == 1, "what a worker counts is nobody's decision"


async def test_a_list_reads_no_body(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    stage.box.fail("yandex_market", "prices", 200, body=json.dumps({"result": os.urandom(50_000).hex()}))
    await collect(stage, account, STREAMS["yandex_market"]["prices"])
    of_bodies = text(
        "SELECT pg_stat_get_xact_blocks_fetched(reltoastrelid) FROM pg_class WHERE oid = 'collect.quarantine'::regclass"
    )
    async with as_admin(stage.settings) as session:
        rows, _ = await list_quarantine(session, organization_id=None, account_id=None, dealt_with=False, limit=9)
        assert [row["size"] for row in rows] == [100_014]
        assert (await session.execute(of_bodies)).scalar_one() == 0
        await find_quarantined(session, rows[0]["id"])
        assert (await session.execute(of_bodies)).scalar_one() > 0


async def test_an_answer_that_an_administrator_has_in_hand_keeps_no_worker_waiting(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    broken = unable(STREAMS["yandex_market"]["prices"], lambda _: True)
    await collect(stage, account, broken)
    async with as_admin(stage.settings) as session, asyncio.timeout(5):
        await find_undecided(session, (await quarantined(stage))[0])
        await collect(stage, account, broken)
    assert len(await quarantined(stage)) == 2


async def test_what_is_dropped_is_asked_for_again(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    declared = STREAMS["yandex_market"]["prices"]
    await collect(stage, account, unable(declared, lambda number: number >= 1), times=3)
    (row, *_) = await quarantined(stage)
    await dropped(stage, row)
    assert (await state_of(stage, "prices"))["state"] == "active"
    before = stage.box.requests()["yandex_market/prices"]
    await collect(stage, account, declared)
    assert stage.box.requests()["yandex_market/prices"] > before
    await assert_whole(stage, account, ["prices"])
    for again in (replayed, dropped):
        with pytest.raises(NotPossible, match=r"^this answer was dropped already"):
            await again(stage, row)
        with pytest.raises(NotPossible, match=f"^nothing in quarantine has the id {NOWHERE}"):
            await again(stage, NOWHERE)


async def test_a_slice_that_has_gone_on_takes_no_old_answer(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    declared = STREAMS["yandex_market"]["prices"]
    await collect(stage, account, unable(declared, lambda number: number == 0))
    (first,) = await quarantined(stage)
    await collect(stage, account, declared)
    with pytest.raises(NotPossible, match=r"^yandex_market/prices was read again since"):
        await replayed(stage, first)
    await stage.make_due()
    await collect(stage, account, unable(declared, lambda number: number == 1))
    second = (await quarantined(stage))[1]
    await collect(stage, account, declared)
    with pytest.raises(NotPossible, match="no longer stands where it asked"):
        await replayed(stage, second)
    await assert_whole(stage, account, ["prices"])


async def test_a_replay_waits_for_the_worker_that_is_at_it(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    await collect(stage, account, unable(STREAMS["yandex_market"]["prices"], lambda number: number >= 1))
    (row,) = await quarantined(stage)
    await stage.change("UPDATE collect.stream_state SET lease_until = now() + interval '1 minute'")
    with pytest.raises(NotPossible, match="is being collected"):
        await replayed(stage, row)


async def test_an_answer_from_which_keys_were_taken_is_not_stored_as_if_it_were_whole(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    key = stage.box.credentials("yandex_market", account.seller)
    stage.box.fail("yandex_market", "prices", 200, body=json.dumps({"offers": [], "key": key}))
    await collect(stage, account, STREAMS["yandex_market"]["prices"])
    (row,) = await quarantined(stage)
    assert key.encode() not in await stage.value("SELECT body FROM collect.quarantine")
    with pytest.raises(NotPossible, match="held the account's keys"):
        await replayed(stage, row)


async def test_an_answer_that_an_earlier_release_set_aside_is_not_said_to_have_held_keys(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    await collect(stage, account, unable(STREAMS["yandex_market"]["prices"], lambda _: True))
    (row,) = await quarantined(stage)
    await stage.change("UPDATE collect.quarantine SET sha256 = NULL, position = NULL")
    with pytest.raises(NotPossible, match=r"^an earlier release set this answer aside, and did not note"):
        await replayed(stage, row)


async def test_an_answer_that_says_that_it_is_another_sellers_is_not_replayed(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    await collect(stage, account, unable(STREAMS["yandex_market"]["campaigns"], lambda _: True))
    (row,) = await quarantined(stage)
    await stage.change("UPDATE core.marketplace_account SET external_id = '4711'")
    with pytest.raises(NotPossible, match="another seller"):
        await replayed(stage, row)
    assert await stage.value("SELECT count(*) FROM raw.payload") == 0


async def test_a_walk_that_is_too_old_is_not_gone_on_with(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    declared = STREAMS["yandex_market"]["prices"]
    await collect(stage, account, unable(declared, lambda number: number >= 1))
    (row,) = await quarantined(stage)
    short = dataclasses.replace(declared, walk_max_age=timedelta(0))
    with pytest.raises(NotPossible, match=r"^its walk began at .*, too long ago"):
        await replayed(stage, row, {"yandex_market": {"prices": short}})


async def test_a_stream_that_asks_otherwise_by_now_takes_no_old_answer(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    declared = STREAMS["yandex_market"]["prices"]
    await collect(stage, account, unable(declared, lambda number: number >= 1))
    (row,) = await quarantined(stage)
    other = dataclasses.replace(declared, pages=STREAMS["yandex_market"]["campaigns"].pages)
    with pytest.raises(NotPossible, match="asks for something else"):
        await replayed(stage, row, {"yandex_market": {"prices": other}})
    with pytest.raises(NotPossible, match="not collected by this release"):
        await replayed(stage, row, {"yandex_market": {}})


async def test_an_offset_stream_goes_on_behind_a_refused_page_and_shows_nothing_of_that_walk(stage: Stage) -> None:
    account = await account_of(stage, "wildberries")
    declared = STREAMS["wildberries"]["prices"]
    await collect(stage, account, unable(declared, lambda number: number == 2))
    (walk,) = await stage.rows("SELECT completed_at, pages FROM collect.walk")
    (kept,) = await stage.rows("SELECT page_number, reason, replayed_at FROM collect.quarantine")
    assert (walk["completed_at"], kept["page_number"]) == (None, 2)
    stored = [row["page_number"] for row in await stage.rows("SELECT page_number FROM raw.payload ORDER BY 1")]
    assert stored == [number for number in range(walk["pages"]) if number != 2], "its neighbours are all there"
    assert await stage.value("SELECT count(*) FROM raw.page") == 0
    run = (await stage.rows("SELECT outcome, error FROM collect.run"))[0]
    assert (run["outcome"], run["error"]) == ("quarantined", "the envelope moved")
    await collect(stage, account, declared)
    await assert_whole(stage, account, ["prices"])


async def test_a_page_that_is_always_refused_does_not_keep_its_neighbours_from_being_read_when_they_are_due(
    stage: Stage,
) -> None:
    account = await account_of(stage, "wildberries")
    async with stage.resources() as resources:
        await run_all(resources, account, "prices")
    in_all = stage.box.requests()["wildberries/prices"]
    await stage.make_due()
    broken = unable(STREAMS["wildberries"]["prices"], lambda number: number % in_all == 2)
    await collect(stage, account, broken, times=2)
    assert (await state_of(stage, "prices"))["due"], "it may have been a moment's"
    await collect(stage, account, broken)
    state = await state_of(stage, "prices")
    assert (state["state"], state["due"]) == ("active", False), "the next time is the regular one"
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NULL") == 3
    assert await stage.value("SELECT array_agg(times) FROM collect.quarantine") == [3]


async def test_pages_that_an_earlier_run_skipped_are_not_forgotten_by_the_one_that_ends_the_walk(stage: Stage) -> None:
    account = await account_of(stage, "wildberries")
    broken = unable(STREAMS["wildberries"]["prices"], lambda number: number == 1)
    async with stage.resources(streams={"wildberries": {"prices": broken}}) as resources:
        for _ in range(2):
            await collect_slice(resources, account.key("prices"), stopping=lambda: True)
            await stage.pass_waits()
        await collect_slice(resources, account.key("prices"), stopping=lambda: False)
    errors = [row["error"] for row in await stage.rows("SELECT error FROM collect.run ORDER BY started_at")]
    assert errors == [None, "the envelope moved", "the walk lacks 1 pages that were refused"]
    assert len(await quarantined(stage)) == 1
    assert await stage.value("SELECT count(*) FROM collect.walk WHERE completed_at IS NOT NULL") == 0


async def test_two_refused_pages_in_a_row_stop_an_offset_stream(stage: Stage) -> None:
    account = await account_of(stage, "wildberries")
    await collect(stage, account, unable(STREAMS["wildberries"]["prices"], lambda number: number >= 2), times=3)
    assert (await state_of(stage, "prices"))["state"] == "quarantined"
    assert await stage.value("SELECT count(*) FROM raw.payload") == 2
    assert stage.box.requests()["wildberries/prices"] == 6, "four, and then one a run"
    assert await stage.value("SELECT array_agg(times ORDER BY times) FROM collect.quarantine") == [1, 3]


async def test_a_person_replays_from_the_command_line(stage: Stage) -> None:
    account = await account_of(stage, "yandex_market")
    await collect(stage, account, unable(STREAMS["yandex_market"]["prices"], lambda _: True), times=3)
    (row, *_) = await quarantined(stage)

    async def collector(*words: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker.cli", "quarantine", *words,
            env=stage.environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    code, out, _ = await collector("replay", str(row))
    assert (code, out) == (0, "It is kept: yandex_market/prices goes on behind it.\n")
    code, out, err = await collector("replay", str(row))
    assert (code, out) == (1, "")
    assert err.startswith("collector: this answer was replayed already")
    assert err.count("\n") == 1

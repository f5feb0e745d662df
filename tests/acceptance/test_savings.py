"""What `collector status` knows of runs besides their outcome: what they saved, and that rows moved under them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from collectors.registry import STREAMS
from collectors.stream import Answer, Fetch, Request, Step, Stream, Walk
from tests.stage import Account, Stage
from worker.cli.status import Wanted, read, saved_of
from worker.cli.viewing import viewing
from worker.db.standing import MOST_SUMMED, SLICES
from worker.jobs import collect_slice

PRICES = STREAMS["wildberries"]["prices"]

_MORE_SLICES = """
INSERT INTO collect.stream_state
    (organization_id, marketplace_account_id, marketplace, stream, slice, lane, "interval")
SELECT organization_id, id, marketplace, 'more', n::text, 'live', '1 hour'
FROM core.marketplace_account, generate_series(1, $1) n
"""
_RUNS_OF_EACH = """
INSERT INTO collect.run (id, organization_id, marketplace_account_id, marketplace, stream, slice, lane, started_at,
    finished_at, outcome, worker, pages)
SELECT uuidv7(), organization_id, marketplace_account_id, marketplace, stream, slice, lane,
    now() - interval '1 minute' * n, now(), 'done', 'w', 1
FROM collect.stream_state, generate_series(1, $1) n WHERE stream = 'more'
"""


async def row_of(stage: Stage, account: Account, stream: Stream) -> dict[str, Any]:
    """Collect a stream of no slices, and return what is said of it then."""
    async with stage.resources(streams={account.marketplace: {stream.name: stream}}) as resources:
        await stage.make_due()
        await collect_slice(resources, account.key(stream.name), stopping=lambda: False)
    async with viewing(stage.settings) as view:
        _, rows = await read(view, Wanted(by="slice", whole=True))
    return next(row for row in rows if row["stream"] == stream.name)


async def test_it_says_how_much_was_as_before_and_not_stored_again(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")
    first = await row_of(stage, account, PRICES)
    assert (first["pages_same"], first["bytes_same"], saved_of([first])) == (0, 0, "")
    row = await row_of(stage, account, PRICES)
    pages, octets = (await stage.rows("SELECT count(payload), sum(octet_length(payload::text)) FROM raw.payload"))[0]
    assert (row["pages"], row["pages_same"]) == (2 * pages, pages)
    assert (row["bytes"], row["bytes_same"]) == (2 * octets, octets)
    assert saved_of([row, row]).endswith(" (50%)")


async def test_rows_that_moved_from_page_to_page_are_told_of_until_a_walk_had_none(stage: Stage) -> None:
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries")

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        last: list[Any] = []

        async def asking(request: Request) -> Answer:
            """A good comes in while the first page is read, and pushes the last of that one onto the second."""
            answer = await fetch(request)
            found = json.loads(answer.body)
            goods = found["data"]["listGoods"]
            if request.query["offset"] == 7:
                goods[:1] = last
            last[:] = goods[-1:]
            return dataclasses.replace(answer, body=json.dumps(found).encode())

        async with aclosing(PRICES.pages(asking, walk)) as steps:
            async for step in steps:
                yield step

    row = await row_of(stage, account, dataclasses.replace(PRICES, pages=pages))
    assert row["state"] == "active"
    assert row["last_error"].startswith("rows moved from page to page in 1 walks")
    assert await stage.value("SELECT array_agg(total_changed) FROM collect.walk") == [True]
    assert await stage.value("SELECT outcome || ': ' || error FROM collect.run") == f"done: {row['last_error']}"
    assert (await row_of(stage, account, PRICES))["last_error"] is None


async def test_what_was_saved_is_added_up_in_one_pass_however_many_slices_are_shown(stage: Stage) -> None:
    """Slice by slice, twenty thousand of them took longer than a statement may."""
    account = await stage.add_account(await stage.add_organization("Sunrise"), "wildberries", streams=["prices"])
    async with stage.resources():
        await stage.change(_MORE_SLICES, 300)
    async with stage.database.connect("postgres") as superuser:
        await superuser.execute(_RUNS_OF_EACH, 5)
    now = datetime.now(UTC)
    values: dict[str, Any] = dict.fromkeys(("accounts", "marketplace", "stream", "conditions", "limit"))
    values |= {"runs_since": now - timedelta(32), "saved_since": now - timedelta(7), "runs_until": now + timedelta(1)}
    async with viewing(stage.settings) as view:
        (plan,) = await view.rows(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {SLICES.text}"), values)
        rows = await view.rows(SLICES, values)
    assert [row["pages"] for row in rows if row["stream"] == "more"] == [5] * 300
    assert {row["marketplace_account_id"] for row in rows} == {account.id}
    assert max(loops_of_sums(json.loads(plan["QUERY PLAN"])[0]["Plan"])) == 1
    await stage.change("DELETE FROM collect.stream_state WHERE stream = 'more'")
    await stage.change(_MORE_SLICES, MOST_SUMMED)
    async with viewing(stage.settings) as view:
        rows = await view.rows(SLICES, values)
    assert len(rows) == MOST_SUMMED + 1
    assert {row["pages"] for row in rows} == {None}, "so many are not summed"


def loops_of_sums(node: dict[str, Any]) -> Iterator[int]:
    """Give how often each aggregation below this node of a plan was made."""
    if node["Node Type"] == "Aggregate":
        yield node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from loops_of_sums(below)

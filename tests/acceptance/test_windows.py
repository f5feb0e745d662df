"""Windows read in parts, and which walks are superseded by which."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from collectors.errors import SplitWindow
from collectors.registry import STREAMS
from collectors.stream import Fetch, Page, Step, Walk, Windows
from tests.oracle import assert_honest, assert_whole
from tests.stage import Account, Stage
from worker.db.position import OpenWalk
from worker.db.progress import keep_walk
from worker.db.superseding import supersede
from worker.db.tenancy import tenant_driver
from worker.jobs import collect_slice
from worker.resources import Resources

NOW = datetime.now(UTC)


@pytest.fixture
async def ozon(stage: Stage) -> Account:
    return await stage.add_account(await stage.add_organization("Sunrise"), "ozon")


async def test_a_window_that_is_too_large_is_read_in_parts_however_often_the_run_ends(
    stage: Stage, ozon: Account
) -> None:
    """A run ends after each page, as one does that has to wait for its limit."""
    postings = STREAMS["ozon"]["fbs_postings"]

    async def pages(fetch: Fetch, walk: Walk) -> AsyncGenerator[Step, None]:
        is_large = walk.span.end - walk.span.start > timedelta(hours=7)
        if is_large and walk.cursor:
            raise SplitWindow("too large")
        async for step in postings.pages(fetch, walk):
            assert isinstance(step, Page)
            yield dataclasses.replace(step, last=step.last and not is_large)
            if is_large:
                raise SplitWindow("too large")

    assert isinstance(postings.progress, Windows)
    progress = dataclasses.replace(postings.progress, since=timedelta(days=1))
    large = dataclasses.replace(postings, pages=pages, progress=progress)
    async with stage.resources(streams={"ozon": {"fbs_postings": large}}) as resources:
        for _ in range(60):
            await collect_slice(resources, ozon.key("fbs_postings"), stopping=lambda: True)
    assert await stage.value("SELECT last_success_at IS NOT NULL FROM collect.stream_state"), "it never came to an end"
    await assert_whole(stage, ozon, ["fbs_postings"])
    await assert_honest(stage)


async def _complete(account: Account, resources: Resources, *walks: tuple[str, int, int, int]) -> None:
    """Complete walks: lane, the minute it began at, and the hours of its window."""
    async with tenant_driver(resources.sessions, account.organization_id) as driver:
        for number, (lane, began, since, until) in enumerate(walks):
            walk = OpenWalk(
                id=uuid4(),
                started_at=NOW - timedelta(hours=1) + timedelta(minutes=began),
                window=(_DAY + timedelta(hours=since), _DAY + timedelta(hours=until)),
                pages=number,
            )
            await keep_walk(driver, account.key("fbs_postings", lane=lane), walk, complete=True)
            await supersede(driver, account.key("fbs_postings", lane=lane), walk, settled=False, current_since=None)


_DAY = (NOW - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("walks", "current"),
    [
        pytest.param([("live", 0, 0, 10), ("live", 1, 0, 24)], [1], id="a longer one"),
        pytest.param([("live", 0, 0, 10), ("live", 1, 0, 5)], [0, 1], id="a part only"),
        pytest.param([("live", 0, 0, 10), ("live", 1, 0, 5), ("live", 2, 5, 12)], [1, 2], id="all parts together"),
        pytest.param([("live", 5, 0, 24), ("backfill", 1, 0, 24)], [0], id="one begun earlier and completed later"),
    ],
)
async def test_a_walk_is_superseded_by_those_that_read_all_of_it_later(
    stage: Stage, ozon: Account, walks: list[tuple[str, int, int, int]], current: list[int]
) -> None:
    async with stage.resources() as resources:
        await _complete(ozon, resources, *walks)
    rows = await stage.rows("SELECT pages FROM collect.walk WHERE superseded_at IS NULL ORDER BY pages")
    assert [row["pages"] for row in rows] == current

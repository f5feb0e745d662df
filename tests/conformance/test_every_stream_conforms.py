"""The kit for tests of streams, held against every stream in the sandbox."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from collectors.registry import STREAMS
from collectors.stream import Stream, Walk
from collectors.testing import assert_stream_conforms
from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.unit.collectors.test_streams_against_the_sandbox import CASES, EPOCH, HISTORY, NOON, VOLUMES, walks_of
from tests.unit.collectors.walking import Seller
from worker.walks import halves

ALL = [
    pytest.param(stream, id=f"{marketplace}/{name}")
    for marketplace, streams in STREAMS.items()
    for name, stream in streams.items()
]
FEW_PAGES = 4
MANY_PAGES = 2 * FEW_PAGES
# Of these a window does not hold what its parts hold.
NOT_ADDING_UP = {
    "ozon/realization": "whole months only",
    "ozon/realization_posting": "whole months only",
    "wildberries/adv_stats": "its records sum up the window",
    "wildberries/adv_clusters": "its records sum up the window",
    "yandex_market/quality": "its records sum up the window",
}


@pytest.fixture(scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """A clock that stands still, small pages, no limits."""
    play = Play(epoch=EPOCH, history_days=HISTORY, volumes=VOLUMES)
    pages = {name: 2 * case.page for name, case in CASES.items() if case.page is not None}
    home = tmp_path_factory.mktemp("box")
    async with Sandbox(home, clock=Clock.frozen(NOON), page_limits=pages, rate_scale=math.inf, play=play) as sandbox:
        yield sandbox


@pytest.mark.parametrize("stream", ALL)
async def test_a_stream_does_what_the_worker_relies_on(box: Sandbox, stream: Stream) -> None:
    async with AsyncClient(verify=box.authority.client_context(), trust_env=False) as client:
        seller = Seller(box, client, stream)
        walk = await walk_of_few_pages(seller)
        adds_up = f"{stream.marketplace.name}/{stream.name}" not in NOT_ADDING_UP
        await assert_stream_conforms(stream, seller, walk=walk, adds_up=adds_up)


async def walk_of_few_pages(seller: Seller) -> Walk:
    """Return a walk that holds something, of about as many pages as show how it goes on."""
    walks = [(walk, await seller.pages(walk)) for walk in await walks_of(seller)]
    held = [(walk, len(pages)) for walk, pages in walks if any(page.worth_storing for page in pages)]
    walk, pages = min(held, key=lambda found: abs(found[1] - FEW_PAGES))
    while walk.window is not None and pages > MANY_PAGES:
        walk = replace(walk, window=halves(seller.stream, walk.window)[1])
        pages = len(await seller.pages(walk))
    return walk

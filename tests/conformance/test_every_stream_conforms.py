"""The kit for tests of streams, held against every stream in the sandbox."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from collectors.registry import STREAMS
from collectors.stream import Stream
from collectors.testing import assert_stream_conforms
from sandbox.clock import Clock
from sandbox.server import Play, Sandbox
from tests.unit.collectors.test_streams_against_the_sandbox import CASES, EPOCH, HISTORY, NOON, VOLUMES, slices_of
from tests.unit.collectors.walking import Seller

ALL = [
    pytest.param(stream, id=f"{marketplace}/{name}")
    for marketplace, streams in STREAMS.items()
    for name, stream in streams.items()
]
FEW_PAGES = 4


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
        walks = seller.walks(await slices_of(seller))
        far = [abs(len(await seller.pages(walk)) - FEW_PAGES) for walk in walks]
        await assert_stream_conforms(stream, seller, walk=walks[far.index(min(far))])

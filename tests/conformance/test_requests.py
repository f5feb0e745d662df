"""Every request of every stream is valid by the vendor's own documents, whose examples answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from collectors.errors import Malformed, NoProgress, NotReady
from collectors.login import ACCESS_TOKEN
from collectors.refusals import judge_status
from collectors.registry import STREAMS
from collectors.stream import Answer, ListedBy, Page, Request, Stream, Walk, Windows
from collectors.windows import cell
from tests.conformance.documents import SPECS, documented_answer, operations
from tests.unit.collectors.scripted import NOW

ALL = [
    pytest.param(stream, id=f"{marketplace}/{name}")
    for marketplace, streams in STREAMS.items()
    for name, stream in streams.items()
]
MOST_PAGES = 3
# Stream → what a document holds against its requests, and why it is not right about that.
DISPUTED: Mapping[str, Mapping[str, str]] = {}

pytestmark = pytest.mark.skipif(not SPECS.is_dir(), reason="the vendors' documents are not beside this checkout")


@dataclass
class Vendor:
    """Answers a stream with the documented examples, and notes what the documents hold against its requests."""

    stream: Stream
    of_schema: bool = False  # answers made of the documented schema instead
    asked: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        if not request.signed:  # a link to a file: no document has it
            return answered(request, b"a file", judge_status)
        marketplace = self.stream.marketplace
        headers = marketplace.sign(dict.fromkeys((*marketplace.secret_fields, ACCESS_TOKEN), "1"), request)
        found, missing = operations(marketplace.name, request)
        self.faults += missing + [fault for operation in found for fault in operation.faults(request, headers)]
        body = documented_answer(marketplace.name, request, of_schema=self.of_schema)
        assert body is not None, f"nothing documents the answer to {request.path}: {self.faults}"
        return answered(request, body, marketplace.judge)


def answered(request: Request, body: bytes, judge: Callable[[Answer], None]) -> Answer:
    answer = Answer(request=request, status=200, headers={}, body=body, fetched_at=NOW)
    judge(answer)
    return answer


async def walk_with(vendor: Vendor, slice_: str) -> list[Page]:
    """Walk to the end, or as far as the examples lead."""
    progress, start = vendor.stream.progress, NOW - timedelta(days=20)
    window = cell(progress, start) if isinstance(progress, Windows) else None
    walk = Walk(seller="7", since=start, now=NOW, slice=slice_, window=window)
    pages: list[Page] = []
    # A report that is still being made, and an example given twice, lead no further.
    with suppress(NotReady, NoProgress):
        async with aclosing(vendor.stream.pages(vendor, walk)) as steps:
            async for step in steps:
                if isinstance(step, Page):
                    pages.append(step)
                if len(pages) == MOST_PAGES:
                    break
    return pages


async def slices_of(stream: Stream, *, of_schema: bool) -> Iterable[str]:
    if not isinstance(stream.slices, ListedBy):
        return stream.slices
    lister = STREAMS[stream.marketplace.name][stream.slices.stream]
    pages = await walk_with(Vendor(lister, of_schema), "")
    names = {name for page in pages for name in stream.slices.read(page.answer.body)}
    assert names, "the documented example lists nothing"
    return [name.replace("0", "1") for name in sorted(names)]  # an example that was filled in has zeros for ids


@pytest.mark.parametrize("stream", ALL)
async def test_every_request_is_valid_by_the_vendors_documents(stream: Stream) -> None:
    vendor = Vendor(stream)
    try:
        await walk_over(vendor)
    except Malformed:  # some examples contradict their schema: what can be read is one of the two
        vendor = Vendor(stream, of_schema=True)
        await walk_over(vendor)
    assert vendor.asked
    faults = {fault for fault in vendor.faults if not (stream.dead_on and fault.startswith("deprecated"))}
    assert faults == DISPUTED.get(f"{stream.marketplace.name}/{stream.name}", {}).keys()


async def walk_over(vendor: Vendor) -> None:
    for name in await slices_of(vendor.stream, of_schema=vendor.of_schema):
        await walk_with(vendor, name)

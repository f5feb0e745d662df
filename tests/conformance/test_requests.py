"""Every request of every stream is valid by the vendor's own documents, whose examples answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from collectors.errors import Malformed, NoProgress, NotReady
from collectors.login import ACCESS_TOKEN
from collectors.refusals import judge_status
from collectors.registry import STREAMS
from collectors.stream import Answer, Id, ListedBy, Page, Request, Stream, Walk, Windows
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
DISPUTED: Mapping[str, Mapping[str, str]] = {
    # "In the format YYYY-MM-DD", says the description of both fields, and so is the document's own example.
    "ozon/balance": {
        f'body.date_{end}: "2026-10-31" is not a "date-time" (ozon-seller-openapi.normalized.json)': "a day"
        for end in ("from", "to")
    },
    "wildberries/nm_report": {
        'body: {"id":"a89b7159-5d31-5ffe-907c-7dfc5bdcd403","params":{"aggregationLevel":"day","endDate":"2026-10-31",'
        '"skipDeletedNm":false,"startDate":"2026-10-01","timezone":"Europe/Moscow"},"reportType":"DETAIL_HISTORY_REPORT"}'
        " is valid under more than one of the schemas listed in the 'oneOf' keyword (11-analytics.yaml)": (
            "the kinds of report are told apart by their names only"
        )
    },
    "wildberries/search_texts": {
        "body.limit: 30 is valid under more than one of the schemas listed in the 'oneOf' keyword"
        " (11-analytics.yaml)": "one schema for each tariff: at most 30, and at most 100"
    },
}
# What is asked before a report is created: the example knows it already.
NOT_YET: Mapping[str, bytes] = {"/api/v2/nm-report/downloads": b'{"data": []}'}
OF_NO_EXAMPLE: Mapping[str, Id] = {"wildberries/adv_stats": 22161678}  # the only campaign of the example was cancelled

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
        if request.method == "GET" and len(self.asked) == 1:
            body = NOT_YET.get(request.path, body)
        assert body is not None, f"nothing documents the answer to {request.path}: {self.faults}"
        return answered(request, body, marketplace.judge)


def answered(request: Request, body: bytes, judge: Callable[[Answer], None]) -> Answer:
    answer = Answer(request=request, status=200, headers={}, body=body, fetched_at=NOW)
    judge(answer)
    return answer


async def walk_with(vendor: Vendor, slice_: str, ids: Sequence[Id] = ()) -> list[Page]:
    """Walk to the end, or as far as the examples lead."""
    progress, start = vendor.stream.progress, NOW - timedelta(days=20)
    window = cell(progress, start) if isinstance(progress, Windows) else None
    walk = Walk(seller="7", since=start, now=NOW, slice=slice_, window=window, ids=ids)
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


async def documented_pages(stream: Stream, slice_: str, ids: Sequence[Id] = ()) -> list[Page]:
    try:
        return await walk_with(Vendor(stream), slice_, ids)
    except Malformed:  # some examples contradict their schema: what can be read is one of the two
        return await walk_with(Vendor(stream, of_schema=True), slice_, ids)


async def slices_of(stream: Stream) -> Iterable[str]:
    if not isinstance(stream.slices, ListedBy):
        return stream.slices
    lister = STREAMS[stream.marketplace.name][stream.slices.stream]
    pages = await documented_pages(lister, "")
    names = {name for page in pages for name in stream.slices.read(page.answer.body)}
    assert names, "the documented example lists nothing"
    return [name.replace("0", "1") for name in sorted(names)]  # an example that was filled in has zeros for ids


async def ids_of(stream: Stream) -> Sequence[Id]:
    """Return the ids in the documented answers of the streams that list them, or what can stand for them."""
    if stream.ids is None:
        return ()
    found: set[Id] = set()
    for name in stream.ids.streams:
        lister = STREAMS[stream.marketplace.name][name]
        for slice_ in await slices_of(lister):
            pages = await documented_pages(lister, slice_, await ids_of(lister))
            found.update(one for page in pages for one in stream.ids.read(page.answer.body))
    found = found or {OF_NO_EXAMPLE[f"{stream.marketplace.name}/{stream.name}"]}
    return sorted(found)


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
    ids = await ids_of(vendor.stream)
    for name in await slices_of(vendor.stream):
        await walk_with(vendor, name, ids)

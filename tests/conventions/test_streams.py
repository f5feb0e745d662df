"""What every stream's declaration has to say, and what the project's modules are not called."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

from collectors.registry import STREAMS, Unknown, find_marketplace, find_stream, streams_of
from collectors.stream import ListedBy, Request, Scope, Snapshot, Stream, Walk, Watermark, Window, Windows
from collectors.windows import cell
from tests.unit.collectors.scripted import NOW

ROOT = Path(__file__).resolve().parents[2]
ALL = [
    pytest.param(stream, id=f"{marketplace}/{name}")
    for marketplace, streams in STREAMS.items()
    for name, stream in streams.items()
]
WINDOWED = [param for param in ALL if isinstance(param.values[0].progress, Windows)]  # type: ignore[union-attr]
MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "base", "misc", "core", "shared", "stuff"}


def progress_of(stream: Stream) -> Windows:
    assert isinstance(stream.progress, Windows)
    return stream.progress


async def first_request(stream: Stream) -> Request:
    """Return what the stream asks for first."""
    asked: list[Request] = []

    class Asked(Exception):
        """Carries the request out."""

    async def fetch(request: Request) -> object:
        asked.append(request)
        raise Asked

    day = Window(NOW - timedelta(days=20), NOW - timedelta(days=19))
    window = cell(stream.progress, day.start) if isinstance(stream.progress, Windows) else None
    name = stream.slices[0] if isinstance(stream.slices, tuple) else "1"
    ids = () if stream.ids is None else (stream.ids.example,)
    walk = Walk(seller="1", since=day.start, now=NOW, slice=name, window=window, ids=ids)
    with pytest.raises(Asked):
        async for _ in stream.pages(fetch, walk):  # type: ignore[arg-type]  # it never answers
            pass
    return asked[0]


@pytest.mark.parametrize("stream", ALL)
def test_a_stream_says_what_it_is_how_it_pages_and_where_that_is_written(stream: Stream) -> None:
    name = f"{stream.marketplace.name}/{stream.name}"
    assert stream.about, f"{name} does not say what it is: fill in `about`"
    assert stream.paging, f"{name} does not say how it pages: fill in `paging`"
    assert stream.docs.startswith("https://"), f"{name} does not say where the vendor describes it: fill in `docs`"


@pytest.mark.parametrize("stream", ALL)
def test_a_stream_has_a_limit(stream: Stream) -> None:
    counted = [bucket for bucket in (*stream.buckets, *stream.marketplace.buckets) if bucket.scope is not Scope.SLOTS]
    assert counted, f"{stream.name} would be asked for without any limit: give it buckets, or its marketplace"
    for bucket in counted:
        assert bucket.rate.every > timedelta(0)
        assert bucket.rate.burst >= 1


@pytest.mark.parametrize("stream", ALL)
async def test_a_stream_asks_a_host_of_its_marketplace(stream: Stream) -> None:
    request = await first_request(stream)
    assert request.host in stream.marketplace.hosts, (
        f"{stream.name} asks {request.host}, which is not among the hosts of {stream.marketplace.name}"
    )
    assert request.signed
    assert request.path.startswith("/")


@pytest.mark.parametrize("stream", ALL)
def test_a_stream_is_called_by_its_marketplace_and_name(stream: Stream) -> None:
    assert find_stream(stream.marketplace.name, stream.name) is stream
    assert find_marketplace(stream.marketplace.name) is stream.marketplace
    assert not stream.name.startswith(stream.marketplace.name), "a stream is named without its marketplace"
    assert stream.name.isidentifier()
    assert stream.name.islower()


@pytest.mark.parametrize("marketplace", STREAMS)
def test_every_stream_of_a_folder_is_registered_once(marketplace: str) -> None:
    module = import_module(f"collectors.{marketplace}.streams")
    declared = [value for value in vars(module).values() if isinstance(value, Stream)]
    assert sorted(stream.name for stream in declared) == sorted(STREAMS[marketplace]), (
        f"a stream of {marketplace} is declared and not listed in its STREAMS"
    )


@pytest.mark.parametrize("stream", ALL)
def test_slices_that_are_listed_come_from_a_snapshot_of_the_same_marketplace(stream: Stream) -> None:
    if isinstance(stream.slices, ListedBy):
        lister = find_stream(stream.marketplace.name, stream.slices.stream)
        assert isinstance(lister.progress, Snapshot)
    else:
        assert len(set(stream.slices)) == len(stream.slices) > 0


@pytest.mark.parametrize("stream", ALL)
def test_ids_come_from_streams_of_the_same_marketplace_that_can_be_read_flat(stream: Stream) -> None:
    for name in () if stream.ids is None else stream.ids.streams:
        lister = find_stream(stream.marketplace.name, name)
        assert stream.ids is not None
        assert isinstance(lister.progress, Snapshot) or stream.ids.within is not None, (
            f"{stream.name} would read all that {name} ever brought: say `within`"
        )
        assert not stream.ids.of_slice or lister.slices == stream.slices


@pytest.mark.parametrize("stream", WINDOWED)
def test_a_window_is_a_whole_number_of_grains(stream: Stream) -> None:
    progress = progress_of(stream)
    if progress.grain == "month":
        assert progress.longest == "month", f"{stream.name}: `longest` is not a multiple of `grain`"
        return
    length = timedelta(days=1) if progress.longest == "month" else progress.longest
    assert length % progress.grain == timedelta(0), f"{stream.name}: `longest` is not a multiple of `grain`"


@pytest.mark.parametrize("stream", WINDOWED)
def test_tiers_of_restatement_ascend_and_end_before_the_api_forgets(stream: Stream) -> None:
    progress = progress_of(stream)
    for one, other in pairwise(progress.restated):
        assert one < other, f"{stream.name}: the tiers of `restated` have to ascend, and thin out"
    if progress.restated and isinstance(progress.kept, timedelta):
        assert progress.restated[-1][0] < progress.kept, f"{stream.name} would be read again when it is forgotten"


@pytest.mark.parametrize("stream", ALL)
def test_what_is_collected_at_first_is_still_kept(stream: Stream) -> None:
    if isinstance(stream.progress, Watermark | Windows) and isinstance(stream.progress.kept, timedelta):
        assert stream.progress.since <= stream.progress.kept


@pytest.mark.parametrize("stream", ALL)
def test_what_shares_a_bucket_agrees_about_its_rate(stream: Stream) -> None:
    for other in STREAMS[stream.marketplace.name].values():
        for bucket in other.buckets:
            assert all(bucket == own for own in stream.buckets if own.name == bucket.name), (
                f"{stream.name} and {other.name} share the bucket {bucket.name} with different rates"
            )


def test_what_is_not_there_is_refused_with_what_there_is() -> None:
    with pytest.raises(Unknown, match=r"no marketplace is called 'avito': there are wildberries, ozon, yandex_market$"):
        streams_of("avito")
    with pytest.raises(Unknown, match=r"ozon has no stream 'orders': there are products, fbs_postings"):
        find_stream("ozon", "orders")


def test_no_module_has_a_name_that_says_nothing() -> None:
    packages = ("collectors", "worker", "migrations", "sandbox", "tests")
    found = [
        file.relative_to(ROOT).as_posix()
        for package in packages
        for file in (ROOT / package).rglob("*.py")
        if {*file.relative_to(ROOT).with_suffix("").parts} & MEANINGLESS
    ]
    assert found == [], "name a module for what is in it"


def test_collectors_read_no_settings_and_do_no_io() -> None:
    """The import contracts hold this for libraries; what the standard library could do is looked for here."""
    doors = (
        "import os",
        "import socket",
        "import ssl",
        "import asyncio",
        "import pathlib",
        "import subprocess",
        "open(",
    )
    found = [
        f"{file.relative_to(ROOT)}: {door}"
        for file in (ROOT / "collectors").rglob("*.py")
        for door in doors
        if any(line.strip().startswith(door) or f" {door}" in line for line in file.read_text().splitlines())
    ]
    assert found == []

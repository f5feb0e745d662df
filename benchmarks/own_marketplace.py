"""A marketplace of the benchmarks' own: the pages of `benchmarks/server.py`, with limits that are never met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors.paging import by_cursor, get
from collectors.refusals import judge_status
from collectors.registry import GROUP
from collectors.stream import Bucket, Marketplace, Rate, Request, Secret, Snapshot, Stream
from collectors.windows import hours

HOST = "api.bench-shop.example"


def sign(secret: Secret, _: Request) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret['token']}"}


SHOP = Marketplace(
    name="bench_shop",
    hosts=frozenset({HOST}),
    sign=sign,
    judge=judge_status,
    buckets=(Bucket(name="all", rate=Rate(timedelta(seconds=1), burst=10)),),
)

GOODS = Stream(
    marketplace=SHOP,
    name="goods",
    about="all goods",
    docs="https://bench-shop.example/goods",
    progress=Snapshot(),
    paging="cursor",
    pages=by_cursor(get(HOST, lambda walk, _: f"/{walk.seller}/goods"), rows="items", following="next"),
    buckets=(Bucket(name="goods", rate=Rate(timedelta(seconds=1), burst=5)),),
    every=hours(24),
)

STREAMS = (GOODS,)


@contextmanager
def installed() -> Iterator[Path]:
    """Yield a directory that offers these streams to a process which has it in PYTHONPATH, as a package would."""
    with TemporaryDirectory(prefix="bench-shop-") as directory:
        told = Path(directory, "bench_shop-1.dist-info")
        told.mkdir()
        told.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: bench_shop\nVersion: 1\n")
        told.joinpath("entry_points.txt").write_text(f"[{GROUP}]\nbench_shop = {__name__}:STREAMS\n")
        yield Path(directory)

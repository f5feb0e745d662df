"""A marketplace from outside the repository: the one of docs/add-a-stream.md, in full, installed and conforming."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from collectors.errors import CannotLoad
from collectors.registry import GROUP, STREAMS, by_name, from_outside
from collectors.stream import Answer, Request
from collectors.testing import NOW, assert_stream_conforms
from tests.conformance.corner_shop import streams as corner_shop

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(corner_shop.__file__).parent
ORDERS = [{"id": number, "at": (NOW - timedelta(hours=number)).isoformat()} for number in range(1, 80)]


async def shop(request: Request) -> Answer:
    """Play the shop: pages of five, or fewer if asked, with a Link to the next."""
    rows = ORDERS
    asked = {name: str(value) for name, value in request.query.items()}
    if request.path == "/v1/orders":
        start, end = (datetime.fromisoformat(asked[name]).astimezone(UTC) for name in ("from", "to"))
        rows = [row for row in rows if start <= datetime.fromisoformat(str(row["at"])) < end]
    else:
        rows = rows[:13]
    begin, size = int(asked.get("after", 0)), min(5, int(asked.get("limit", 5)))
    page = rows[begin : begin + size]
    following = "&".join(f"{name}={value}" for name, value in {**asked, "after": str(begin + size)}.items())
    link = f'<{request.path}?{following}>; rel="next"' if begin + size < len(rows) else ""
    body = {"orders": page} if request.path == "/v1/orders" else page
    return Answer(request=request, status=200, headers={"link": link}, body=json.dumps(body).encode(), fetched_at=NOW)


async def test_its_goods_conform() -> None:
    await assert_stream_conforms(corner_shop.GOODS, shop)


async def test_its_orders_conform() -> None:
    await assert_stream_conforms(corner_shop.ORDERS, shop)


def test_it_is_less_than_sixty_lines_and_the_guide_shows_them_all() -> None:
    texts = [(PACKAGE / name).read_text("utf-8") for name in ("api.py", "streams.py")]
    assert sum(len(text.splitlines()) for text in texts) < 60
    guide = (ROOT / "docs" / "add-a-stream.md").read_text("utf-8")
    for text in texts:
        assert f"```python\n{text}```" in guide


def test_a_package_that_is_installed_is_found(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "corner_shop")
    metadata = tmp_path / "corner_shop-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: corner-shop\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\ncorner_shop = corner_shop.streams:STREAMS\n")
    shown = subprocess.run(
        [sys.executable, "-c", "from collectors.registry import STREAMS; print(*STREAMS, *STREAMS['corner_shop'])"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split() == ["wildberries", "ozon", "yandex_market", "corner_shop", "goods", "orders"]


@pytest.mark.parametrize(
    ("value", "about"),
    [
        ("tests.conformance.no_shop:STREAMS", r"the streams of .* cannot be loaded \(No module named .*no_shop'\)"),
        ("tests.conformance.corner_shop.streams:STREEMS", r"cannot be loaded \(.*STREEMS'\): mend or uninstall it"),
        ("tests.conformance.corner_shop.streams:GOODS", "GOODS, which is not a tuple of streams"),
        ("tests.conformance.corner_shop.api:API", "API, which is not a tuple of streams"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(value: str, about: str) -> None:
    with pytest.raises(CannotLoad, match=about):
        list(from_outside([EntryPoint("shop", value, GROUP)]))


def test_packages_come_in_the_order_of_their_names() -> None:
    here = "tests.conformance.corner_shop.streams:STREAMS"
    assert list(from_outside([EntryPoint(name, here, GROUP) for name in ("b", "a")])) == [corner_shop.STREAMS] * 2


def test_two_streams_or_two_marketplaces_of_one_name_are_refused() -> None:
    with pytest.raises(CannotLoad, match="two streams are called corner_shop/goods: rename one"):
        by_name(corner_shop.STREAMS, corner_shop.STREAMS)
    other = replace(corner_shop.GOODS, marketplace=replace(corner_shop.GOODS.marketplace, name="ozon"))
    with pytest.raises(CannotLoad, match="two marketplaces are called ozon: rename one"):
        by_name(tuple(STREAMS["ozon"].values()), (other,))


def test_a_broken_package_is_one_sentence_to_whoever_calls_the_collector(tmp_path: Path) -> None:
    metadata = tmp_path / "corner_shop-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: corner-shop\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\ncorner_shop = corner_shop.streams:STREAMS\n")
    said = subprocess.run(
        [sys.executable, "-c", "import sys; from worker.script import main; sys.exit(main())"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr.startswith("collector: the streams of corner-shop cannot be loaded")
    assert said.stderr.count("\n") == 1

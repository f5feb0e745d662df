import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.data_wildberries import WildberriesData
from sandbox.records import World, array, encode, verbatim
from sandbox.server import Play, Sandbox

EPOCH = datetime(2026, 11, 20, tzinfo=UTC)
STILL = {
    "wildberries/campaigns",
    "wildberries/promotions",
    "wildberries/seller_info",
    "wildberries/balance",
    "wildberries/campaign_info",
    "wildberries/seller_warehouses",
    "wildberries/tariffs_commission",
    "wildberries/tariffs_box",
    "wildberries/tariffs_pallet",
    "wildberries/tariffs_return",
    "ozon/warehouses",
    "ozon/fbo_warehouses",
    "ozon/seller_info",
    "ozon/roles",
    "ozon/perf_campaigns",
    "ozon/discounted_report",
    "ozon/accrual_types",
    "ozon/cash_flow",
    "ozon/realization",
    "ozon/realization_posting",
    "yandex_market/campaigns",
    "yandex_market/warehouses",
    "yandex_market/fby_warehouses",
}
"""What has no new record within five days."""

FORGETTING = {("wildberries", "claims")}  # after 14 days


def every_stream(box: Sandbox) -> list[tuple[str, str]]:
    return [(name, stream) for name, marketplace in box.marketplaces.items() for stream in marketplace.streams]


async def test_moving_the_clock_only_adds_records(box: Sandbox) -> None:
    def look() -> dict[tuple[str, str], set[str]]:
        return {
            (name, stream): set(box.records(name, box.seller(name, 1), stream)) for name, stream in every_stream(box)
        }

    before = look()
    box.clock.advance(timedelta(days=5))
    after = look()
    box.clock.advance(timedelta(days=-5))
    assert {name for name in before if not before[name] <= after[name]} == FORGETTING
    assert {f"{name}/{stream}" for name, stream in before if before[name, stream] == after[name, stream]} == STILL
    assert look() == before


async def test_what_has_been_served_is_served_again_byte_for_byte(
    tmp_path: Path, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    """By another process with the same home, too: the epoch is remembered."""
    bodies = []
    for now in (EPOCH + timedelta(hours=12), EPOCH + timedelta(days=3)):
        async with Sandbox(tmp_path, clock=Clock.frozen(now)) as box, connect(box) as client:
            token = box.credentials("wildberries", box.seller("wildberries", 1))
            headers = {"Host": "statistics-api.wildberries.ru", "Authorization": token}
            query = {"dateFrom": "2026-11-01", "flag": "1"}
            bodies.append((await client.get("/api/v1/supplier/orders", params=query, headers=headers)).content)
    first, later = (json.loads(body) for body in bodies)
    assert [row["srid"] for row in first] != []
    assert {row["srid"] for row in first} == {row["srid"] for row in later}


def test_another_seed_or_seller_has_other_records() -> None:
    def orders(seed: int, seller: str) -> set[str]:
        data = WildberriesData(World(seed, EPOCH, history_days=2))
        return {record.key for record in data.orders.seen(seller, EPOCH)}

    assert orders(1, "a") == orders(1, "a")
    assert orders(1, "a").isdisjoint(orders(2, "a"))
    assert orders(1, "a").isdisjoint(orders(1, "b"))


def test_the_usual_volume_is_what_the_demo_shows() -> None:
    data = WildberriesData(World(1, EPOCH))
    assert len(list(data.orders.seen("a", EPOCH))) == 95 * 40
    assert len(list(data.cards.seen("a", EPOCH))) == 120


def test_numbers_are_written_as_a_float_would_not() -> None:
    assert encode({"a": verbatim("1.10"), "b": "ё\x1d"}) == '{"a":1.10,"b":"ё\\u001d"}'.encode()
    assert encode(verbatim(r'"\ud83d"')) == rb'"\ud83d"'


def test_every_page_is_json_and_some_of_it_is_nasty_when_asked() -> None:
    calm, nasty = (WildberriesData(World(1, EPOCH, history_days=3, nasty=switch)) for switch in (False, True))
    assert rb"\u0000" not in array(calm.feedbacks.seen("a", EPOCH))
    page = array(nasty.feedbacks.seen("a", EPOCH))
    assert page.count(rb"\u0000") == page.count(rb'"\ud83d"') == 1
    assert isinstance(json.loads(page), list)
    assert rb"\u001d" in array(nasty.fin_detail.seen("a", EPOCH))


async def test_a_play_of_another_size(tmp_path: Path) -> None:
    play = Play(epoch=EPOCH, history_days=2, scale=0.5, volumes={"ozon/products": 3})
    box = Sandbox(tmp_path, clock=Clock.frozen(EPOCH), play=play)
    assert len(box.records("wildberries", box.seller("wildberries", 1), "orders")) == 40
    assert len(box.records("ozon", box.seller("ozon", 1), "products")) == 3

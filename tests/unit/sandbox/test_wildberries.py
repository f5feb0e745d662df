import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.server import Play, Sandbox

NAME = "wildberries"
Body = dict[str, Any]


def key(box: Sandbox) -> str:
    return box.credentials(NAME, seller(box))


def seller(box: Sandbox) -> str:
    return box.seller(NAME, 1)


async def orders(client: AsyncClient, token: str, since: str, **query: str) -> Response:
    headers = {"Host": "statistics-api.wildberries.ru", "Authorization": token}
    return await client.get("/api/v1/supplier/orders", params={"dateFrom": since, **query}, headers=headers)


async def cards(client: AsyncClient, token: str, cursor: Body) -> Response:
    headers = {"Host": "content-api.wildberries.ru", "Authorization": token}
    body = {"settings": {"cursor": cursor, "filter": {"withPhoto": -1}, "sort": {"ascending": True}}}
    return await client.post("/content/v2/get/cards/list", json=body, headers=headers)


async def fin_detail(client: AsyncClient, token: str, after: int, period: str = "daily") -> Response:
    headers = {"Host": "finance-api.wildberries.ru", "Authorization": token}
    body = {"dateFrom": "2026-10-01", "dateTo": "2026-11-30", "rrdId": after, "period": period}
    return await client.post("/api/finance/v1/sales-reports/detailed", json=body, headers=headers)


async def order_feed(client: AsyncClient, token: str, start: str, paging: Body) -> Response:
    headers = {"Host": "seller-analytics-api.wildberries.ru", "Authorization": token}
    body = {"selectedPeriod": {"start": start}, "pagination": paging}
    return await client.post("/api/analytics/v1/order-feed", json=body, headers=headers)


async def feedbacks(client: AsyncClient, token: str, answered: str, skip: int) -> Response:
    headers = {"Host": "feedbacks-api.wildberries.ru", "Authorization": token}
    query = {"isAnswered": answered, "take": "100", "skip": str(skip), "order": "dateAsc"}
    return await client.get("/api/v1/feedbacks", params=query, headers=headers)


async def walk_orders(client: AsyncClient, token: str, since: str = "2026-10-01") -> list[Body]:
    found: list[Body] = []
    while rows := (await orders(client, token, since)).raise_for_status().json():
        found += rows
        since = rows[-1]["lastChangeDate"]
    return found


async def test_a_walk_over_orders_brings_every_order_and_ends_on_an_empty_page(
    box: Sandbox, client: AsyncClient
) -> None:
    rows = await walk_orders(client, key(box))
    assert {row["srid"] for row in rows} == set(box.records(NAME, seller(box), "orders"))
    assert len(rows) > 100


async def test_orders_may_go_on_repeating_the_boundary_for_ever(
    tmp_path: Path, clock: Clock, connect: Callable[[Sandbox], AsyncClient]
) -> None:
    play = Play(epoch=datetime(2026, 11, 20, tzinfo=UTC), history_days=5, orders_end="repeat")
    async with Sandbox(tmp_path, clock=clock, rate_scale=math.inf, play=play) as box, connect(box) as client:
        rows = (await orders(client, key(box), "2026-10-01")).json()
        last = rows[-1]["lastChangeDate"]
        again = (await orders(client, key(box), last)).json()
        assert again == [row for row in rows if row["lastChangeDate"] == last]
        assert again


async def test_orders_are_forgotten_after_ninety_days(box: Sandbox, client: AsyncClient) -> None:
    box.clock.advance(timedelta(days=95))
    rows = await walk_orders(client, key(box))
    oldest = box.clock.now() + timedelta(hours=3) - timedelta(days=90)
    assert min(datetime.fromisoformat(row["date"]) for row in rows) >= oldest.replace(tzinfo=None)
    assert {row["srid"] for row in rows} == set(box.records(NAME, seller(box), "orders"))


async def test_flag_1_brings_the_orders_of_one_moscow_day(box: Sandbox, client: AsyncClient) -> None:
    rows = (await orders(client, key(box), "2026-11-10", flag="1")).json()
    assert rows
    assert {row["date"][:10] for row in rows} == {"2026-11-10"}


async def test_cards_are_walked_by_their_cursor(box: Sandbox, client: AsyncClient) -> None:
    found: list[int] = []
    cursor: Body = {"limit": 100}
    while True:
        answer = (await cards(client, key(box), cursor)).raise_for_status().json()
        assert answer["cursor"]["total"] == len(answer["cards"])
        if not answer["cards"]:
            break
        found += [card["nmID"] for card in answer["cards"]]
        cursor = {"limit": 100, "updatedAt": answer["cursor"]["updatedAt"], "nmID": answer["cursor"]["nmID"]}
    assert [str(nm) for nm in sorted(found)] == sorted(box.records(NAME, seller(box), "cards"))
    assert len(found) == len(set(found)) >= 30


async def test_a_cursor_field_that_the_vendor_does_not_know_is_refused(box: Sandbox, client: AsyncClient) -> None:
    answer = await cards(client, key(box), {"limit": 10, "total": 10})
    assert answer.status_code == 400
    assert answer.json()["error"] is True
    assert "total" in answer.json()["errorText"]


async def test_prices_end_on_an_empty_list(box: Sandbox, client: AsyncClient) -> None:
    headers = {"Host": "discounts-prices-api.wildberries.ru", "Authorization": key(box)}
    found: list[int] = []
    while True:
        query = {"limit": "1000", "offset": str(len(found))}
        answer = await client.get("/api/v2/list/goods/filter", params=query, headers=headers)
        goods = answer.raise_for_status().json()["data"]["listGoods"]
        if not goods:
            break
        found += [good["nmID"] for good in goods]
    assert sorted(map(str, found)) == sorted(box.records(NAME, seller(box), "prices"))


@pytest.mark.parametrize("period", ["daily", "weekly"])
async def test_finance_ends_with_204_and_no_body(box: Sandbox, client: AsyncClient, period: str) -> None:
    found: list[int] = []
    while (answer := await fin_detail(client, key(box), found[-1] if found else 0, period)).status_code == 200:
        found += [row["rrdId"] for row in answer.json()]
    assert answer.status_code == 204
    assert answer.content == b""
    assert sorted(map(str, found)) == sorted(box.records(NAME, seller(box), "fin_detail", slice_=f"period={period}"))
    assert len(found) > 13


async def test_the_order_feed_stands_still_at_its_snapshot(box: Sandbox, client: AsyncClient) -> None:
    start = datetime(2026, 11, 5, tzinfo=UTC)
    expected = box.records(NAME, seller(box), "order_feed", start=start)
    paging: Body = {"limit": 10_000}
    found: list[Body] = []
    while rows := (answer := (await order_feed(client, key(box), start.isoformat(), paging)).json())["data"]["orders"]:
        found += rows
        paging = {"limit": 10_000, "offset": len(found), "snapshotTime": answer["data"]["snapshotTime"]}
        box.clock.advance(timedelta(hours=1))
    assert sorted(row["srid"] for row in found) == sorted(expected)
    assert [row["updatedAt"] for row in found] == sorted((row["updatedAt"] for row in found), reverse=True)


async def test_a_later_page_of_the_feed_needs_its_snapshot(box: Sandbox, client: AsyncClient) -> None:
    start = "2026-11-05T00:00:00Z"
    first = (await order_feed(client, key(box), start, {"limit": 10})).json()
    missing = await order_feed(client, key(box), start, {"limit": 10, "offset": 10})
    assert missing.status_code == 400
    snapshot = first["data"]["snapshotTime"]
    other = await order_feed(
        client, key(box), "2026-11-06T00:00:00Z", {"limit": 10, "offset": 10, "snapshotTime": snapshot}
    )
    assert other.status_code == 400


async def test_the_feed_reaches_back_thirty_one_days(box: Sandbox, client: AsyncClient) -> None:
    assert (await order_feed(client, key(box), "2026-10-20T12:00:00Z", {})).status_code == 200
    assert (await order_feed(client, key(box), "2026-10-20T11:59:59Z", {})).status_code == 400


async def test_feedbacks_are_walked_answered_and_unanswered(box: Sandbox, client: AsyncClient) -> None:
    for answered in ("true", "false"):
        found: list[str] = []
        while rows := (await feedbacks(client, key(box), answered, len(found))).json()["data"]["feedbacks"]:
            found += [row["id"] for row in rows]
        expected = box.records(NAME, seller(box), "feedbacks", slice_=f"answered={answered}")
        assert sorted(found) == sorted(expected)
        assert found


async def test_feedbacks_cannot_be_skipped_beyond_the_vendors_bound(box: Sandbox, client: AsyncClient) -> None:
    assert (await feedbacks(client, key(box), "true", 199_990)).status_code == 200
    assert (await feedbacks(client, key(box), "true", 199_991)).status_code == 400


async def test_keys_that_are_missing_malformed_forged_expired_or_of_another_category_are_refused(
    box: Sandbox, client: AsyncClient
) -> None:
    good = key(box)
    head, claims, _ = good.split(".")
    other = box.credentials(NAME, box.seller(NAME, 2)).split(".")[1]
    bad = (
        "",
        "nonsense",
        f"{head}.{other}.{good.split('.')[2]}",
        f"{head}.{claims}.AAAA",
        f"Bearer {good}",
        box.credentials(NAME, seller(box), expires=box.clock.now()),
        box.credentials(NAME, seller(box), categories=1 << 1),
    )
    for token in bad:
        answer = await orders(client, token, "2026-11-01")
        assert answer.status_code == 401, token
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 401
    assert (await orders(client, good, "2026-11-01")).status_code == 200


async def test_a_time_with_an_offset_is_not_moscow_time(box: Sandbox, client: AsyncClient) -> None:
    for since in ("2026-11-01T00:00:00Z", "yesterday", ""):
        answer = await orders(client, key(box), since)
        assert answer.status_code == 400
        assert "dateFrom" in answer.json()["errors"][0]


async def test_a_method_that_is_not_there_answers_as_the_gateway_does(box: Sandbox, client: AsyncClient) -> None:
    headers = {"Host": "statistics-api.wildberries.ru", "Authorization": key(box)}
    answer = await client.get("/api/v1/supplier/stocks", headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (404, "path not found")

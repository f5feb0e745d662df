"""The lists of Yandex Market besides orders and prices: what the vendor would give, and what it would refuse."""

from datetime import UTC, datetime, timedelta

import pytest
from httpx import AsyncClient  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.server import Sandbox
from tests.unit.sandbox.yandex_market_calls import NAME, Body, ask, campaigns, seller, walk


def business(box: Sandbox, rest: str, version: str = "v2") -> str:
    return f"/{version}/businesses/{seller(box)}/{rest}"


async def test_the_catalogue_is_given_without_its_archive_or_the_archive_alone(
    box: Sandbox, client: AsyncClient
) -> None:
    goods = set(box.records(NAME, seller(box), "prices"))
    found = {}
    for archived in (False, True):
        body = {"archived": archived}
        rows = await walk(box, client, business(box, "offer-mappings"), "offerMappings", body=body, limit="9999")
        found[archived] = {row["offer"]["offerId"] for row in rows}
        assert {row["offer"]["archived"] for row in rows} == {archived}
    assert found[True] | found[False] == goods
    assert not found[True] & found[False]


async def test_a_good_is_in_one_store_and_those_of_fby_in_two_warehouses(box: Sandbox, client: AsyncClient) -> None:
    goods: list[str] = []
    for number, store in enumerate(campaigns(box)):
        path = f"/v2/campaigns/{store}/offers"
        goods += [row["offerId"] for row in await walk(box, client, path, "offers", body={}, limit="200")]
        held = await walk(box, client, f"{path}/stocks", "warehouses", body={}, limit="100")
        assert len({warehouse["warehouseId"] for warehouse in held}) == (2 if number == 1 else 1)
        keys = [f"{warehouse['warehouseId']}/{row['offerId']}" for warehouse in held for row in warehouse["offers"]]
        assert sorted(keys) == sorted(box.records(NAME, seller(box), "stocks", slice_=store))
        assert {key.partition("/")[2] for key in keys} <= set(goods)
    assert sorted(goods) == sorted(box.records(NAME, seller(box), "prices"))


async def test_stocks_of_a_warehouse_that_is_not_the_sellers_are_not_found(box: Sandbox, client: AsyncClient) -> None:
    path = business(box, "offers/stocks", "v3")
    own = box.records(NAME, seller(box), "warehouses")
    for warehouse in own:
        rows = await walk(box, client, path, "offers", body={"partnerWarehouseId": int(warehouse)}, limit="100")
        assert sorted(row["offerId"] for row in rows) == sorted(
            box.records(NAME, seller(box), "stocks_v3", slice_=warehouse)
        )
    assert (await ask(box, client, path, {"partnerWarehouseId": 147})).status_code == 404
    assert (await ask(box, client, path, {})).status_code == 400


@pytest.mark.parametrize(
    ("path", "limit", "status"),
    [
        ("/v2/businesses/{business}/offer-mappings", 101, 200),
        ("/v2/businesses/{business}/bids/info", 501, 200),
        ("/v2/campaigns/{campaign}/offers", 201, 400),
        ("/v2/businesses/{business}/offer-cards", 201, 400),
        ("/v3/businesses/{business}/warehouses", 31, 400),
        ("/v2/businesses/{business}/promos", 1, 400),
    ],
)
async def test_a_page_too_large_is_cut_or_refused_as_each_method_does(
    box: Sandbox, client: AsyncClient, path: str, limit: int, status: int
) -> None:
    filled = path.format(business=seller(box), campaign=campaigns(box)[0])
    body = {"components": ["ADDRESS"]} if "warehouses" in path else {}
    assert (await ask(box, client, filled, body, limit=str(limit))).status_code == status


async def test_returns_by_the_day_of_change_both_days_included(box: Sandbox, client: AsyncClient) -> None:
    start, store = datetime(2026, 11, 9, 21, tzinfo=UTC), campaigns(box)[0]
    path, days = f"/v2/campaigns/{store}/returns", {"fromDate": "2026-11-10", "toDate": "2026-11-12"}
    first = (await ask(box, client, path, None, **days)).raise_for_status().json()["result"]
    token = first["paging"]["nextPageToken"]
    rest = (await ask(box, client, path, None, **days, pageToken=token)).raise_for_status().json()["result"]
    found = [str(row["id"]) for row in first["returns"] + rest["returns"]]
    held = box.records(NAME, seller(box), "returns", slice_=store, start=start, end=start + timedelta(days=3))
    assert found == sorted(held)[: len(found)]
    assert len(found) > 3
    assert (
        await ask(box, client, path, fromDate="2026-11-10", toDate="2026-11-13", pageToken=token)
    ).status_code == 400
    assert (await ask(box, client, path, from_date="2026-11-10", to_date="2026-11-12")).status_code == 400


async def reviews(box: Sandbox, client: AsyncClient, start: datetime, end: datetime) -> list[Body]:
    body = {"dateTimeFrom": start.isoformat(), "dateTimeTo": end.isoformat()}
    return await walk(box, client, business(box, "goods-feedback"), "feedbacks", body=body, limit="50")


async def test_neither_end_of_a_period_of_reviews_is_in_it(box: Sandbox, client: AsyncClient) -> None:
    found = await reviews(box, client, datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 12, tzinfo=UTC))
    first, last = (datetime.fromisoformat(found[at]["createdAt"]) for at in (0, -1))
    inner = await reviews(box, client, first, last)
    assert [row["feedbackId"] for row in inner] == [row["feedbackId"] for row in found[1:-1]]
    assert len(inner) > 2


async def test_periods_that_are_too_long_or_too_early_are_refused(box: Sandbox, client: AsyncClient) -> None:
    store = int(campaigns(box)[0])
    half_a_year = {"dateTimeFrom": "2026-05-01T00:00:00Z", "dateTimeTo": "2026-11-20T00:00:00Z"}
    month = {"dateFrom": "2026-10-01", "dateTo": "2026-11-10", "sort": "CREATED_AT_ASC"}
    for path, body in (
        (business(box, "goods-feedback"), half_a_year),
        (business(box, "goods-questions", "v1"), month),
        (business(box, "ratings/quality"), {"dateFrom": "2026-10-20", "dateTo": "2026-11-10", "campaignIds": [store]}),
        (business(box, "ratings/quality"), {"dateFrom": "2026-11-01", "dateTo": "2026-11-21", "campaignIds": [store]}),
        (business(box, "ratings/quality"), {"dateFrom": "2026-11-01", "dateTo": "2026-11-10", "campaignIds": []}),
    ):
        answer = await ask(box, client, path, body)
        assert (answer.status_code, answer.json()["status"]) == (400, "ERROR"), path


async def test_questions_say_how_many_there_are_in_all(box: Sandbox, client: AsyncClient) -> None:
    body = {"dateFrom": "2026-11-01", "dateTo": "2026-11-19", "sort": "CREATED_AT_ASC"}
    answer = (await ask(box, client, business(box, "goods-questions", "v1"), body, limit="7")).json()["result"]
    start = datetime(2026, 10, 31, 21, tzinfo=UTC)
    held = box.records(NAME, seller(box), "questions", start=start, end=start + timedelta(days=19))
    assert (len(answer["questions"]), answer["totalCount"]) == (7, len(held))


async def test_a_store_has_a_mark_for_each_day(box: Sandbox, client: AsyncClient) -> None:
    store = campaigns(box)[2]
    body = {"dateFrom": "2026-11-10", "dateTo": "2026-11-12", "campaignIds": [int(store)]}
    (rated,) = (await ask(box, client, business(box, "ratings/quality"), body)).json()["result"]["campaignRatings"]
    assert rated["campaignId"] == int(store)
    assert [mark["calculationDate"] for mark in rated["ratings"]] == ["2026-11-10", "2026-11-11", "2026-11-12"]
    foreign = {**body, "campaignIds": [1]}
    assert (await ask(box, client, business(box, "ratings/quality"), foreign)).status_code == 403


async def test_a_supply_goes_through_its_states(box: Sandbox, client: AsyncClient) -> None:
    path, body = (
        f"/v2/campaigns/{campaigns(box)[0]}/supply-requests",
        {"sorting": {"direction": "ASC", "attribute": "ID"}},
    )
    before = await walk(box, client, path, "requests", body=body, limit="100")
    box.clock.advance(timedelta(days=10))
    after = await walk(box, client, path, "requests", body=body, limit="100")
    assert [row["id"] for row in after[: len(before)]] == [row["id"] for row in before]
    assert {row["status"] for row in after[: len(before)]} == {"FINISHED"} != {row["status"] for row in before}
    assert (await ask(box, client, path, {"sorting": {"direction": "ASC"}})).status_code == 400

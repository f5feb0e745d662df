import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.server import Sandbox
from tests.unit.sandbox.yandex_market_calls import NAME, Body, ask, campaigns, seller, walk


async def test_the_stores_of_a_key(box: Sandbox, client: AsyncClient) -> None:
    found = await walk(box, client, "/v2/campaigns", "campaigns", body=None, limit="100")
    assert [str(campaign["id"]) for campaign in found] == campaigns(box)
    assert {campaign["business"]["id"] for campaign in found} == {int(seller(box))}
    assert len(found) == 3


async def test_statistics_of_each_store_by_day_of_change_both_days_included(box: Sandbox, client: AsyncClient) -> None:
    start = datetime(2026, 11, 9, 21, tzinfo=UTC)
    for campaign in campaigns(box):
        path = f"/v2/campaigns/{campaign}/stats/orders"
        body = {"updateFrom": "2026-11-10", "updateTo": "2026-11-12"}
        found = await walk(box, client, path, "orders", body=body, limit="200")
        expected = box.records(
            NAME, seller(box), "orders_stats", slice_=f"campaign={campaign}", start=start, end=start + timedelta(days=3)
        )
        assert sorted(str(order["id"]) for order in found) == sorted(expected)
        assert len(found) > 5


async def test_statistics_take_one_pair_of_dates(box: Sandbox, client: AsyncClient) -> None:
    path = f"/v2/campaigns/{campaigns(box)[0]}/stats/orders"
    both = {"dateFrom": "2026-11-10", "dateTo": "2026-11-12", "updateFrom": "2026-11-10", "updateTo": "2026-11-12"}
    for body in ({}, both):
        assert (await ask(box, client, path, body)).status_code == 400
    by_creation = await walk(
        box, client, path, "orders", body={"dateFrom": "2026-11-10", "dateTo": "2026-11-10"}, limit="200"
    )
    assert {order["creationDate"] for order in by_creation} == {"2026-11-10"}


async def test_orders_of_the_cabinet_by_change(box: Sandbox, client: AsyncClient) -> None:
    start, end = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC)
    dates = {"updateDateFrom": start.isoformat(), "updateDateTo": end.isoformat()}
    found = await walk(
        box, client, f"/v1/businesses/{seller(box)}/orders", "orders", body={"dates": dates}, limit="500"
    )
    assert sorted(str(order["orderId"]) for order in found) == sorted(
        box.records(NAME, seller(box), "orders", start=start, end=end)
    )
    assert len(found) > 20


async def test_orders_can_be_asked_of_one_store_and_by_creation(box: Sandbox, client: AsyncClient) -> None:
    campaign = campaigns(box)[1]
    dates = {"creationDateFrom": "2026-11-10", "creationDateTo": "2026-11-12"}
    body = {"dates": dates, "campaignIds": [int(campaign)]}
    found = await walk(box, client, f"/v1/businesses/{seller(box)}/orders", "orders", body=body, limit="50")
    start = datetime(2026, 11, 9, 21, tzinfo=UTC)
    expected = box.records(
        NAME, seller(box), "orders", slice_=campaign, start=start, end=start + timedelta(days=2), by="created"
    )
    assert sorted(str(order["orderId"]) for order in found) == sorted(expected)
    assert found


async def test_a_pair_of_dates_is_at_most_thirty_days_apart(box: Sandbox, client: AsyncClient) -> None:
    path = f"/v1/businesses/{seller(box)}/orders"
    for dates in (
        {"creationDateFrom": "2026-10-10", "creationDateTo": "2026-11-10"},
        {"updateDateFrom": "2026-10-10T00:00:00Z", "updateDateTo": "2026-11-09T00:00:01Z"},
    ):
        answer = await ask(box, client, path, {"dates": dates})
        assert (answer.status_code, answer.json()["status"]) == (400, "ERROR")


async def test_a_page_token_is_good_for_its_own_filter_only(box: Sandbox, client: AsyncClient) -> None:
    path = f"/v2/campaigns/{campaigns(box)[0]}/stats/orders"
    first = await ask(box, client, path, {"updateFrom": "2026-11-01", "updateTo": "2026-11-12"})
    query = {"pageToken": first.json()["result"]["paging"]["nextPageToken"]}
    other = await ask(box, client, path, {"updateFrom": "2026-11-02", "updateTo": "2026-11-12"}, **query)
    assert other.status_code == 400


async def test_prices_of_the_cabinet(box: Sandbox, client: AsyncClient) -> None:
    found = await walk(box, client, f"/v2/businesses/{seller(box)}/offer-prices", "offers", body={}, limit="9999")
    assert sorted(offer["offerId"] for offer in found) == sorted(box.records(NAME, seller(box), "prices"))
    assert len(found) >= 30


async def test_keys_open_their_own_cabinet_only(box: Sandbox, client: AsyncClient) -> None:
    other = box.seller(NAME, 2)
    assert (await ask(box, client, f"/v2/businesses/{other}/offer-prices", {})).status_code == 403
    assert (await ask(box, client, f"/v2/campaigns/{other}1/stats/orders", {})).status_code == 403
    headers = {"Host": "api.partner.market.yandex.ru"}
    assert (await client.get("/v2/campaigns", headers=headers)).status_code == 401
    assert (await client.get("/v2/campaigns", headers={**headers, "Api-Key": "ACMA:no:no"})).status_code == 403


async def create(box: Sandbox, client: AsyncClient, first: str, last: str, kind: str = "JSON") -> Response:
    body = {"businessId": int(seller(box)), "dateFrom": first, "dateTo": last}
    return await ask(box, client, "/v2/reports/united-netting/generate", body, format=kind)


async def poll(box: Sandbox, client: AsyncClient, report: str) -> Body:
    answer = await ask(box, client, f"/v2/reports/info/{report}")
    result: Body = answer.raise_for_status().json()["result"]
    return result


async def download(client: AsyncClient, link: str, **headers: str) -> Response:
    url = urlsplit(link)
    return await client.get(f"{url.path}?{url.query}", headers={"Host": url.netloc, **headers})


async def test_a_report_is_created_polled_and_downloaded_without_credentials(box: Sandbox, client: AsyncClient) -> None:
    made = (await create(box, client, "2026-11-10", "2026-11-14")).json()["result"]["reportId"]
    states = [(await poll(box, client, made))["status"] for _ in range(2)]
    done = await poll(box, client, made)
    assert [*states, done["status"]] == ["PENDING", "PROCESSING", "DONE"]
    answer = await download(client, done["file"])
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = json.loads(archive.read("Начисления.json"))
    start = datetime(2026, 11, 9, 21, tzinfo=UTC)
    expected = box.records(NAME, seller(box), "united_netting", start=start, end=start + timedelta(days=5))
    assert sorted(row["ID"] for row in rows) == sorted(expected)
    assert (await download(client, done["file"])).content == answer.content
    assert (await download(client, done["file"], **{"Api-Key": "x"})).status_code == 400


@pytest.mark.parametrize(("kind", "entry"), [("CSV", "Начисления.csv"), ("FILE", "xl/worksheets/sheet1.xml")])
async def test_a_report_comes_in_the_other_formats_too(
    box: Sandbox, client: AsyncClient, kind: str, entry: str
) -> None:
    made = (await create(box, client, "2026-11-10", "2026-11-14", kind)).json()["result"]["reportId"]
    box.clock.advance(timedelta(minutes=1))
    answer = await download(client, (await poll(box, client, made))["file"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        text = archive.read(entry).decode()
    start = datetime(2026, 11, 9, 21, tzinfo=UTC)
    for key in box.records(NAME, seller(box), "united_netting", start=start, end=start + timedelta(days=5)):
        assert key in text


async def test_a_link_to_a_report_lives_an_hour(box: Sandbox, client: AsyncClient) -> None:
    made = (await create(box, client, "2026-11-10", "2026-11-14", "CSV")).json()["result"]["reportId"]
    box.clock.advance(timedelta(minutes=1))
    done = await poll(box, client, made)
    assert done["status"] == "DONE"
    box.clock.advance(timedelta(minutes=61))
    assert (await download(client, done["file"])).status_code == 410
    again = await poll(box, client, made)
    assert (await download(client, again["file"])).status_code == 200


async def test_a_report_without_data_is_done_and_has_no_file(box: Sandbox, client: AsyncClient) -> None:
    made = (await create(box, client, "2026-01-10", "2026-01-14")).json()["result"]["reportId"]
    box.clock.advance(timedelta(minutes=1))
    done = await poll(box, client, made)
    assert (done["status"], done["subStatus"]) == ("DONE", "NO_DATA")
    assert "file" not in done


async def test_a_report_covers_three_months_at_most_and_its_id_must_be_known(box: Sandbox, client: AsyncClient) -> None:
    assert (await create(box, client, "2026-08-01", "2026-11-14")).status_code == 400
    assert (await ask(box, client, "/v2/reports/info/nothing")).status_code == 404


async def test_every_create_makes_a_report_and_is_counted(box: Sandbox, client: AsyncClient) -> None:
    made = {(await create(box, client, "2026-11-10", "2026-11-14")).json()["result"]["reportId"] for _ in range(3)}
    assert len(made) == 3
    assert box.requests()["yandex_market/united_netting/create"] == 3

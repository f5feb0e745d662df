"""What Ozon's methods refuse, as the vendor's pages say."""

import json
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.server import Sandbox

Body = dict[str, Any]
PERIOD = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-10T00:00:00Z"}
TIMES = {"time_from": "2026-11-01T00:00:00Z", "time_to": "2026-11-10T00:00:00Z"}
ANALYTICS = {
    "date_from": "2026-11-10",
    "date_to": "2026-11-12",
    "dimension": ["sku", "day"],
    "metrics": ["revenue", "ordered_units"],
    "sort": [{"key": "revenue", "order": "DESC"}],
    "limit": 1000,
    "offset": 0,
}


async def ask(box: Sandbox, client: AsyncClient, path: str, body: Body) -> Response:
    secret = json.loads(box.credentials("ozon", box.seller("ozon", 1)))
    headers = {"Host": "api-seller.ozon.ru", "Client-Id": secret["client_id"], "Api-Key": secret["api_key"]}
    return await client.post(path, json=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v5/product/info/prices", {"limit": 10}),
        ("/v5/product/info/prices", {"filter": {}, "limit": 1001}),
        ("/v4/product/info/stocks", {"filter": {"visibility": "ALL"}}),
        ("/v4/product/info/attributes", {"filter": {}, "limit": 1001}),
        ("/v1/product/info/stocks-by-warehouse/fbo", {"limit": 1000, "cursor": "no"}),
        ("/v2/warehouse/list", {"limit": 201}),
        ("/v3/posting/fbo/list", {"filter": {"since": "2026-11-01T00:00:00Z"}}),
        ("/v3/posting/fbo/list", {"filter": {"since": PERIOD["from"], "to": PERIOD["to"]}, "limit": 101}),
        ("/v1/returns/list", {"filter": {"visual_status_change_moment": TIMES}, "limit": 501}),
        (
            "/v1/returns/list",
            {"filter": {"visual_status_change_moment": TIMES, "logistic_return_date": TIMES}, "limit": 9},
        ),
        ("/v2/returns/rfbs/list", {"filter": {}, "limit": 10}),
        ("/v3/supply-order/list", {"filter": {"states": []}, "limit": 10, "sort_by": "ORDER_CREATION"}),
        ("/v3/supply-order/list", {"filter": {"states": ["COMPLETED"]}, "limit": 10}),
        ("/v2/review/list", {"filters": {"published_from": PERIOD["from"], "published_to": PERIOD["to"]}, "limit": 19}),
        ("/v1/question/list", {"filter": {"date_from": PERIOD["from"], "date_to": PERIOD["to"]}, "limit": 101}),
        ("/v1/finance/cash-flow-statement/list", {"date": PERIOD, "page": 0, "page_size": 10}),
        ("/v2/finance/realization", {"month": 13, "year": 2026}),
        ("/v2/finance/realization", {"month": 7, "year": 2023}),
        ("/v1/analytics/data", {**ANALYTICS, "date_from": "2026-07-01"}),
        ("/v1/analytics/data", {**ANALYTICS, "metrics": ["hits_view"]}),
        ("/v1/analytics/data", {**ANALYTICS, "limit": 1001}),
        ("/v1/analytics/turnover/stocks", {"offset": 0}),
        ("/v1/report/placement/by-products/create", {"date_from": "2026-10-01", "date_to": "2026-11-01"}),
    ],
)
async def test_a_request_that_the_vendor_would_refuse_is_refused(
    box: Sandbox, client: AsyncClient, path: str, body: Body
) -> None:
    answer = await ask(box, client, path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_a_month_is_reported_from_the_fifth_of_the_next_one_on(box: Sandbox, client: AsyncClient) -> None:
    for path in ("/v2/finance/realization", "/v1/finance/realization/posting"):
        early = await ask(box, client, path, {"month": 11, "year": 2026})
        assert (early.status_code, early.json()["code"]) == (404, 5)
    box.clock.advance(timedelta(days=15))
    report = (await ask(box, client, "/v2/finance/realization", {"month": 11, "year": 2026})).raise_for_status().json()
    assert report["result"]["header"]["start_date"] == "2026-11-01"
    assert [row["rowNumber"] for row in report["result"]["rows"]] == list(range(1, 13))


async def test_returns_are_asked_by_the_change_of_their_status(box: Sandbox, client: AsyncClient) -> None:
    body = {"filter": {"visual_status_change_moment": TIMES}, "limit": 500}
    found: list[int] = []
    more = True
    while more:
        page = await ask(box, client, "/v1/returns/list", {**body, "last_id": found[-1] if found else 0})
        found += [row["id"] for row in page.json()["returns"]]
        more = page.json()["has_next"]
        assert all(TIMES["time_from"] <= row["visual"]["change_moment"] for row in page.json()["returns"])
    assert found == sorted(set(found))
    assert len(found) > 2 * 3, "one page only: the test would prove little"


async def test_a_report_is_made_while_it_is_asked_for_and_forgotten_after_days(
    box: Sandbox, client: AsyncClient
) -> None:
    made = await ask(box, client, "/v1/report/products/create", {"language": "DEFAULT", "visibility": "ALL"})
    code = {"code": made.json()["result"]["code"]}
    states = [(await ask(box, client, "/v1/report/info", code)).json()["result"] for _ in range(3)]
    assert [state["status"] for state in states] == ["waiting", "processing", "success"]
    host, _, path = states[-1]["file"].removeprefix("https://").partition("/")
    file = await client.get(f"/{path}", headers={"Host": host})
    assert file.content.startswith(b"\xef\xbb\xbf")
    shown = await client.get(f"/{path}", headers={"Host": host, "Client-Id": "1", "Api-Key": "never there"})
    assert shown.status_code == 400
    box.clock.advance(timedelta(days=4))
    gone = await ask(box, client, "/v1/report/info", code)
    assert (gone.status_code, gone.json()["code"]) == (404, 5)
    assert (await client.get(f"/{path}", headers={"Host": host})).status_code == 404

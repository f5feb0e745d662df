from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.clock import Clock
from sandbox.server import Sandbox

Body = dict[str, Any]
CONTROL = {"Host": "sandbox.control"}


async def orders(box: Sandbox, client: AsyncClient, encoding: str = "gzip") -> Response:
    token = box.credentials("wildberries", box.seller("wildberries", 1))
    headers = {"Host": "statistics-api.wildberries.ru", "Authorization": token, "Accept-Encoding": encoding}
    return await client.get("/api/v1/supplier/orders", params={"dateFrom": "2026-11-01"}, headers=headers)


async def control(
    client: AsyncClient, path: str, body: Body | None = None, query: Mapping[str, str] | None = None
) -> Any:
    method = "GET" if body is None else "POST"
    answer = await client.request(method, path, params=query, json=body, headers=CONTROL)
    return answer.raise_for_status().json()


async def test_what_was_served_is_told_by_digest(box: Sandbox, client: AsyncClient) -> None:
    packed, plain = await orders(box, client), await orders(box, client, "identity")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    served = await control(client, "/served")
    assert [line["sha256"] for line in served] == [sha256(plain.content).hexdigest()] * 2
    assert served[0] | {"sha256": ""} == {
        "sha256": "",
        "marketplace": "wildberries",
        "stream": "orders",
        "seller": box.seller("wildberries", 1),
        "status": 200,
        "at": "2026-11-20T12:00:00Z",
        "records": len(plain.json()),
    }
    assert await control(client, "/requests") == {"wildberries/orders": 2}
    assert await control(client, "/violations") == []


async def test_the_oracle_answers_over_the_wire(box: Sandbox, client: AsyncClient) -> None:
    seller = box.seller("wildberries", 1)
    start = datetime(2026, 11, 10, tzinfo=UTC)
    query = {"marketplace": "wildberries", "seller": seller, "stream": "orders"}
    assert await control(client, "/records", query=query) == box.records("wildberries", seller, "orders")
    window = {"from": start.isoformat(), "to": (start + timedelta(days=1)).isoformat()}
    expected = box.records("wildberries", seller, "orders", start=start, end=start + timedelta(days=1))
    assert await control(client, "/records", query=query | window) == expected
    assert expected


async def test_the_clock_is_moved_over_the_wire(box: Sandbox, client: AsyncClient) -> None:
    assert await control(client, "/clock", {"advance": 90}) == {"now": "2026-11-20T12:01:30Z"}
    assert await control(client, "/clock", {"set": "2026-11-25T00:00:00Z"}) == {"now": "2026-11-25T00:00:00Z"}
    await control(client, "/clock", {"running": True})
    assert box.clock.now() > datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 502, 503])
async def test_a_bad_day_can_be_played(box: Sandbox, client: AsyncClient, status: int) -> None:
    await control(client, "/fail", {"marketplace": "wildberries", "stream": "orders", "status": status, "count": 2})
    assert [(await orders(box, client)).status_code for _ in range(3)] == [status, status, 200]
    assert box.violations() == []


async def test_a_bad_day_of_a_report_can_be_played_step_by_step(box: Sandbox, client: AsyncClient) -> None:
    box.fail("yandex_market", "united_netting/info", 429)
    seller = box.seller("yandex_market", 1)
    headers = {"Host": "api.partner.market.yandex.ru", "Api-Key": box.credentials("yandex_market", seller)}
    answers = [await client.get("/v2/reports/info/x", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [420, 404]


async def test_any_body_can_be_answered_once(box: Sandbox, client: AsyncClient) -> None:
    body = {"marketplace": "wildberries", "stream": "orders", "body": "<html>", "content_type": "text/html"}
    await control(client, "/fail", body)
    odd = await orders(box, client)
    assert (odd.status_code, odd.text, odd.headers["content-type"]) == (200, "<html>", "text/html")
    assert (await orders(box, client)).json()


async def test_a_key_can_be_revoked_and_the_one_that_is_issued_then_is_good(box: Sandbox, client: AsyncClient) -> None:
    seller, other = box.seller("wildberries", 1), box.credentials("wildberries", box.seller("wildberries", 2))
    old = box.credentials("wildberries", seller)
    answer = await control(client, "/revoke", {"marketplace": "wildberries", "seller": seller})
    assert answer == {"secret": box.credentials("wildberries", seller)}

    async def status(token: str) -> int:
        headers = {"Host": "discounts-prices-api.wildberries.ru", "Authorization": token}
        return (await client.get("/api/v2/list/goods/filter", params={"limit": 1}, headers=headers)).status_code

    assert [await status(token) for token in (old, answer["secret"], other, old)] == [401, 200, 200, 401]
    assert await control(client, "/refused") == {"wildberries": 2}
    assert (await client.post("/revoke", json={"marketplace": "x", "seller": "1"}, headers=CONTROL)).status_code == 400


@pytest.mark.parametrize("marketplace", ["wildberries", "ozon", "yandex_market"])
def test_each_marketplace_issues_another_key_after_one_was_revoked(box: Sandbox, marketplace: str) -> None:
    seller = box.seller(marketplace, 1)
    keys = [box.credentials(marketplace, seller)]
    for _ in range(2):
        box.revoke(marketplace, seller)
        keys.append(box.credentials(marketplace, seller))
    assert len(set(keys)) == 3


async def test_an_unknown_host_is_misdirected_and_an_unknown_control_path_not_found(client: AsyncClient) -> None:
    assert (await client.get("/", headers={"Host": "example.com"})).status_code == 421
    assert (await client.get("/nothing", headers=CONTROL)).status_code == 404
    assert (await client.post("/clock", json={"forward": 1}, headers=CONTROL)).status_code == 400


async def test_every_host_of_the_vendors_leads_here(box: Sandbox) -> None:
    assert set(box.hosts.values()) == {box.url}
    assert {"market-reports.sandbox.yandex.ru", "cdn1.sandbox.ozone.ru"} < set(box.hosts)
    assert {endpoint.host for played in box.marketplaces.values() for endpoint in played.endpoints} < set(box.hosts)


async def test_whoever_asks_is_told_the_own_address(client: AsyncClient) -> None:
    assert (await client.get("/", headers={"Host": "api.ipify.org"})).text == "127.0.0.1"


def test_a_page_limit_of_a_stream_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no stream wildberries/nothing"):
        Sandbox(tmp_path, page_limits={"wildberries/nothing": 5})


def test_a_running_clock_runs_and_a_frozen_one_does_not() -> None:
    frozen = Clock.frozen(datetime(2026, 11, 20, tzinfo=UTC))
    assert frozen.now() == frozen.now()
    running = Clock()
    assert abs(running.now() - datetime.now(UTC)) < timedelta(seconds=5)
    running.freeze()
    assert running.now() == running.now()

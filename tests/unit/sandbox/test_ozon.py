import json
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import AsyncClient, Response  # noqa: TID251 - a client that shares nothing with the worker's

from sandbox.server import Sandbox

NAME = "ozon"
Body = dict[str, Any]


async def ask(box: Sandbox, client: AsyncClient, path: str, body: Body) -> Response:
    secret = json.loads(box.credentials(NAME, seller(box)))
    headers = {"Host": "api-seller.ozon.ru", "Client-Id": secret["client_id"], "Api-Key": secret["api_key"]}
    return await client.post(path, json=body, headers=headers)


def seller(box: Sandbox) -> str:
    return box.seller(NAME, 1)


async def test_products_end_on_an_empty_page_with_an_empty_last_id(box: Sandbox, client: AsyncClient) -> None:
    total = 0
    for visibility in ("ALL", "ARCHIVED"):
        found: list[str] = []
        last_id = ""
        while True:
            body = {"filter": {"visibility": visibility}, "last_id": last_id, "limit": 1000}
            result = (await ask(box, client, "/v3/product/list", body)).raise_for_status().json()["result"]
            last_id = result["last_id"]
            if not result["items"]:
                break
            found += [str(item["product_id"]) for item in result["items"]]
        assert last_id == ""
        assert len(found) == result["total"]
        assert sorted(found) == sorted(box.records(NAME, seller(box), "products", slice_=visibility))
        total += len(found)
    assert total >= 40


async def test_a_last_id_is_good_for_its_own_filter_only(box: Sandbox, client: AsyncClient) -> None:
    first = await ask(box, client, "/v3/product/list", {"filter": {"visibility": "ALL"}, "limit": 5})
    body = {"filter": {"visibility": "ARCHIVED"}, "last_id": first.json()["result"]["last_id"], "limit": 5}
    assert (await ask(box, client, "/v3/product/list", body)).status_code == 400


async def test_postings_are_walked_by_cursor_until_there_is_no_next(box: Sandbox, client: AsyncClient) -> None:
    found: list[str] = []
    cursor = ""
    window = {"since": "2026-11-03T00:00:00Z", "to": "2026-11-20T12:00:00Z"}
    while True:
        body = {"filter": window, "limit": 100, "cursor": cursor}
        answer = (await ask(box, client, "/v4/posting/fbs/list", body)).raise_for_status().json()
        found += [posting["posting_number"] for posting in answer["postings"]]
        cursor = answer["cursor"]
        if not answer["has_next"]:
            break
    start = datetime(2026, 11, 3, tzinfo=UTC)
    assert sorted(found) == sorted(box.records(NAME, seller(box), "fbs_postings", start=start))
    assert len(found) > 60


async def test_postings_can_be_asked_by_their_last_change(box: Sandbox, client: AsyncClient) -> None:
    changed = {"from": "2026-11-18T00:00:00Z", "to": "2026-11-19T00:00:00Z"}
    window = {"since": "2026-11-01T00:00:00Z", "to": "2026-11-20T00:00:00Z", "last_changed_status_date": changed}
    answer = await ask(box, client, "/v4/posting/fbs/list", {"filter": window, "limit": 100})
    start = datetime(2026, 11, 18, tzinfo=UTC)
    expected = box.records(NAME, seller(box), "fbs_postings", start=start, end=start + timedelta(days=1), by="changed")
    given = {posting["posting_number"] for posting in answer.json()["postings"]}
    assert given
    assert given <= set(expected)


async def test_a_period_longer_than_a_year_is_too_long(box: Sandbox, client: AsyncClient) -> None:
    window = {"since": "2025-11-01T00:00:00Z", "to": "2026-11-20T00:00:00Z"}
    answer = await ask(box, client, "/v4/posting/fbs/list", {"filter": window, "limit": 100})
    assert (answer.status_code, answer.json()["message"]) == (400, "PERIOD_IS_TOO_LONG")


async def test_a_filter_without_its_period_is_refused(box: Sandbox, client: AsyncClient) -> None:
    answer = await ask(box, client, "/v4/posting/fbs/list", {"filter": {"since": "2026-11-01T00:00:00Z"}})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_accruals_are_walked_day_by_day(box: Sandbox, client: AsyncClient) -> None:
    for day in (datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)):
        found: list[str] = []
        last_id = ""
        while True:
            body = {"date": day.date().isoformat(), "last_id": last_id}
            answer = (await ask(box, client, "/v1/finance/accrual/by-day", body)).raise_for_status().json()
            found += [str(accrual["accrual_id"]) for accrual in answer["accruals"]]
            last_id = answer["last_id"]
            if not last_id:
                break
        expected = box.records(NAME, seller(box), "accruals_by_day", start=day, end=day + timedelta(days=1))
        assert sorted(found) == sorted(expected)
    assert found


async def test_a_last_id_of_accruals_lives_fifteen_minutes_and_for_its_own_date(
    box: Sandbox, client: AsyncClient
) -> None:
    path = "/v1/finance/accrual/by-day"
    first = await ask(box, client, path, {"date": "2026-11-10", "last_id": ""})
    last_id = first.json()["last_id"]
    assert (await ask(box, client, path, {"date": "2026-11-11", "last_id": last_id})).status_code == 400
    box.clock.advance(timedelta(minutes=15))
    assert (await ask(box, client, path, {"date": "2026-11-10", "last_id": last_id})).status_code == 200
    box.clock.advance(timedelta(seconds=1))
    expired = await ask(box, client, path, {"date": "2026-11-10", "last_id": last_id})
    assert (expired.status_code, expired.json()["message"]) == (400, "last_id has expired")
    assert (await ask(box, client, path, {"date": "2026-11-10"})).status_code == 400


async def test_days_of_accruals_are_restated_after_they_are_over(box: Sandbox) -> None:
    start, end = datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 12, 19, tzinfo=UTC)
    as_first_read: set[str] = set()
    while (day := start + timedelta(days=1)) <= end:
        box.clock.set(day)
        as_first_read |= set(box.records(NAME, seller(box), "accruals_by_day", start=start, end=day))
        start = day
    box.clock.advance(timedelta(days=2))
    settled = box.records(NAME, seller(box), "accruals_by_day", start=datetime(2026, 11, 19, tzinfo=UTC), end=end)
    assert as_first_read < set(settled)


async def test_methods_that_were_switched_off_say_so(box: Sandbox, client: AsyncClient) -> None:
    for path in ("/v3/posting/fbs/list", "/v3/finance/transaction/list"):
        answer = await ask(box, client, path, {})
        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["message"]) == (9, "obsolete method cannot be used")


async def test_a_wrong_key_is_forbidden(box: Sandbox, client: AsyncClient) -> None:
    headers = {"Host": "api-seller.ozon.ru", "Client-Id": seller(box)}
    missing = await client.post("/v3/product/list", json={}, headers=headers)
    assert (missing.status_code, missing.json()["code"]) == (403, 16)
    wrong = await client.post("/v3/product/list", json={}, headers={**headers, "Api-Key": "no"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, 7)

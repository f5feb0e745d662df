"""Where a period includes its end, that is the last moment before the window ends: no record falls between."""

from __future__ import annotations

from collectors.errors import Later
from collectors.registry import find_stream
from collectors.stream import Request, Walk
from tests.unit.collectors.scripted import NOW, WINDOW, Script, gathered


async def asked(name: str) -> Request:
    stream = find_stream(*name.split("/"))
    script = Script([Later("enough")])
    await gathered(stream.pages, script, Walk(seller="7", since=NOW, now=NOW, slice="answered=true", window=WINDOW))
    return script.asked[0]


async def test_postings_of_the_last_microsecond_are_asked_for() -> None:
    period = (await asked("ozon/fbs_postings")).body["filter"]
    assert period == {"since": "2026-11-01T00:00:00Z", "to": "2026-11-07T23:59:59.999999Z"}


async def test_the_feed_of_orders_too() -> None:
    period = (await asked("wildberries/order_feed")).body["selectedPeriod"]
    assert period == {"start": "2026-11-01T00:00:00Z", "end": "2026-11-07T23:59:59.999999Z"}


async def test_reviews_to_the_second_as_they_are_dated() -> None:
    query = (await asked("wildberries/feedbacks")).query
    assert (query["dateFrom"], query["dateTo"]) == (1793491200, 1794095999)


async def test_a_day_is_the_last_of_its_window() -> None:
    body = (await asked("yandex_market/orders_stats")).body
    assert body == {"updateFrom": "2026-11-01", "updateTo": "2026-11-07"}


async def test_and_of_returns_and_questions() -> None:
    query = (await asked("yandex_market/returns")).query
    assert (query["fromDate"], query["toDate"]) == ("2026-11-01", "2026-11-07")
    body = (await asked("yandex_market/questions")).body
    assert (body["dateFrom"], body["dateTo"]) == ("2026-11-01", "2026-11-07")


async def test_where_both_ends_are_excluded_the_first_second_is_asked_for() -> None:
    body = (await asked("yandex_market/feedback")).body
    assert body == {"dateTimeFrom": "2026-10-31T23:59:59Z", "dateTimeTo": "2026-11-08T00:00:00Z"}


async def test_what_ozon_is_asked_by_time_has_its_last_microsecond() -> None:
    last = "2026-11-07T23:59:59.999999Z"
    assert (await asked("ozon/fbo_postings")).body["filter"]["to"] == last
    assert (await asked("ozon/returns")).body["filter"]["visual_status_change_moment"]["time_to"] == last
    assert (await asked("ozon/returns_rfbs")).body["filter"]["created_at"]["to"] == last
    assert (await asked("ozon/reviews")).body["filters"]["published_to"] == last
    assert (await asked("ozon/questions")).body["filter"]["date_to"] == last
    assert (await asked("ozon/cash_flow")).body["date"]["to"] == last


async def test_and_by_day_its_last_day() -> None:
    assert (await asked("ozon/analytics")).body["date_to"] == "2026-11-07"
    assert (await asked("ozon/placement_by_products")).body == {"date_from": "2026-11-01", "date_to": "2026-11-07"}

"""What a day of live collection takes of the limits: it fits, and the sum is that of a life that was lived."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collectors.budget import (
    ORDINARY,
    counted,
    ids_in,
    ids_kept_up_with,
    requests_a_day,
    requests_a_walk,
    token_types,
    uses,
    walks_a_day,
)
from collectors.registry import STREAMS, find_stream
from collectors.stream import Answer, Bucket, Page, Request, Snapshot, Stream, Windows
from collectors.testing import walk_of
from tests.unit.collectors.drawn import DAY
from tests.unit.collectors.lives import Life

# Refused to a token of this type by its limits alone; docs/budget.md says what becomes of such a stream.
DOES_NOT_FIT = {
    ("wildberries", "base"): {
        "orders",
        "sales",
        "order_feed",
        "fin_detail",
        "measurement_penalties",
        "documents",
        "feedbacks",
    },
}
CARDS = {ORDINARY: 20_000, "base": 1500}  # by token; of campaigns and postings there are fewer
IDS = {
    "fin_detail_by_id": {ORDINARY: 70},  # reports, which have pages of their own each
    "perf_report": {ORDINARY: 300},  # campaigns that run, of which a report holds ten
}
# What is read in windows and never again, and why. A stream that is not here says how long its time is restated.
NEVER_READ_AGAIN = {
    "wildberries/sales_by_day": "read when the money is in, 25 hours later",
    "wildberries/sales_funnel_history": "read when the day has been over for one more",
    "wildberries/search_texts": "read when the day has been over for one more",
    "wildberries/order_feed": "by the time of the status: what changes comes again in a later window",
    "ozon/product_queries": "read when it has been computed, two days later",
    "ozon/returns": "by the moment of the status",
    "yandex_market/orders": "by the time of the change",
    "yandex_market/returns": "by the day of the change",
    "yandex_market/quality": "an index of days that are over",
}
# One of each shape; those that run more often than hourly would take long to live through.
LIVED = [
    "wildberries/sales_funnel",
    "wildberries/fin_detail",
    "wildberries/item_returns",
    "wildberries/sales_by_day",
    "ozon/accruals_by_day",
    "ozon/analytics",
    "ozon/realization",
    "ozon/cash_flow",
    "yandex_market/united_orders",
    "yandex_market/orders_stats",
]

POLLS = 4  # of a report: one more than a report that is named by us and is ready at the second look takes
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def catalogue(marketplace: str) -> list[Stream]:
    return list(STREAMS[marketplace].values())


@pytest.mark.parametrize("marketplace", STREAMS)
def test_a_days_requests_fit_the_limits_of_each_token_but_where_the_docs_say_so(marketplace: str) -> None:
    streams = catalogue(marketplace)
    for token_type in token_types(streams[0].marketplace, streams):
        found = uses(streams[0].marketplace, streams, token_type)
        too_much = {name for name, use in found.items() if not use.fits}
        assert too_much == DOES_NOT_FIT.get((marketplace, token_type), set()), f"with the token {token_type!r}"


def test_a_personal_token_has_room_for_several_times_the_pages() -> None:
    for marketplace in STREAMS:
        streams = catalogue(marketplace)
        for name, use in uses(streams[0].marketplace, streams, ORDINARY).items():
            least = 1 if name.startswith("placement_by") else 3  # a report, which has no pages
            assert least * use.taken <= use.allowed, f"{name}: {use.taken:.0f} of {use.allowed:.0f}"


@pytest.mark.parametrize("marketplace", STREAMS)
async def test_polls_and_files_of_reports_which_are_not_counted_have_room_with_each_token(marketplace: str) -> None:
    streams = catalogue(marketplace)
    reports = [stream for stream in streams if stream.paging.startswith("report")]
    taken: Counter[str] = Counter()
    buckets: dict[str, Bucket] = {}
    for stream in reports:
        requests = await behind_creation(stream)
        assert requests, f"{stream.name} does not poll"
        assert marketplace != "wildberries" or requests[-1].file, f"{stream.name} fetches no file"
        for request in requests:
            asked = stream if request.buckets is None else replace(stream, buckets=request.buckets)
            for bucket in counted(stream.marketplace, asked):
                buckets[bucket.name] = bucket
                taken[bucket.name] += round(requests_a_day(stream) * (1 if request.file else POLLS) + 0.5)
    for token_type in token_types(streams[0].marketplace, streams):
        found = uses(streams[0].marketplace, streams, token_type)
        for name, bucket in buckets.items():
            others = found[name].taken if name in found else 0
            allowed = DAY / bucket.rate_for(token_type).every
            assert others + taken[name] <= allowed, (
                f"{name} of the token {token_type!r}: {taken[name]} of {allowed:.0f}"
            )


class Enough(Exception):
    """What is asked for next, the test does not need."""


async def behind_creation(stream: Stream) -> list[Request]:
    """Return the poll of a report that was created, and the request for its file where that has a limit of its own."""
    asked: list[Request] = []

    async def fetch(request: Request) -> Answer:
        asked.append(request)
        if len(asked) > 1 or stream.marketplace.name != "wildberries":
            raise Enough
        is_list = request.path.endswith("/downloads")
        body = b'{"data": [{"id": "1", "status": "SUCCESS"}]}' if is_list else b'{"data": {"status": "done"}}'
        return Answer(request=request, status=200, headers={}, body=body, fetched_at=NOON)

    under_way = {"report": "1", "created": True}
    cursor = under_way if stream.ids is None else {"ids": [stream.ids.example], "within": under_way}
    walk = replace(walk_of(stream, now=NOON), cursor=cursor)
    with suppress(Enough):
        async with aclosing(stream.pages(fetch, walk)) as steps:
            async for step in steps:
                assert not isinstance(step, Page)
    return asked


@pytest.mark.parametrize("name", LIVED)
def test_the_sum_of_a_days_walks_is_what_a_life_takes_of_them(name: str) -> None:
    stream = find_stream(*name.split("/"))
    progress = stream.progress
    assert isinstance(progress, Windows)
    now = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    warm = now + (progress.restated[-1][0] if progress.restated else DAY) + 5 * DAY
    measured = 62  # days: two whole months
    life = Life(progress, now)
    while now < warm + measured * DAY:
        if now < warm:
            life.read.clear()
        life.run(now)
        now += stream.every
    lived = len(life.read) / measured
    assert 0.95 * lived <= walks_a_day(stream) <= 2 * lived + 1, f"{lived:.1f} walks a day"


@pytest.mark.parametrize("marketplace", STREAMS)
def test_a_walk_may_take_as_long_as_the_slowest_token_needs_for_two_pages_and_the_end(marketplace: str) -> None:
    for stream in catalogue(marketplace):
        is_paged = requests_a_walk(stream) > 1 and isinstance(stream.progress, Windows | Snapshot)
        for bucket in stream.buckets if is_paged else ():
            for rate in (bucket.rate, *bucket.by_token.values()):
                needed = 3 * rate.every if rate.burst == 1 else timedelta(0)
                assert needed <= stream.trusted_for, f"{stream.name} would begin its walk again and again"


@pytest.mark.parametrize("marketplace", STREAMS)
def test_there_is_time_for_the_ids_of_a_large_seller_and_with_a_base_token_of_a_small_one(marketplace: str) -> None:
    for stream in catalogue(marketplace):
        wanted = {} if stream.ids is None else IDS.get(stream.name, CARDS)
        for token_type, ids in wanted.items():
            longest = ids_in(stream, stream.trusted_for, token_type)
            assert ids <= longest, f"{stream.name} would begin its walk again and again"
            assert token_type != ORDINARY or ids <= ids_kept_up_with(stream, ORDINARY), f"{stream.name} falls behind"


def test_what_is_read_in_windows_is_read_again_or_says_why_not() -> None:
    never = {
        f"{marketplace}/{name}"
        for marketplace, streams in STREAMS.items()
        for name, stream in streams.items()
        if isinstance(stream.progress, Windows) and not stream.progress.restated
    }
    assert never == set(NEVER_READ_AGAIN)

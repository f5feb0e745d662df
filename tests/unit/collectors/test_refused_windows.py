"""A window that a stream cannot be asked for is refused in one sentence that says what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collectors.registry import find_stream
from collectors.stream import Window
from collectors.windows import WindowRefused, refuse_window
from tests.unit.collectors.scripted import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("stream", "start", "end", "sentence"),
    [
        (
            "wildberries/prices",
            NOW - DAY,
            NOW,
            "wildberries/prices is a snapshot of now: ask for it without --from and --to",
        ),
        (
            "wildberries/orders",
            NOW - DAY,
            NOW + HOUR,
            "the window ends in the future (2026-11-20T13:00:00+00:00): end it at 2026-11-20T12:00:00+00:00 or before",
        ),
        (
            "wildberries/order_feed",
            NOW - 32 * DAY,
            NOW,
            "wildberries/order_feed keeps 31 days: a window cannot begin before 2026-10-20T12:00:00+00:00",
        ),
        (
            "wildberries/orders",
            NOW - 91 * DAY,
            NOW - 80 * DAY,
            "wildberries/orders keeps 90 days: a window cannot begin before 2026-08-22T12:00:00+00:00",
        ),
        (
            "ozon/accruals_by_day",
            NOW - 2 * HOUR,
            NOW,
            "ozon/accruals_by_day cannot tell anything of that window yet: ask again later",
        ),
    ],
)
def test_a_window_is_refused(stream: str, start: object, end: object, sentence: str) -> None:
    with pytest.raises(WindowRefused) as caught:
        refuse_window(find_stream(*stream.split("/")), Window(start, end), NOW)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


@pytest.mark.parametrize("stream", ["wildberries/orders", "wildberries/order_feed", "ozon/accruals_by_day"])
def test_a_window_of_the_last_week_is_not(stream: str) -> None:
    refuse_window(find_stream(*stream.split("/")), Window(NOW - 7 * DAY, NOW), NOW)


@pytest.mark.parametrize("length", [timedelta(0), -HOUR])
def test_a_window_that_ends_before_it_begins_is_none(length: timedelta) -> None:
    with pytest.raises(ValueError, match="before it begins"):
        Window(NOW, NOW + length)


def test_a_window_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="a window needs times with a zone"):
        Window(NOW.replace(tzinfo=None), NOW)

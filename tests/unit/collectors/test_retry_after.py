"""How long an answer says to wait, whatever a server or a proxy writes there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.refusals import retry_after
from tests.unit.collectors.scripted import answer_of

DATE = "Fri, 20 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("30", timedelta(seconds=30)),
        ("0.25", timedelta(seconds=0.25)),
        (" 5 ", timedelta(seconds=5)),
        ("999999999", timedelta(hours=24)),
        ("1e9", None),
        ("1_000", None),
        ("9" * 20, None),
        ("Fri, 20 Nov 2026 12:00:45 GMT", timedelta(seconds=45)),
        ("Fri, 20 Nov 2026 14:01:00 +0200", timedelta(minutes=1)),
        ("Fri, 20 Nov 2099 12:00:00 GMT", timedelta(hours=24)),
        ("0", None),
        ("-5", None),
        ("Fri, 20 Nov 2026 11:59:59 GMT", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("Fri, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_ignored(value: str, wait: timedelta | None) -> None:
    assert retry_after(answer_of(b"", headers={"retry-after": value, "date": DATE})) == wait


@pytest.mark.parametrize("date", [None, "", "today", "Fri, 20 Nov 2026 12:00:00 -0000"])
def test_a_date_counts_from_the_answers_own_clock_or_not_at_all(date: str | None) -> None:
    headers = {"retry-after": "Fri, 20 Nov 2026 12:00:45 GMT"} | ({} if date is None else {"date": date})
    assert retry_after(answer_of(b"", headers=headers)) is None


def test_the_vendors_own_header_comes_first_and_nonsense_in_it_gives_way_to_the_next() -> None:
    headers = {"x-retry": "7", "x-reset": "8", "retry-after": "9"}
    assert retry_after(answer_of(b"", headers=headers), "x-retry", "x-reset") == timedelta(seconds=7)
    assert retry_after(answer_of(b"", headers={**headers, "x-retry": "-1"}), "x-retry", "x-reset") == timedelta(
        seconds=8
    )
    assert retry_after(answer_of(b"", headers=headers)) == timedelta(seconds=9)


@given(st.text(), st.text())
@example("Fri, 20 Nov 99999999999999999999 12:00:00 GMT", DATE)
@example("Fri, 20 Nov 2026 12:00:00 +99999999999999999999", DATE)
@example("Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_text_breaks_the_reading(value: str, date: str) -> None:
    wait = retry_after(answer_of(b"", headers={"retry-after": value, "date": date}))
    assert wait is None or timedelta(0) < wait <= timedelta(hours=24)

"""The worker's clock follows the database's, not the time that an answer takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import time_machine

from worker.clock import Clock

NOW = datetime.now(UTC)


def test_a_slow_answer_does_not_set_the_clock_back() -> None:
    wall = [NOW]
    clock = Clock(lambda: wall[0])
    asked_at = clock.wall()
    wall[0] += timedelta(seconds=20)
    assert clock.correct(NOW + timedelta(seconds=1), asked_at)
    assert clock.now() == wall[0]


def test_a_clock_that_is_wrong_is_corrected_and_told() -> None:
    clock = Clock(lambda: NOW - timedelta(minutes=1))
    assert not clock.correct(NOW, clock.wall())
    assert clock.now() == NOW


def test_a_machine_whose_clock_is_set_changes_nothing() -> None:
    clock = Clock()
    before = clock.now()
    with time_machine.travel(NOW + timedelta(days=31)):
        assert timedelta(0) <= clock.now() - before < timedelta(hours=1)

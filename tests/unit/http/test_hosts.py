"""When a host is left alone, and when a failed request is worth repeating."""

from datetime import timedelta

import pytest

from collectors.errors import PutOff
from worker.http.hosts import Hosts

HOST = "api.vendor.example"


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def hosts(time: Time) -> Hosts:
    return Hosts(time, jitter=lambda: 1.0)


def down(hosts: Hosts, name: str = HOST, *, faults: int = 10) -> None:
    for _ in range(faults):
        hosts.fault(name)


def test_a_host_that_fails_ten_times_in_a_row_is_left_alone_for_half_a_minute(hosts: Hosts, time: Time) -> None:
    down(hosts, faults=9)
    hosts.check(HOST)
    hosts.fault(HOST)
    with pytest.raises(PutOff, match=HOST) as caught:
        hosts.check(HOST)
    assert caught.value.wait == timedelta(seconds=30)
    hosts.check("other.vendor.example")
    time.now += 31
    hosts.check(HOST)


def test_an_answer_in_between_starts_the_count_again(hosts: Hosts) -> None:
    down(hosts, faults=9)
    hosts.ok(HOST)
    down(hosts, faults=9)
    hosts.check(HOST)


def test_a_fault_that_may_be_the_ways_counts_half(hosts: Hosts) -> None:
    for _ in range(19):
        hosts.fault(HOST, 0.5)
    hosts.check(HOST)
    hosts.fault(HOST, 0.5)
    with pytest.raises(PutOff):
        hosts.check(HOST)


def test_after_the_wait_one_request_tries_and_the_others_go_on_waiting(hosts: Hosts, time: Time) -> None:
    down(hosts)
    time.now += 31
    with hosts.trying(HOST):
        with pytest.raises(PutOff):
            hosts.check(HOST)
        hosts.ok(HOST)
        with hosts.trying(HOST), hosts.trying(HOST):
            hosts.check(HOST)


def test_a_try_that_was_never_sent_gives_its_place_to_another(hosts: Hosts, time: Time) -> None:
    down(hosts)
    time.now += 31
    for _ in range(3):
        with hosts.trying(HOST):
            pass
    hosts.check(HOST)


def test_a_try_that_fails_doubles_the_wait_up_to_five_minutes(hosts: Hosts, time: Time) -> None:
    down(hosts)
    waits = []
    for _ in range(6):
        with pytest.raises(PutOff) as caught:
            hosts.check(HOST)
        waits.append(caught.value.wait.total_seconds())
        time.now += waits[-1] + 1
        with hosts.trying(HOST):
            pass
        hosts.fault(HOST)
    assert waits == [30, 60, 120, 240, 300, 300]


def test_a_fault_of_a_request_sent_before_the_stop_prolongs_nothing(hosts: Hosts, time: Time) -> None:
    down(hosts)
    hosts.fault(HOST)
    time.now += 31
    hosts.check(HOST)


def test_a_try_that_never_ends_gives_its_place_to_another(hosts: Hosts, time: Time) -> None:
    down(hosts)
    time.now += 31
    with hosts.trying(HOST):
        time.now += 131
        hosts.check(HOST)


def test_jitter_takes_up_to_half_of_the_wait(time: Time) -> None:
    hosts = Hosts(time, jitter=lambda: 0.0)
    down(hosts)
    with pytest.raises(PutOff) as caught:
        hosts.check(HOST)
    assert caught.value.wait == timedelta(seconds=15)


def test_retries_end_when_half_of_the_budget_is_spent_and_come_back_with_answers(hosts: Hosts) -> None:
    for _ in range(49):
        hosts.fault(HOST)
        hosts.ok(HOST)
        assert hosts.may_retry(HOST)
    for _ in range(9):
        hosts.fault(HOST)
    assert not hosts.may_retry(HOST)
    for _ in range(100):
        hosts.ok(HOST)
    assert hosts.may_retry(HOST)


def test_a_host_that_tells_three_sellers_to_wait_at_once_is_left_alone(hosts: Hosts) -> None:
    hosts.limited(HOST, "1")
    hosts.limited(HOST, "1")
    hosts.limited(HOST, "2")
    hosts.check(HOST)
    hosts.limited(HOST, "3")
    with pytest.raises(PutOff) as caught:
        hosts.check(HOST)
    assert caught.value.wait == timedelta(minutes=2)


def test_limits_that_are_apart_in_time_or_by_an_answer_are_the_sellers_own(hosts: Hosts, time: Time) -> None:
    for seller in ("1", "2", "3", "4"):
        hosts.limited(HOST, seller)
        time.now += 31
    for seller in ("5", "6"):
        hosts.limited(HOST, seller)
        hosts.ok(HOST)
    hosts.check(HOST)

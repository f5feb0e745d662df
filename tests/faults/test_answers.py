"""The cases of one table of the catalogue, against the real fetching, keeping and ending."""

import pytest

from sandbox.faults.case import Case, Group, Play
from tests.faults.ground import Ground
from tests.faults.playing import (
    assert_as_told,
    assert_as_told_of_the_third,
    assert_overcome,
    can_help,
    cases,
    hasten,
    lasts_for_runs,
    play_on,
    play_once,
    play_thrice,
)


@pytest.mark.parametrize(("case", "play"), cases(Group.ANSWERS))
async def test_it_ends_as_the_catalogue_says(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch)
    assert_as_told(case, await play_on(ground, case, play))


@pytest.mark.parametrize(("case", "play"), cases(Group.ANSWERS, can_help))
async def test_what_is_tried_next_helps_if_it_is_over(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch, lasting=False)
    seen, cost = await play_once(ground, case, play)
    assert_overcome(case, play, seen, cost)


@pytest.mark.parametrize(("case", "play"), cases(Group.ANSWERS, lasts_for_runs))
async def test_what_goes_on_for_three_runs_is_asked_for_less(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch)
    assert_as_told_of_the_third(case, await play_thrice(ground, case, play))

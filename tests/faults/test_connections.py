"""The cases of one table of the catalogue, against the real fetching, keeping and ending."""

import pytest

from sandbox.faults.case import Case, Group, Play
from tests.faults.ground import Ground
from tests.faults.playing import assert_as_told, assert_overcome, can_help, cases, hasten, play_on, play_once


@pytest.mark.parametrize(("case", "play"), cases(Group.CONNECTIONS))
async def test_it_ends_as_the_catalogue_says(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch)
    assert_as_told(case, await play_on(ground, case, play))


@pytest.mark.parametrize(("case", "play"), cases(Group.CONNECTIONS, can_help))
async def test_what_is_tried_next_helps_if_it_is_over(
    ground: Ground, case: Case, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasten(case, monkeypatch, lasting=False)
    seen, cost = await play_once(ground, case, play)
    assert_overcome(case, play, seen, cost)

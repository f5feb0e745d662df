"""The cases of one table of the catalogue, against the real fetching, keeping and ending."""

import pytest

from sandbox.faults.case import Case, Group, Play
from tests.faults.ground import Ground
from tests.faults.playing import assert_as_told, cases, is_refused, play_and_come_back, play_on


@pytest.mark.parametrize(("case", "play"), cases(Group.PAGING))
async def test_it_ends_as_the_catalogue_says(ground: Ground, case: Case, play: Play) -> None:
    assert_as_told(case, await play_on(ground, case, play))


@pytest.mark.parametrize(("case", "play"), cases(Group.PAGING, is_refused))
async def test_no_position_moves_past_what_was_refused(ground: Ground, case: Case, play: Play) -> None:
    first, refused, after = await play_and_come_back(ground, case, play)
    assert after == refused
    assert after != first, "the pages before it are kept"

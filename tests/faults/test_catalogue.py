"""The table is whole: it says nothing that no test plays."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from collectors.errors import Blame as CollectorsBlame
from sandbox.faults.case import Blame, Case, Cost, Named, Play, Reaction, Scene, Stored
from sandbox.faults.catalogue import CATALOGUE
from tests.faults import test_answers, test_bodies, test_connections, test_ours, test_paging
from tests.faults.playing import can_help

_ROOT = Path(__file__).parents[2]
_HERE = "tests/faults/"
_CASES = [case for cases in CATALOGUE.values() for case in cases]
_MODULES = (test_answers, test_bodies, test_connections, test_ours, test_paging)


def test_every_name_is_of_one_case() -> None:
    names = [case.name for case in _CASES]
    assert len(set(names)) == len(names)


def test_whose_fault_it_is_said_in_the_collectors_words() -> None:
    assert {blame.name: blame.value for blame in Blame} == {blame.name: blame.value for blame in CollectorsBlame}


def test_no_word_of_the_table_is_without_a_case() -> None:
    assert {case.blame for case in _CASES} == set(Blame)
    assert {case.cost for case in _CASES} == set(Cost)
    assert {case.stored for case in _CASES} == set(Stored)
    assert {case.scene for case in _CASES} == set(Scene)
    told = {reaction for case in _CASES for reaction in (*case.reactions, case.third)}
    assert told - {None} == set(Reaction)


def test_every_case_is_played() -> None:
    assert all(case.plays for case in _CASES)
    played = list(_parameters("test_it_ends_as_the_catalogue_says"))
    for case in _CASES:
        for play in case.plays:
            assert isinstance(play, Named) or (case, play) in played, case.name


def test_what_a_proxy_pays_and_what_is_done_the_third_time_is_played() -> None:
    once = [case for case, _ in _parameters("test_what_is_tried_next_helps_if_it_is_over")]
    thrice = [case for case, _ in _parameters("test_what_goes_on_for_three_runs_is_asked_for_less")]
    for case in _CASES:
        assert case.cost is Cost.NOTHING or case in once, case.name
        assert case.third is None or case in thrice, case.name
        assert case in once or not any(can_help(case, play) for play in _own(case)), case.name


@pytest.mark.parametrize(
    ("case", "play"),
    [pytest.param(case, play, id=case.name) for case in _CASES for play in case.plays if isinstance(play, Named)],
)
def test_a_test_that_the_table_names_exists_and_holds_to_it(case: Case, play: Named) -> None:
    path, _, name = play.test.partition("::")
    written = ast.parse((_ROOT / path).read_text("utf-8")).body
    functions = [node for node in written if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = next((function for function in functions if function.name == name), None)
    assert named is not None, f"{play.test} does not exist"
    if path.startswith(_HERE):
        assert f"of_name('{case.name}')" in ast.unparse(named), f"{play.test} does not ask the table for {case.name}"


def _own(case: Case) -> list[Play]:
    return [play for play in case.plays if not isinstance(play, Named)]


def _parameters(name: str) -> Iterator[tuple[Case, Play]]:
    """Return what the tests of this name are given."""
    for module in _MODULES:
        yield from _given(module, name)


def _given(module: ModuleType, name: str) -> Iterator[tuple[Case, Play]]:
    for mark in getattr(getattr(module, name, None), "pytestmark", ()):
        for parameters in mark.args[1]:
            case, play = parameters.values
            yield case, play

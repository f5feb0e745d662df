"""Fixtures for all tests: the real servers are a plugin of their own."""

import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.servers", "tests.spools", "tests.stage", "tests.acceptance.commands"]

# Where servers, processes and clocks are real: three at a time would take each other's time.
_IN_TWO = {"acceptance": "acceptance", **dict.fromkeys(("chaos", "faults", "integration", "migration"), "the others")}


class _InTwo(LoadScopeScheduling):  # type: ignore[misc]  # xdist's schedulers have no types
    """Give each half of those tests to one of xdist's workers, and the rest, file by file, to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return _IN_TWO.get(path.split("/")[1], path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return _InTwo(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    storm = parser.getgroup("storm", "what tests/chaos does")
    storm.addoption("--blows", type=int, default=27, help="how often something is struck")
    storm.addoption("--seed", type=int, default=1, help="in which order")

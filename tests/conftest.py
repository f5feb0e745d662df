"""Fixtures for all tests: the real servers are a plugin of their own."""

import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.servers", "tests.spools", "tests.stage", "tests.acceptance.commands"]

# Where servers, processes and clocks are real: side by side they would take each other's time.
_ONE_AFTER_THE_OTHER = ("acceptance", "chaos", "faults", "integration", "migration")


class _Apart(LoadScopeScheduling):  # type: ignore[misc]  # xdist's schedulers have no types
    """Give those tests to one of xdist's workers, and the others, file by file, to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "" if path.split("/")[1] in _ONE_AFTER_THE_OTHER else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return _Apart(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    storm = parser.getgroup("storm", "what tests/chaos does")
    storm.addoption("--blows", type=int, default=27, help="how often something is struck")
    storm.addoption("--seed", type=int, default=1, help="in which order")

"""Fixtures for all tests: the real servers are a plugin of their own."""

import pytest

pytest_plugins = ["tests.servers", "tests.spools", "tests.stage", "tests.acceptance.commands"]

# Where servers, processes and clocks are real: side by side they would take each other's time.
_ONE_AFTER_THE_OTHER = ("acceptance", "chaos", "faults", "integration", "migration")


@pytest.hookimpl(tryfirst=True)  # xdist itself reads the groups in this hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give those tests to one of xdist's workers, and all the others to whoever is free (`--dist loadgroup`)."""
    tests = config.rootpath / "tests"
    for item in items:
        if item.path.relative_to(tests).parts[0] in _ONE_AFTER_THE_OTHER:
            item.add_marker(pytest.mark.xdist_group("one after the other"))


def pytest_addoption(parser: pytest.Parser) -> None:
    storm = parser.getgroup("storm", "what tests/chaos does")
    storm.addoption("--blows", type=int, default=27, help="how often something is struck")
    storm.addoption("--seed", type=int, default=1, help="in which order")

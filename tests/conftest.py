"""Fixtures for all tests: the real servers are a plugin of their own."""

import pytest

pytest_plugins = ["tests.servers", "tests.spools", "tests.stage", "tests.acceptance.commands"]


def pytest_addoption(parser: pytest.Parser) -> None:
    storm = parser.getgroup("storm", "what tests/chaos does")
    storm.addoption("--blows", type=int, default=27, help="how often something is struck")
    storm.addoption("--seed", type=int, default=1, help="in which order")

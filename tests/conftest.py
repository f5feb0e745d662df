"""Fixtures for all tests: the real servers are a plugin of their own."""

pytest_plugins = ["tests.servers", "tests.spools", "tests.stage", "tests.acceptance.commands"]

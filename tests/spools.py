"""The files that bodies are kept in: a directory of the test's own, and how many are open in it.

A pytest plugin: `pytest_plugins = ["tests.spools"]` in the conftest beside it.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

OpenFiles = Callable[[], int]


@pytest.fixture
def open_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenFiles:
    """How many files the process has open in the directory that TMPDIR names; none has a name in it."""
    directory = tmp_path / "spools"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def count() -> int:
        assert list(directory.iterdir()) == []
        links = (str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return sum(link.startswith(str(directory)) for link in links)

    return count

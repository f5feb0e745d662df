"""Commands run in this process, as a person runs them. A pytest plugin."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Database
from worker.cli import main


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Collector = Callable[..., Said]


@pytest.fixture
def collector(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Collector]:
    """Run a command in this process, with nothing but a home set."""
    for name in ("DATABASE_URL", "OWNER_DATABASE_URL", "REDIS_URL", "EMBEDDED", "HOSTS", "CA_FILE", "EGRESS_URL"):
        monkeypatch.delenv(f"COLLECTOR_{name}", raising=False)
    monkeypatch.setenv("COLLECTOR_HOME", str(tmp_path / "home"))
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    yield run
    root.handlers, root.level = handlers, level


@pytest.fixture
def ready(collector: Collector, database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """The same with a migrated database and a queue."""
    monkeypatch.setenv("COLLECTOR_DATABASE_URL", database.worker_url)
    monkeypatch.setenv("COLLECTOR_OWNER_DATABASE_URL", database.owner_url)
    monkeypatch.setenv("COLLECTOR_REDIS_URL", redis_url)
    return collector


def refused(said: Said, *fragments: str, code: int = 1) -> None:
    """Assert that a command said one sentence and did nothing."""
    assert said.code == code, said.err
    assert said.err.startswith("collector: ")
    assert said.err.count("\n") == 1, f"not one line: {said.err}"
    for fragment in fragments:
        assert fragment in said.err
    assert not said.out

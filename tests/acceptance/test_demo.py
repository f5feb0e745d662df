"""The README's first command, run twice as a person would run it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collectors.registry import STREAMS
from worker import embedded

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a space in its name, that does not stay."""
    place = Path(tempfile.mkdtemp(prefix="collector demo "))
    yield place
    embedded.remove(place)
    shutil.rmtree(place)


def start(home: Path) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COLLECTOR_")}  # noqa: TID251 - a child needs PATH
    return subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "demo", "--home", str(home)],
        cwd=ROOT,
        env={**kept, "COLLECTOR_HEALTH_FILE": str(home / "alive")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def demo(home: Path) -> tuple[str, str]:
    with start(home) as process:
        out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return out, err


def together(out: str, column: int) -> list[int]:
    """The figures of a column in the line below each organization's table."""
    return [int(line.split()[column].replace(",", "")) for line in out.splitlines() if "together" in line]


def running(home: Path) -> list[int]:
    record = msgspec.json.decode((home / "servers.json").read_bytes())
    return [record[name]["process"]["pid"] for name in ("postgres", "valkey") if record.get(name)]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_demo_brings_everything_and_the_second_one_only_what_is_new(home: Path) -> None:
    out, err = demo(home)
    for streams in STREAMS.values():
        for name in streams:
            assert len(re.findall(rf"\b{name}\b", out)) >= 2, f"{name} is not in the summary of both organizations"
    first = together(out, 1)
    assert all(pages > 200 for pages in first)
    assert "Sunrise Trading: 0" not in out
    assert out.count(", 0 of anybody else's") == 2
    assert "as nobody: 0 pages" in out
    assert "served" in out
    for proxy in ("demo-proxy-1", "demo-proxy-2"):
        assert proxy in out
    assert "directly" not in out
    assert not any(is_alive(pid) for pid in running(home))

    again, _ = demo(home)
    assert all(later < earlier / 4 for earlier, later in zip(first, together(again, 1), strict=True))
    assert all(new < unchanged for new, unchanged in zip(together(again, -2), together(again, -1), strict=True))

    _secrets_are_where_they_belong(home, out + err + again)


def _secrets_are_where_they_belong(home: Path, said: str) -> None:
    files = list((home / "secrets").iterdir())
    assert len(files) == 8
    values = set()
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        text = file.read_text()
        values |= set(msgspec.json.decode(text).values()) if text.startswith("{") else {text}
    secrets = {value for value in values if len(value) > 12}
    assert len(secrets) == 12  # Ozon's have two for advertising besides
    log = (home / "demo.log").read_text()
    for secret in secrets:
        assert secret not in said
        assert secret not in log


def test_ctrl_c_ends_the_demo_and_leaves_nothing_running(home: Path) -> None:
    with start(home) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the marketplaces answer" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not any(is_alive(pid) for pid in running(home))

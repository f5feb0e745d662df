"""What people would use instead, each in a virtual environment of its own, made on first use.

They are given what makes them fast, as their documentation and sources say:

* dlt: resources extracted in parallel, two processes that normalize, Parquet loaded by ADBC, which of its formats for
  PostgreSQL was the fastest here; pages as rows in the default format, which was the fastest for these;
* Singer: COPY instead of INSERT, no keys (so it appends instead of merging), and for pages small batches; records not
  validated, no metadata columns.

Both fetch over plain HTTP, for the tap trusts no authority but those of certifi. The collector goes through TLS.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.server import SELLERS

_HERE = Path(__file__).parent
_ENVIRONMENTS = _HERE.parents[1] / ".benchmarks"
_WORKERS = "2"  # processes that normalize


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a peer has to do. `database` is the URL of one that is its own; it makes the tables in `schema`."""

    url: str
    sellers: Sequence[int]
    database: str
    schema: str
    home: Path  # a new directory


class Peer(Protocol):
    """A program that fetches and loads. `found` is SQL for how many records there are, and their sum of `amount`."""

    @property
    def name(self) -> str: ...

    @property
    def raw(self) -> bool:
        """Whether it keeps a page as a row, and not a record as a row."""

    @property
    def found(self) -> str: ...

    async def run(self, task: Task) -> None: ...


class PeerFailed(Exception):
    """A peer did not do its task. The message is the end of what it said."""


@dataclass(frozen=True)
class Dlt:
    name: str
    raw: bool

    @property
    def found(self) -> str:
        if not self.raw:
            return "SELECT count(*), sum(amount) FROM {schema}.goods"
        return _of_pages("SELECT page -> 'items' FROM {schema}.goods", "jsonb")

    async def run(self, task: Task) -> None:
        told = {
            "url": task.url,
            "sellers": list(task.sellers),
            "database": task.database,
            "schema": task.schema,
            "home": str(task.home),
            "raw": self.raw,
            "file_format": None if self.raw else "parquet",
        }
        environment = {"NORMALIZE__WORKERS": _WORKERS, "RUNTIME__DLTHUB_TELEMETRY": "false"}
        program = [str(_python("dlt")), str(_HERE / "dlt_pipeline.py")]
        await _run(task.home, environment, program, told=msgspec.json.encode(told))


@dataclass(frozen=True)
class Singer:
    name: str
    raw: bool

    @property
    def found(self) -> str:
        tables = " UNION ALL ".join(f"SELECT * FROM {{schema}}.goods_{seller}" for seller in range(SELLERS))
        if not self.raw:
            return f"SELECT count(*), sum(amount) FROM ({tables}) AS goods"
        return _of_pages(f"SELECT items::jsonb FROM ({tables}) AS goods", "jsonb")

    async def run(self, task: Task) -> None:
        tap = {
            "api_url": task.url,
            "next_page_token_path": "$.next",
            "pagination_next_page_param": "cursor",
            "streams": [
                {
                    "name": f"goods_{seller}",
                    "path": f"/{seller}/goods",
                    "records_path": "$" if self.raw else "$.items[*]",
                }
                for seller in task.sellers
            ],
        }
        target = {
            "sqlalchemy_url": task.database.replace("postgresql://", "postgresql+psycopg://"),
            "default_target_schema": task.schema,
            "use_copy": True,
            "add_record_metadata": False,
            "activate_version": False,
            "validate_records": False,
        } | ({"batch_size_rows": 10} if self.raw else {})
        await _run(
            task.home,
            {},
            [str(_python("tap").with_name("tap-rest-api-msdk")), "--config", str(_written(task.home, "tap", tap))],
            [
                str(_python("target").with_name("target-postgres")),
                "--config",
                str(_written(task.home, "target", target)),
            ],
        )


PEERS: Sequence[Peer] = (
    Dlt("dlt", raw=False),
    Dlt("dlt, pages", raw=True),
    Singer("Singer", raw=False),
    Singer("Singer, pages", raw=True),
)


def prepare() -> None:
    """Make the virtual environments that are missing or of other versions."""
    for requirements in sorted(_HERE.glob("*.txt")):
        place = _ENVIRONMENTS / requirements.stem
        note = place / requirements.name
        if note.is_file() and note.read_bytes() == requirements.read_bytes():
            continue
        sys.stderr.write(f"Installing {requirements.stem} into {place.relative_to(_HERE.parents[1])}\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        subprocess.run(pip, check=True)
        note.write_bytes(requirements.read_bytes())


def _python(environment: str) -> Path:
    return _ENVIRONMENTS / environment / "bin/python"


def _of_pages(pages: str, kind: str) -> str:
    each = f"{kind}_array_elements(items) one"
    return f"SELECT count(*), sum((one ->> 'amount')::bigint) FROM ({pages}) AS p (items), {each}"


def _written(home: Path, name: str, configuration: Mapping[str, object]) -> Path:
    path = home / f"{name}.json"
    path.write_bytes(msgspec.json.encode(configuration))
    return path


async def _run(home: Path, environment: Mapping[str, str], *programs: Sequence[str], told: bytes = b"") -> None:
    """Run programs, each of which reads what the one before it writes; the first reads what it is `told`."""
    log = home / "log"
    running = []
    with (home / "told").open("w+b") as given, log.open("wb") as said:
        given.write(told)
        given.seek(0)
        reads = os.dup(given.fileno())
        for program in programs:
            next_reads, writes = os.pipe() if program is not programs[-1] else (-1, os.dup(said.fileno()))
            child = await asyncio.create_subprocess_exec(
                *program,
                stdin=reads,
                stdout=writes,
                stderr=said,
                env={**os.environ, **environment},  # noqa: TID251 - a child needs PATH
            )
            running.append(child)
            os.close(reads)
            os.close(writes)
            reads = next_reads
        codes = [await one.wait() for one in running]
    if any(codes):
        raise PeerFailed(f"{programs[0][0]} failed: {log.read_text(errors='replace')[-2000:]}")

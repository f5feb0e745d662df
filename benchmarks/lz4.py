"""A PostgreSQL that was built with lz4, with the settings of the embedded one, which was not."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.ground import Ground, make_ground
from worker.db.migrate import upgrade
from worker.embedded_place import Place, Programs
from worker.embedded_postgres import Cluster
from worker.embedded_process import Account, free_port


def is_installed() -> bool:
    """Tell whether the package is there that brings one: it is in requirements/bench.txt."""
    return importlib.util.find_spec("pg0") is not None


@contextmanager
def make_lz4_ground() -> Iterator[Ground]:
    home = Path(tempfile.mkdtemp(prefix="collector-benchmark-lz4-"))
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid) if os.geteuid() == 0 else None
    if account is not None:
        os.chown(home, account.uid, account.gid)
    try:
        with make_ground() as ground:
            place = Place(home, account, Programs(_unpacked(home, account), home / "no-valkey"))
            cluster = Cluster(
                place, home / "postgres.log", ground.servers.pgpass, ground.servers.passwords, durable=False
            )
            cluster.create()
            port = free_port(None)
            server = cluster.launch(port)
            try:
                cluster.wait_until_ready(server, port)
                cluster.prepare(port, ground.servers.database)
                there = Ground(replace(ground.servers, postgres_port=port))
                upgrade(there.servers.owner_url)
                yield there
            finally:
                server.send_signal(signal.SIGINT)
                server.wait()
    finally:
        shutil.rmtree(home)


def _unpacked(home: Path, account: Account | None) -> Path:
    """Return a directory of the programs. The package unpacks them when it first starts a server of its own."""
    found = importlib.util.find_spec("pg0")
    assert found is not None, "install requirements/bench.txt"
    assert found.origin is not None, "pg0 is a package"
    program = shutil.copy(Path(found.origin).parent / "bin" / "pg0", home)
    for command in (("start", "--port", str(free_port(None))), ("stop",)):
        subprocess.run(
            [program, *command],
            env={"HOME": str(home), "PATH": os.defpath},
            cwd=home,
            check=True,
            capture_output=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    return _finding_libraries(next((home / ".pg0" / "installation").glob("*/bin")), home / "programs")


def _finding_libraries(programs: Path, target: Path) -> Path:
    """Return a directory of scripts that start the programs with the libraries that came with them."""
    target.mkdir()
    for name in ("postgres", "initdb", "psql"):
        script = target / name
        script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={programs.parent}/lib exec {programs}/{name} "$@"\n', "ascii")
        script.chmod(0o755)
    return target

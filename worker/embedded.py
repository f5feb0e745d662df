"""A PostgreSQL and a Valkey of our own on this machine, for the demo, the tests and people writing a stream.

Everything of them lives in one directory, the home. Both listen on 127.0.0.1 only and want a password. Several
processes may use one home at the same time: the first starts the servers, the others find them running.
"""

import fcntl
import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from worker.embedded_place import choose_place, remove_place
from worker.embedded_postgres import LOGIN_ROLES, OWNER, SUPERUSER, WORKER, Cluster
from worker.embedded_process import AddressInUseError, Process, ServersNotStartedError, free_port
from worker.embedded_valkey import Valkey

__all__ = ["Embedded", "Servers", "ServersNotStartedError", "remove", "start"]

_ATTEMPTS = 3
_ROLES = (OWNER, *LOGIN_ROLES)


@dataclass(frozen=True, slots=True)
class Servers:
    """How to reach the servers. Its repr shows no password."""

    postgres_port: int
    valkey_port: int
    database: str
    redis_url: str = field(repr=False)
    psql: Path
    pgpass: Path
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def owner_url(self) -> str:
        return self.url(OWNER)

    @property
    def worker_url(self) -> str:
        return self.url(WORKER)

    def url(self, role: str, *, database: str | None = None) -> str:
        """`postgresql://role:password@…` for one of the roles that `start` made, or for the superuser `postgres`."""
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.postgres_port}/{database or self.database}"

    def psql_command(self, role: str) -> str:
        """A command line to paste. psql reads the password from the file that PGPASSFILE names."""
        words = [str(self.psql), "-h", "127.0.0.1", "-p", str(self.postgres_port), "-U", role, self.database]
        return f"PGPASSFILE={shlex.quote(str(self.pgpass))} {shlex.join(words)}"


@dataclass(slots=True)
class Embedded:
    """The running servers. As a context manager it stops them on leaving, if it was this one that started them."""

    servers: Servers
    home: Path
    ours: bool
    _cluster: Cluster = field(repr=False)
    _children: list[subprocess.Popen[bytes]] = field(repr=False)

    def run_sql(self, sql: str, *, database: str = SUPERUSER) -> str:
        """Run statements as the superuser and return their rows, tab-separated."""
        return self._cluster.run_sql(self.servers.postgres_port, sql, database=database)

    def stop(self, *, whoever_started: bool = False) -> None:
        """Stop the servers if they are ours. `whoever_started`: also those that another process started."""
        if not (self.ours or whoever_started):
            return
        with _locked(self.home):
            _end_servers(self.home)
        for child in self._children:
            child.wait()
        self.ours = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(home: Path, *, database: str = "collector", durable: bool = True) -> Embedded:
    """Start both servers, or find them running, and make the database and the login roles where they are missing.

    `durable=False`, for tests, gives up what a power cut would take. Blocks for a second or two, some more when the
    home is new. Raises ServersNotStartedError.
    """
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home):
            return _start(home, database=database, durable=durable)
    except PermissionError as error:
        raise ServersNotStartedError(
            f"{error.filename} is not ours to use; start as its owner, or choose another directory with COLLECTOR_HOME."
        ) from error


def remove(home: Path) -> None:
    """Stop the servers of this home, whoever started them, and DELETE everything of theirs, the data too."""
    home = home.resolve()
    if not home.exists():
        return
    with _locked(home):
        _end_servers(home)
        remove_place(home)
        for name in ("passwords.json", "pgpass", "postgres.log", "valkey.log", "servers.json"):
            (home / name).unlink(missing_ok=True)


class _Server(msgspec.Struct, frozen=True):
    process: Process
    port: int


class _Record(msgspec.Struct):
    """What runs in a home, as servers.json keeps it. A process in it may be long dead: the ports are still wanted."""

    starter: Process | None = None
    postgres: _Server | None = None
    valkey: _Server | None = None


class _Program(Protocol):
    def launch(self, port: int) -> subprocess.Popen[bytes]: ...
    def wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None: ...
    def answers(self, port: int) -> bool: ...


def _start(home: Path, *, database: str, durable: bool) -> Embedded:
    passwords, new = _passwords(home)
    place = choose_place(home, home_is_new=new)
    if new and (place.data / "PG_VERSION").exists():
        raise ServersNotStartedError(
            f"The passwords of {place.data} are lost; remove {home} and {place.directory} and start again."
        )
    pgpass = home / "pgpass"
    _write_private(pgpass, "".join(f"127.0.0.1:*:*:{role}:{passwords[role]}\n" for role in (SUPERUSER, *_ROLES)))
    cluster = Cluster(place, home / "postgres.log", pgpass, passwords, durable=durable)
    valkey = Valkey(place, home / "valkey.log", passwords["valkey"])
    children: list[subprocess.Popen[bytes]] = []
    record = _read_record(home)
    ours = record.starter is None or not record.starter.alive()
    if ours:
        record.starter = Process.of(os.getpid())
    try:
        cluster.create()
        for name, program in (("postgres", cluster), ("valkey", valkey)):
            _find_or_start(home, record, name, program, children)
        assert record.postgres is not None
        assert record.valkey is not None
        cluster.prepare(record.postgres.port, database)
    except BaseException:
        # Whatever stopped us, Ctrl-C too: what nobody will ever hold must not go on running.
        if ours:
            _end_servers(home)
        for child in children:
            child.wait()
        raise
    servers = Servers(
        postgres_port=record.postgres.port,
        valkey_port=record.valkey.port,
        database=database,
        redis_url=f"redis://:{passwords['valkey']}@127.0.0.1:{record.valkey.port}/0",
        psql=place.programs.postgres_bin / "psql",
        pgpass=pgpass,
        passwords=passwords,
    )
    return Embedded(servers, home, ours, cluster, children)


def _find_or_start(
    home: Path, record: _Record, name: str, program: _Program, children: list[subprocess.Popen[bytes]]
) -> None:
    known: _Server | None = getattr(record, name)
    if known is not None and known.process.alive():
        if program.answers(known.port):
            return
        _end(known.process)
    port = None if known is None else known.port
    for attempt in range(1, _ATTEMPTS + 1):
        port = free_port(port)
        child = program.launch(port)
        children.append(child)
        # Written down before it is ready: if we are killed now, the next start knows what it finds.
        setattr(record, name, _Server(Process.started(child), port))
        _write_private(home / "servers.json", msgspec.json.encode(record).decode())
        try:
            program.wait_until_ready(child, port)
        except AddressInUseError:
            # Somebody took the port between our look and the server's, or children of a killed server still end.
            if attempt == _ATTEMPTS:
                raise
            time.sleep(0.2 * attempt)
        else:
            return


def _end_servers(home: Path) -> None:
    record = _read_record(home)
    for server in (record.valkey, record.postgres):
        if server is not None:
            _end(server.process)
    if record.starter is not None:
        record.starter = None
        _write_private(home / "servers.json", msgspec.json.encode(record).decode())


def _end(process: Process) -> None:
    # To PostgreSQL: the fast, then the immediate shutdown. Valkey takes the first like SIGTERM.
    process.end(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)


def _read_record(home: Path) -> _Record:
    try:
        return msgspec.json.decode((home / "servers.json").read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Record()


def _passwords(home: Path) -> tuple[dict[str, str], bool]:
    """The passwords of this home, and whether they were made just now."""
    path = home / "passwords.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        kept = {}
    # Hexadecimal: nothing to quote in a URL, in SQL or in pgpass.
    passwords = {name: kept.get(name) or secrets.token_hex(24) for name in (SUPERUSER, *_ROLES, "valkey")}
    if passwords != kept:
        _write_private(path, msgspec.json.format(msgspec.json.encode(passwords), indent=2).decode() + "\n")
    return passwords, not kept


def _write_private(path: Path, text: str) -> None:
    """Replace a file by one that only we can read, all at once."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with os.fdopen(os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # Let go when the file is closed.
        yield

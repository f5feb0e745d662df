"""Forward proxies on this machine: CONNECT with a password, over TLS, each a process of its own."""

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from sandbox.authority import Authority, authority

START_WITHIN = 20.0
STOP_WITHIN = 5.0
POLL = 0.02


class Proxy:
    """One proxy. It keeps its port and its password over a stop and a start."""

    def __init__(self, directory: Path, ca: Authority) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._ca = ca
        self._user = "collector"
        self._password = secrets.token_urlsafe(12)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._counted = directory / "connects"
        self._counted.write_text("")

    def __repr__(self) -> str:
        return f"Proxy(port={self._port})"

    @property
    def url(self) -> str:
        """With user and password."""
        return f"https://{self._user}:{self._password}@127.0.0.1:{self._port}"

    @property
    def connects(self) -> int:
        """Tunnels opened since the proxy was made; what a wrong password asked for is not among them."""
        return len(self._counted.read_text().splitlines())

    @property
    def destinations(self) -> list[str]:
        """`host:port` of each tunnel."""
        return self._counted.read_text().splitlines()

    def start(self) -> None:
        """Blocks until the proxy listens."""
        port_file = self._directory / "port"
        port_file.unlink(missing_ok=True)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.proxy_process"],
                cwd=Path(__file__).parent.parent,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        # It stays open: the proxy leaves when it is closed, so none outlives us.
        self._process.stdin.write(json.dumps(self._settings(port_file)).encode() + b"\n")
        self._process.stdin.flush()
        self._port = self._wait_for_port(port_file)

    def stop(self) -> None:
        """Let it finish what it does; nothing happens when it does not run."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """At once, with every tunnel it holds."""
        self._signal(signal.SIGKILL)

    def _settings(self, port_file: Path) -> dict[str, object]:
        return {
            "port": self._port,
            "port_file": str(port_file),
            "directory": str(self._directory),
            "certificate_file": str(self._ca.certificate_file),
            "key_file": str(self._ca.key_file),
            "user": self._user,
            "password": self._password,
        }

    def _wait_for_port(self, port_file: Path) -> int:
        assert self._process is not None
        give_up = monotonic() + START_WITHIN
        while monotonic() < give_up and self._process.poll() is None:
            if port_file.exists() and (text := port_file.read_text()).endswith("\n"):
                return int(text)
            sleep(POLL)
        self.kill()
        raise RuntimeError(f"The proxy did not start: see {self._directory / 'log'}.")

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        # Its workers are in its session: leaving one behind would keep the port.
        if number is signal.SIGTERM:
            process.terminate()
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                number = signal.SIGKILL
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            # All of them are gone.
            return
        finally:
            process.wait()


class Proxies:
    """`count` proxies, running while inside. `ca` is whose certificate they show; the home's own if not given."""

    def __init__(self, home: Path, count: int = 2, ca: Authority | None = None) -> None:
        trusted = ca or authority(home)
        self.ca_file = trusted.ca_file
        self._stack = ExitStack()
        self._proxies = tuple(Proxy(home / f"proxy-{number}", trusted) for number in range(count))

    def __enter__(self) -> Self:
        with self._stack:
            for proxy in self._proxies:
                self._stack.callback(proxy.kill)
                proxy.start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self._proxies)

    def __getitem__(self, number: int) -> Proxy:
        return self._proxies[number]

    @property
    def urls(self) -> list[str]:
        return [proxy.url for proxy in self._proxies]

    @property
    def connects(self) -> list[int]:
        """Tunnels of each."""
        return [proxy.connects for proxy in self._proxies]

"""Valkey from a wheel. It keeps nothing on disk: what is due is in PostgreSQL."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from worker.embedded_place import Place
from worker.embedded_process import launch, wait_until_ready


@dataclass(frozen=True, slots=True)
class Valkey:
    """One Valkey of one home."""

    place: Place
    log: Path
    password: str = field(repr=False)

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        settings = (
            "bind 127.0.0.1",
            "protected-mode yes",
            f"port {port}",
            f"requirepass {self.password}",
            "maxmemory-policy noeviction",
            "appendonly no",
            'save ""',
            "daemonize no",
        )
        # The settings go through standard input: neither the list of processes nor a file shows the password.
        return launch(
            [self.place.programs.valkey_server, "-"],
            account=self.place.account,
            cwd=self.place.directory,
            log=self.log,
            stdin="\n".join(settings).encode(),
        )

    def wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        wait_until_ready(process, lambda: self.answers(port), name="Valkey", log=self.log)

    def answers(self, port: int) -> bool:
        """Whether the server at this port lets us in with our password."""
        client = Redis(
            host="127.0.0.1", port=port, password=self.password, socket_connect_timeout=1.0, socket_timeout=5.0
        )
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()

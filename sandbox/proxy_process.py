"""One forward proxy as a process: `python -m sandbox.proxy_process`, settings as a line of JSON on its standard input.

They come that way because a command line with a password in it can be read by everybody on the machine.
"""

import json
import sys
from pathlib import Path

from proxy import Proxy
from proxy.http.parser import HttpParser
from proxy.http.proxy import HttpProxyBasePlugin


class CountConnects(HttpProxyBasePlugin):
    """Writes a line per tunnel that was let through. Plugins run after the password was checked."""

    def before_upstream_connection(self, request: HttpParser) -> HttpParser:
        assert request.host is not None
        with (Path(self.flags.data_dir) / "connects").open("a") as held:
            held.write(f"{request.host.decode()}:{request.port}\n")
        return request


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    arguments = [
        "--hostname=127.0.0.1",
        f"--port={settings['port']}",
        f"--port-file={settings['port_file']}",
        f"--data-dir={settings['directory']}",
        f"--cert-file={settings['certificate_file']}",
        f"--key-file={settings['key_file']}",
        f"--basic-auth={settings['user']}:{settings['password']}",
        "--plugins=sandbox.proxy_process.CountConnects",
        "--num-acceptors=1",
        "--num-workers=1",
        "--log-level=ERROR",
    ]
    with Proxy(arguments):
        # Until whoever started us closes the pipe, or is no more. Signals are taken care of by proxy.py.
        sys.stdin.read()


if __name__ == "__main__":
    main()

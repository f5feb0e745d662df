"""`collector sandbox`: the marketplaces and two proxies for people who try things by hand."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from sandbox.proxies import Proxies
from sandbox.server import Sandbox
from worker.cli.demo_tenants import EGRESS, example_accounts, example_proxies, write_private
from worker.cli.errors import Refused
from worker.cli.tables import console
from worker.db.migrate import upgrade
from worker.embedded import start
from worker.settings import Settings


def play(settings: Settings, *, port: int, seed: int, rate_scale: float) -> None:
    """Serve until Ctrl-C, which raises KeyboardInterrupt."""
    place = settings.home / "sandbox"
    out = console()
    with start(settings.home) as running, Proxies(place, 2) as proxies:
        upgrade(running.servers.owner_url)
        box = Sandbox(place, seed=seed, rate_scale=rate_scale, port=port)
        asyncio.run(_serve(box, proxies, settings.home, rate_scale, out))


async def _serve(box: Sandbox, proxies: Proxies, home: Path, rate_scale: float, out: Console) -> None:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(box)
        except OSError as error:
            raise Refused(
                f"the marketplaces cannot listen ({error.strerror}): choose another port with --port"
            ) from error
        environment = write_private(home / "sandbox.env", _environment(box, home, rate_scale))
        stack.callback(environment.unlink, missing_ok=True)
        for line in _instructions(box, proxies, home, environment):
            out.print(line, markup=False, soft_wrap=True)
        await asyncio.Event().wait()


def _environment(box: Sandbox, home: Path, rate_scale: float) -> str:
    values: Mapping[str, str] = {
        "COLLECTOR_EMBEDDED": "1",
        "COLLECTOR_HOME": str(home),
        "COLLECTOR_HOSTS": json.dumps(box.hosts),
        "COLLECTOR_CA_FILE": str(box.ca_file.resolve()),
        "COLLECTOR_RATE_SCALE": str(rate_scale),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def _instructions(box: Sandbox, proxies: Proxies, home: Path, environment: Path) -> list[str]:
    collector = program()
    secrets = home / "secrets"
    lines = [
        f"The marketplaces answer at {box.url}, told apart by the Host header. Ctrl-C ends them.",
        "PostgreSQL and Valkey run as long. In another terminal:",
        "",
        f"  . {shlex.quote(str(environment))}   # sets COLLECTOR_HOSTS, COLLECTOR_CA_FILE, COLLECTOR_RATE_SCALE …",
        f"  {collector} org add 'My shop'",
    ]
    for proxy in example_proxies(proxies, secrets):
        words = ["proxy", "add", proxy.name, "--group", EGRESS, "--url", proxy.url]
        words += ["--secret-ref", proxy.secret_ref or "", "--replace"]
        lines.append(f"  {collector} {shlex.join(words)}")
    for marketplace, account in example_accounts(box, secrets).items():
        words = ["account", "add", "--org", "My shop", "--marketplace", marketplace, "--name", account.name]
        words += ["--external-id", account.external_id, "--secret-ref", account.secret_ref, "--proxy-group", EGRESS]
        lines.append(f"  {collector} {shlex.join(words)}")
    return [*lines, f"  {collector} worker", f"  {collector} status"]


def program() -> str:
    """Return how to call us again: the script that was called, or the module."""
    called = Path(sys.argv[0])
    if called.name == "collector":
        return shlex.quote(str(called))
    return f"{shlex.quote(sys.executable)} -m worker.cli"

"""`python -m sandbox`: the sandbox as a process of its own.

Prints one line of JSON when ready and leaves on SIGTERM.
"""

import argparse
import asyncio
import json
import signal
import sys
from datetime import datetime
from pathlib import Path

from sandbox.clock import Clock
from sandbox.server import Play, Sandbox


def main() -> None:
    asyncio.run(_run(_arguments(sys.argv[1:])))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox", description="Play the marketplaces on this machine.")
    parser.add_argument("--home", type=Path, required=True, help="directory for certificates and the epoch")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate-scale", type=float, default=1.0, help="limits that many times faster than the vendors'")
    parser.add_argument("--page-limit", action="append", default=[], metavar="STREAM=N", help="wildberries/orders=50")
    parser.add_argument("--volume", action="append", default=[], metavar="STREAM=N", help="wildberries/orders=5 a day")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number of records")
    parser.add_argument("--history-days", type=int, default=95)
    parser.add_argument("--epoch", type=datetime.fromisoformat, help="where history is counted from, with offset")
    parser.add_argument("--now", type=datetime.fromisoformat, help="the data clock's start, with offset")
    parser.add_argument("--frozen", action="store_true", help="the data clock stands still until it is moved")
    parser.add_argument("--nasty", action="store_true", help="add records that PostgreSQL's json cannot read")
    parser.add_argument("--orders-end", choices=("empty", "repeat"), default="empty")
    parser.add_argument("--report-polls", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.0, help="real seconds before each answer")
    return parser.parse_args(words)


async def _run(options: argparse.Namespace) -> None:
    play = Play(
        epoch=options.epoch,
        history_days=options.history_days,
        scale=options.scale,
        volumes={name: float(value) for name, value in _pairs(options.volume)},
        nasty=options.nasty,
        orders_end=options.orders_end,
        report_polls=options.report_polls,
        latency=options.latency,
    )
    box = Sandbox(
        options.home,
        seed=options.seed,
        clock=Clock(options.now, running=not options.frozen),
        page_limits={name: int(value) for name, value in _pairs(options.page_limit)},
        rate_scale=options.rate_scale,
        port=options.port,
        play=play,
    )
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, leaving.set)
    async with box:
        ready = {"url": box.url, "hosts": box.hosts, "ca_file": str(box.ca_file)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await leaving.wait()


def _pairs(items: list[str]) -> list[tuple[str, str]]:
    pairs = [item.partition("=") for item in items]
    return [(name, value) for name, _, value in pairs]


if __name__ == "__main__":
    main()

"""The command line. Every error that people can make or meet is one sentence on standard error."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from worker.cli import (
    admin,
    backfill,
    collection,
    coverage,
    doctor,
    keys,
    pausing,
    proxies,
    quarantine,
    reading,
    reference,
    runs,
    servers,
    showcase,
    status,
)
from worker.cli.errors import FAILED, INTERRUPTED, PEOPLE_MEET, exit_code, sentence

app = typer.Typer(
    name="collector",
    help="Bring every page that marketplace seller APIs offer into PostgreSQL. Settings are variables COLLECTOR_*.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    showcase,
    servers,
    admin,
    keys,
    proxies,
    collection,
    pausing,
    backfill,
    coverage,
    status,
    runs,
    doctor,
    quarantine,
    reading,
):
    group.register(app)


@app.command("docs", hidden=True)
def docs(page: Annotated[Literal["cli", "streams", "budget", "faults"], typer.Argument()] = "cli") -> None:
    """Print docs/cli.md, from the help of all commands, or another of the pages that are made."""
    made = {
        "cli": lambda: reference.pages(app),
        "streams": reference.streams,
        "budget": reference.budget,
        "faults": reference.faults,
    }
    sys.stdout.write(made[page]())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 if it could not be done, 2 if it was not understood."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # A supervisor's way to stop what a person stops with Ctrl-C; the worker sets its own. asyncio turns a SIGINT
        # into a cancellation, which cleans up, but not where it is ignored, as under a script's `&`.
        previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = app(words or ["--help"], prog_name="collector", standalone_mode=False)
        finally:
            signal.signal(signal.SIGTERM, previous)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except PEOPLE_MEET as error:
        sys.stderr.write(f"collector: {sentence(error)}\n")
        return exit_code(error)
    return code if isinstance(code, int) else 0

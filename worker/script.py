"""The script `collector`: the command line, or one sentence about a package that keeps it from loading."""

from __future__ import annotations

import sys

from collectors.errors import CannotLoad


def main() -> int:
    """Run one command and return its exit code."""
    try:
        from worker.cli import main as run_command  # noqa: PLC0415 - it loads what other packages offer
    except CannotLoad as error:
        sys.stderr.write(f"collector: {error}\n")
        return 1
    return run_command()

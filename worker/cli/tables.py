"""What a list command answers: a table for people, or JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.logs import mask_text

_PIPED_WIDTH = 220  # nothing should be cut where there is no screen


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=False)


def print_json(rows: Sequence[Mapping[str, object]]) -> None:
    text = msgspec.json.format(msgspec.json.encode(rows, enc_hook=str), indent=2).decode()
    sys.stdout.write(text + "\n")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", right: str = "") -> Table:
    """Make a table. `right` names the headings, separated by spaces, whose column is of numbers."""
    made = Table(
        title=Text(title) if title else None, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for heading in headings:
        made.add_column(
            heading, justify="right" if heading in right.split() else "left", overflow="fold", header_style="dim"
        )
    for row in rows:
        made.add_row(*(Text(mask_text("" if cell is None else str(cell))) for cell in row))
    return made

"""The pages of docs/ that are made: of the command line, of the streams, and of what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer
from typer.main import get_command

from collectors.budget import (
    ORDINARY,
    Use,
    ids_at_once,
    ids_in,
    ids_kept_up_with,
    requests_a_day,
    tightest,
    token_types,
    uses,
)
from collectors.registry import STREAMS
from collectors.stream import Stream
from sandbox.faults.case import Case
from sandbox.faults.catalogue import CATALOGUE
from worker.cli.standing import described

_HEAD = """# The command line

`collector COMMAND --help` says the same. An error is one sentence on standard error; the exit code is 1 when something
could not be done, 2 when the command was not understood, 130 after Ctrl-C. List commands take `--json`.

Settings are variables `COLLECTOR_*`. With `COLLECTOR_EMBEDDED=1` a command starts the servers of `COLLECTOR_HOME`, if
they do not run, and stops them again.

This file is made: `collector docs > docs/cli.md`.
"""


_STREAMS = """# The streams

What is collected, as `collector streams` prints it. Limits are those of a personal or service token; a base token of
Wildberries has far lower ones, which its declaration holds too.

This file is made: `collector docs streams > docs/streams.md`.
"""

_BUDGET = """# What a day takes

How many requests live collection makes on an ordinary day, against what the marketplace allows, for each type of token.
A figure is of the fullest limit that a stream takes from, with everything that shares it: in Ozon nearly all that a
seller is asked for, in Wildberries sales and the sales of a day. Where the marketplace counts items, so do we, in full
pages.

* Lists are taken to fit one page, and a seller to have ten stores and seventy reports in five weeks. Each page more is
  a request more for each walk; what is left between the two figures is for that, for the first collection, and for what
  is asked for by hand.
* Of a report its creation is counted. Asking whether it is made and fetching its file are not: the limits on these have
  room for four questions and the file of each report, with any token.
* **Does not fit** loses nothing. New time comes before what is read again, and a request that has to wait puts its
  stream off and holds no worker: the stream is collected as often as the limit allows, not as often as
  [docs/streams.md](streams.md) says, and what is restated is read again later.
* Not available: the marketplace refuses a token of that type, and the stream is marked unavailable.
* A stream that asks for the ids of others makes a request for so many of them as the second table says, beside how many
  a seller may have, if nothing else took from the limits. With more than **as scheduled** each walk takes longer than
  the time to the next. With more than **at all** it takes longer than its cursor is trusted, and begins again for ever:
  a seller that large needs another token, or does without that stream (`collector account set`).

This file is made: `collector docs budget > docs/budget.md`.
"""

_FAULTS = """# What can go wrong

Everything that a marketplace, a proxy or a network is known to do on a bad day: whose fault it is, what the collector
does about it, and what is in the database afterwards. The tests play each of these rows over real sockets
(`sandbox/faults/`, `tests/faults/`).

* **What we do** is in its order and for as long as it goes on. Whatever helps on the way, the page is stored and the
  walk goes on. *Put off* means that no worker waits: the slice is due again later, from where it stood.
* **The proxy** is what it costs the proxy if another one brings the answer. Three points in a row, and it is out for a
  while; never more than half of a group is. It comes back by way of one request that goes well.
* Whatever is raised, no position moves past a page that is not stored.

This file is made: `collector docs faults > docs/faults.md`.
"""

_PLENTY = 1_000_000  # ids, which nobody has
_TIMES = {1: "", 2: " (twice)", 3: " (three times)"}


def faults() -> str:
    """Return the page of the catalogue of faults: a table for each group."""
    parts = [_FAULTS]
    for group, cases in CATALOGUE.items():
        rows = [["Case", "What happens", "Whose fault", "What we do", "The proxy", "Stored"], ["---"] * 6]
        rows += [
            [case.name, case.what, case.blame.value, _reactions(case), case.cost.value, case.stored.value]
            for case in cases
        ]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"## {group}\n\n{table}\n")
    return "\n".join(parts)


def _reactions(case: Case) -> str:
    said = ", ".join(f"{reaction}{_TIMES[len(list(times))]}" for reaction, times in groupby(case.reactions))
    if case.third is not None:
        said += f"; the third time in a row {case.third}"
    return said or "nothing: it is an answer like any other"


def streams() -> str:
    """Return the page of the streams: a table for each marketplace."""
    parts = [_STREAMS]
    for marketplace, catalogue in STREAMS.items():
        rows = [described(stream) for stream in catalogue.values()]
        headings = [name for name in rows[0] if name != "marketplace"]
        lines = [" | ".join(headings), "|".join(["---"] * len(headings))]
        for row, stream in zip(rows, catalogue.values(), strict=True):
            row["stream"] = f"[{stream.name}]({stream.docs})"
            lines.append(" | ".join(row[name].replace("|", r"\|") for name in headings))
        table = "\n".join(f"| {line} |" for line in lines)
        parts.append(f"## {marketplace}\n\n{table}\n")
    return "\n".join(parts)


def budget() -> str:
    """Return the page that holds a day's requests against the limits: a table for each marketplace."""
    parts = [_BUDGET]
    for name, catalogue in STREAMS.items():
        streams = list(catalogue.values())
        marketplace = streams[0].marketplace
        types = token_types(marketplace, streams)
        found = {kind: uses(marketplace, streams, kind) for kind in types}
        rows = [["stream", "requests a day", *(_token(kind, types) for kind in types)], ["---"] * (2 + len(types))]
        rows += [
            [
                stream.name,
                f"{requests_a_day(stream):,.0f}",
                *(_use(stream, kind, tightest(stream, found[kind])) for kind in types),
            ]
            for stream in streams
        ]
        by_ids = [
            ["stream", "ids at a time", *(f"ids by {_token(kind, types)}" for kind in types)],
            ["---"] * (2 + len(types)),
        ]
        by_ids += [
            [stream.name, f"{ids_at_once(stream):,}", *(_ids(stream, kind) for kind in types)]
            for stream in streams
            if stream.ids
        ]
        tables = ["\n".join(f"| {' | '.join(row)} |" for row in table) for table in (rows, by_ids)]
        parts.append(f"## {name}\n\n{tables[0]}\n\n{tables[1]}\n")
    return "\n".join(parts)


def _ids(stream: Stream, kind: str) -> str:
    if _not_available(stream, kind):
        return "not available"
    scheduled, at_all = ids_kept_up_with(stream, kind), ids_in(stream, stream.trusted_for, kind)
    if scheduled >= _PLENTY:
        return "millions"
    return f"{scheduled:,} as scheduled, {'millions' if at_all >= _PLENTY else f'{at_all:,}'} at all"


def _not_available(stream: Stream, kind: str) -> bool:
    return kind != ORDINARY and stream.needs.endswith("by a personal or service token")


def _token(kind: str, types: list[str]) -> str:
    if kind != ORDINARY:
        return f"a {kind} token"
    return "the fullest limit" if len(types) == 1 else f"any token but {', '.join(types[1:])}"


def _use(stream: Stream, kind: str, use: Use) -> str:
    if _not_available(stream, kind):
        return "not available"
    said = f"{use.taken:,.0f} of {use.allowed:,.0f}"
    return said if use.fits else f"**{said}: does not fit**"


def pages(app: typer.Typer) -> str:
    """Return the whole document."""
    parts = [_HEAD, *_commands(get_command(app), "collector")]
    return "\n".join(parts)


def _commands(command: Any, path: str) -> Iterator[str]:  # typer's own classes are private
    for name, inner in getattr(command, "commands", {}).items():
        if inner.hidden:
            continue
        if hasattr(inner, "commands"):
            yield f"## {path} {name}\n\n{inner.help}\n"
            yield from _commands(inner, f"{path} {name}")
            continue
        level = "##" if path == "collector" else "###"
        text = "\n\n".join(" ".join(part.split()) for part in inner.help.split("\n\n"))
        yield f"{level} {path} {name}\n\n{text}\n"
        shown = [one for one in inner.params if one.name != "help" and not getattr(one, "hidden", False)]
        rows = [_parameter(parameter) for parameter in shown]
        if rows:
            yield "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def _parameter(parameter: Any) -> str:
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        names = f"`{metavar or parameter.name.upper()}`"
    else:
        value = "" if parameter.is_flag else f" {metavar or parameter.name.upper()}"
        names = f"`{', '.join(parameter.opts)}{value}`"
    words = parameter.help.replace("|", r"\|")
    if parameter.required:
        words += " Required."
    elif isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool):
        words += f" Default: {parameter.default}."
    return f"| {names.replace('|', chr(92) + '|')} | {words} |"

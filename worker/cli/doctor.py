"""`collector doctor`: everything that the collector needs, looked at, and what to do about what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from worker.cli import doctor_outside, doctor_servers
from worker.cli.admin import AsJson
from worker.cli.checkup import Check, Finding, Level, Needs, Patient
from worker.cli.errors import PEOPLE_MEET, sentence
from worker.cli.opening import with_servers
from worker.cli.tables import console, print_json
from worker.settings import Settings, SettingsError, load

CHECKS: tuple[Check, ...] = (*doctor_servers.CHECKS, *doctor_outside.CHECKS)

_LONGEST = 12.0  # seconds for a check; those of the second round wait for the first, and all must end within 30

_MARKS = {Level.OK: ("ok  ", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "bold red")}


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    *,
    processes: Annotated[
        int, typer.Option(min=1, metavar="NUMBER", help="How many worker processes there are to be.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Look at everything that the collector needs, and say what to do about what is wrong.

    The exit code is 1 if anything fails. Run it where the worker runs: secrets, proxies and the directory for large
    files are looked at from here. Nothing is changed, and no secret is shown.
    """
    try:
        settings = load()
    except SettingsError as error:
        findings = [Finding("configuration", Level.FAIL, str(error))]
    else:
        with with_servers(settings) as ready, console(stderr=True).status("Looking at everything …"):
            findings = asyncio.run(examine(ready, processes))
    if as_json:
        print_json([finding.as_fields() for finding in findings])
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            mark, style = _MARKS[finding.level]
            line = Text.assemble((mark, style), f"  {finding.check:<{width}}  {finding.words}")
            console().print(line, soft_wrap=True)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(1)


async def examine(settings: Settings, processes: int = 1) -> list[Finding]:
    """Make all checks, whatever some of them find: first what others need, then those."""
    async with Patient.opened(settings, processes) as patient:
        first, second = (
            [check for check in CHECKS if check.is_first is is_first and _has(settings, check.needs)]
            for is_first in (True, False)
        )
        findings = dict(zip(first, await asyncio.gather(*(_make(check, patient) for check in first)), strict=True))
        lost = {
            check.gives for check, found in findings.items() if any(finding.level is Level.FAIL for finding in found)
        }
        able = [check for check in second if check.needs not in lost]
        findings |= zip(able, await asyncio.gather(*(_make(check, patient) for check in able)), strict=True)
    unable = [check for check in second if check.needs in lost]
    findings |= {check: [check.finding(Level.WARN, f"not looked at: {check.needs} cannot be used")] for check in unable}
    return [finding for check in CHECKS for finding in findings.get(check, ())]


def _has(settings: Settings, needs: Needs | None) -> bool:
    """Whether a check can be made here at all. Without the owner's URL it is another machine that administers."""
    return needs is not Needs.OWNER or settings.owner_database_url is not None


async def _make(check: Check, patient: Patient) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(_LONGEST):
            found = await check.make(patient)
    except TimeoutError:
        return [check.finding(Level.FAIL, f"no answer within {_LONGEST:g} s")]
    except PEOPLE_MEET as error:
        return [check.finding(Level.FAIL, sentence(error))]
    return [check.finding(level, words) for level, words in found]

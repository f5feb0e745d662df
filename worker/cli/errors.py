"""What a person is told when something cannot be done: one sentence on standard error, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from alembic.util import CommandError
from asyncpg import InterfaceError, PostgresError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from collectors.registry import Unknown
from collectors.windows import WindowRefused
from migrations.prepare import MigrationRefused
from worker.db.administration import NotPossible
from worker.db.engine import UnsafeRole
from worker.db.migrate import NotMigrated
from worker.db.requests import RequestRefusedByUs
from worker.embedded import ServersNotStartedError
from worker.logs import mask_text
from worker.main import CannotStart
from worker.queue import QueueUnavailable
from worker.settings import SettingsError

FAILED = 1
INTERRUPTED = 130  # as shells count: 128 + SIGINT


class Refused(Exception):
    """It cannot be done as asked. The message is one sentence: what is wrong, what to do."""


_SENTENCES = (
    CannotStart,
    CommandError,
    MigrationRefused,
    NotMigrated,
    NotPossible,
    QueueUnavailable,
    Refused,
    RequestRefusedByUs,
    ServersNotStartedError,
    SettingsError,
    Unknown,
    UnsafeRole,
    WindowRefused,
)
_SERVERS = (DBAPIError, PostgresError, InterfaceError, RedisError)

PEOPLE_MEET = (*_SENTENCES, *_SERVERS, OSError, typer.TyperException)


@contextmanager
def refusing(what: str = "") -> Iterator[None]:
    """Take what a check says of somebody's input (a ValueError's one sentence) as the answer to give them."""
    try:
        yield
    except ValueError as error:
        raise Refused(f"{what}{error}") from error


def sentence(error: BaseException) -> str:
    """Put one of PEOPLE_MEET into one line without secrets."""
    if isinstance(error, typer.TyperException):
        command = getattr(getattr(error, "ctx", None), "command_path", "collector")
        words = f"{error.format_message().rstrip('.')}: see `{command} --help`"
    elif isinstance(error, _SENTENCES):
        words = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename} cannot be used: {error.strerror}"
    else:
        words = f"a server failed: {cause(error)}"
    return mask_text(" ".join(words.split()))


def cause(error: BaseException) -> str:
    """Return the first line of what a server or the network said."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(origin).splitlines() or [type(origin).__name__]
    return lines[0].rpartition("Error'>: ")[2].rstrip(".")


def exit_code(error: BaseException) -> int:
    return error.exit_code if isinstance(error, typer.TyperException) else FAILED

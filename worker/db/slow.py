"""Slow statements, in the log: their text, which holds no values, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger(__name__)

_LONGEST_TEXT = 1000  # characters of a statement; a bulk insert has a group of placeholders for each row
_BEGAN = "collector_began"


def log_slow_queries(engine: AsyncEngine, *, over: float, noticed: Callable[[], None] = lambda: None) -> None:
    """Log each statement that takes longer than so many seconds, one that fails too. `noticed` is called for each.

    What it took includes the way to the server and back, and the time until our loop looked at the answer.
    """

    def tell(connection: Connection | None, statement: str | None, error: str | None) -> None:
        began = None if connection is None else connection.info.pop(_BEGAN, None)
        if began is None or statement is None or (seconds := time.monotonic() - began) < over:
            return
        noticed()
        log.warning("slow query", seconds=round(seconds, 3), sql=_shortened(statement), error=error)

    def begin(connection: Connection, *_: object) -> None:
        connection.info[_BEGAN] = time.monotonic()

    def end(connection: Connection, _: object, statement: str, *__: object) -> None:
        tell(connection, statement, None)

    def fail(context: ExceptionContext) -> None:
        error = context.original_exception
        tell(context.connection, context.statement, type(error.__cause__ or error).__name__)  # the driver's own

    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)


def _shortened(statement: str) -> str:
    text = " ".join(statement[: 4 * _LONGEST_TEXT].split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"

"""Slow statements, in the log: their text, which holds no values, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.db.driver import Driver

log = structlog.get_logger(__name__)

_LONGEST_TEXT = 1000  # characters of a statement; a bulk insert has a group of placeholders for each row
_BEGAN = "collector_began"


def log_slow_queries(engine: AsyncEngine, *, over: float, noticed: Callable[[], None] = lambda: None) -> None:
    """Log each statement that takes longer than so many seconds, one that fails too. `noticed` is called for each.

    What it took includes the way to the server and back, and the time until our loop looked at the answer.
    """

    def tell(seconds: float, statement: str, error: BaseException | None) -> None:
        if seconds >= over:
            noticed()
            failed = None if error is None else type(error.__cause__ or error).__name__  # the driver's own
            log.warning("slow query", seconds=round(seconds, 3), sql=_shortened(statement), error=failed)

    def begin(connection: Connection, *seen: object) -> None:
        *_, many = seen
        if not many:  # of those the driver tells
            connection.info[_BEGAN] = time.monotonic()

    def end(connection: Connection, _: object, statement: str, *__: object) -> None:
        took(connection, statement, None)

    def fail(context: ExceptionContext) -> None:
        took(context.connection, context.statement, context.original_exception)

    def took(connection: Connection | None, statement: str | None, error: BaseException | None) -> None:
        began = None if connection is None else connection.info.pop(_BEGAN, None)
        if began is not None and statement is not None:
            tell(time.monotonic() - began, statement, error)

    def connected(connection: Any, _: object) -> None:
        connection.run_async(listen)

    async def listen(driver: Driver) -> None:
        # What does not go through SQLAlchemy, of which the driver only sees what was prepared before.
        driver.add_query_logger(lambda query: tell(query.elapsed, query.query, query.exception))

    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)
    event.listen(engine.sync_engine, "connect", connected)


def _shortened(statement: str) -> str:
    text = " ".join(statement[: 4 * _LONGEST_TEXT].split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"

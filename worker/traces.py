"""Traces, for who has a collector of them: a span for each run, request and commit. Off unless they are asked for.

OpenTelemetry is an extra of the package (`otel`) and is imported only when COLLECTOR_OTEL_URL is set. How much is
sampled and with which headers it is sent is told by OpenTelemetry's own variables, OTEL_….
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_SENT_WITHIN = 2  # seconds, for each of the four batches that may be left when we are told to stop

Note = Callable[[str, str | float], None]  # adds an attribute to the span


class TracesUnavailable(Exception):
    """They are asked for and cannot be had. The message is one sentence: what is wrong, what to do."""


class Traces:
    """Makes spans, or nothing at next to no cost if there is no tracer."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[Note]:
        """Be one step of the work. Of an error its kind is told: its words may be a vendor's."""
        if self._tracer is None:
            yield _ignore
            return
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span.set_attribute
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                raise


NO_TRACES = Traces()


@asynccontextmanager
async def tracing(url: str | None) -> AsyncIterator[Traces]:
    """Send spans by OTLP over HTTP from a thread, and the last ones on leaving. Raises TracesUnavailable."""
    if url is None:
        yield NO_TRACES
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise TracesUnavailable(
            "COLLECTOR_OTEL_URL is set and OpenTelemetry is not installed: "
            "install bronze-collector[otel], or take the variable away"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "bronze-collector"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_SENT_WITHIN)))
    try:
        yield Traces(provider.get_tracer("bronze-collector"))
    finally:
        await asyncio.to_thread(provider.shutdown)


def _ignore(_: str, __: str | float) -> None:
    pass

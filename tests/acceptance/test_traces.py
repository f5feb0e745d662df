"""Traces: what a run, its requests and its commits leave in them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandbox.ledger import Failure
from tests.stage import Stage, hasty, run_all
from worker.resources import Resources
from worker.traces import NO_TRACES, Traces, TracesUnavailable, tracing


def traced(resources: Resources, exporter: InMemorySpanExporter) -> Resources:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider.get_tracer("a test"))
    return replace(resources, traces=traces, fetcher=replace(resources.fetcher, traces=traces))


async def test_a_run_holds_its_requests_and_commits_and_no_secret(stage: Stage) -> None:
    exporter = InMemorySpanExporter()
    account = await stage.add_account(await stage.add_organization("Sunrise"), "ozon")
    async with stage.resources() as resources:
        await run_all(traced(hasty(resources), exporter), account, "products")
        asked = resources.metrics.requests.labels("ozon", "products", "ok")._value.get()
        stage.box.ledger.plan(Failure("ozon", "warehouses", 100, 500))
        await run_all(traced(hasty(resources), exporter), account, "warehouses")
    spans = exporter.get_finished_spans()
    *done, failed = (span for span in spans if span.name == "run")
    assert [dict(run.attributes or {}) for run in done] == [
        {"marketplace": "ozon", "stream": f"ozon/products[{kind}]", "lane": "live", "outcome": "done"}
        for kind in ("ALL", "ARCHIVED")
    ]
    runs = {run.context.span_id for run in done if run.context is not None}
    inside = [span.name for span in spans if span.parent is not None and span.parent.span_id in runs]
    assert inside.count("request") == asked > 2
    assert inside.count("commit") >= 2
    assert failed.attributes is not None
    assert failed.attributes["outcome"] == "failed"
    assert {span.attributes["error.type"] for span in spans if span.attributes and "error.type" in span.attributes} == {
        "Later"
    }
    told = "".join(span.to_json() for span in spans)
    keys = json.loads(stage.box.credentials("ozon", account.seller))
    assert not [name for name, key in keys.items() if name != "client_id" and key in told]


async def test_traces_that_are_asked_for_without_the_extra_are_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    async with tracing(None) as none:
        assert none is NO_TRACES
    with pytest.raises(TracesUnavailable, match=r"^COLLECTOR_OTEL_URL is set .*: install bronze-collector\[otel\], or"):
        async with tracing("http://127.0.0.1:4318/v1/traces"):
            raise AssertionError("there are some")

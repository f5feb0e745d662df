"""Alerts and dashboard: that what they ask for exists, and that each alert says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from collectors.errors import CollectError
from worker.http.phases import DeadConnection, NotSent
from worker.http.retry import NewKey
from worker.metrics import FLEET, NAMESPACE, Metrics

ROOT = Path(__file__).resolve().parents[2]
FROM_PROMETHEUS = {"instance", "job"}
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy" / "dashboard.json").read_text("utf-8"))
TARGETS = [
    pytest.param(target["expr"], id=f"{panel['title']}: {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]
ALERTS = [pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES]


def exposed() -> dict[str, set[str]]:
    """Return every name that a scrape can hold, with its labels."""
    found = {"up": set[str]()} | {f"{NAMESPACE}_{name}": set(labels) for name, (_, labels) in FLEET.items()}
    registry = Metrics().registry
    found |= {sample.name: set() for family in registry.collect() for sample in family.samples}
    for name, collector in registry._names_to_collectors.items():
        if isinstance(collector, MetricWrapperBase):
            found[name] = {*collector._labelnames, *({"le"} if name.endswith("_bucket") else ())}
    return found


EXPOSED = exposed()


def words(file: str) -> set[str]:
    """Return every text in quotes of a module."""
    return set(re.findall(r'"([^"\n]+)"', (ROOT / file).read_text("utf-8")))


def errors(kind: type[CollectError]) -> Iterator[str]:
    """Name a kind of error and all narrower ones."""
    yield kind.__name__
    for narrower in kind.__subclasses__():
        yield from errors(narrower)


# What a label can be, where it is one of a few words.
VALUES: Mapping[tuple[str, str], set[str]] = {
    ("collector_runs_total", "outcome"): words("worker/jobs.py") | words("worker/db/endings.py"),
    ("collector_requests_total", "outcome"): {
        "ok",
        *errors(CollectError),
        *(kind.__name__ for kind in (DeadConnection, NotSent, NewKey)),
    },
    ("collector_pool_connections", "state"): words("worker/vitals.py"),
    ("collector_proxies", "health"): words("worker/vitals.py"),
    ("collector_slices", "state"): {"active", "paused", "unavailable", "quarantined"},
    ("collector_accounts", "status"): {"active", "paused"},
}


def selectors(expression: promql.Expr) -> list[Any]:
    """Return what of the metrics an expression asks for."""
    found: list[Any] = []

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.VectorSelector):
            found.append(part)

    promql.walk(expression, visit)
    return found


def complaints(text: str) -> list[str]:
    """Say what an expression asks for that is not there."""
    expression = promql.parse(text.replace("$marketplace", "ozon"))
    said: list[str] = []

    def visit(part: promql.Expr) -> None:
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            there = FROM_PROMETHEUS.union(*(EXPOSED.get(one.name, ()) for one in selectors(part.expr)))
            said.extend(f"there is no label {name} to aggregate by" for name in set(part.modifier.labels) - there)

    promql.walk(expression, visit)
    for selector in selectors(expression):
        if selector.name not in EXPOSED:
            said.append(f"there is no metric {selector.name}")
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in EXPOSED[selector.name] | FROM_PROMETHEUS:
                said.append(f"{selector.name} has no label {matcher.name}")
            known = VALUES.get((selector.name, matcher.name))
            if known is not None:
                said += [f"{matcher.name} is never {value!r}" for value in set(matcher.value.split("|")) - known]
    return said


@pytest.mark.parametrize("expression", [*ALERTS, *TARGETS])
def test_what_is_asked_of_the_metrics_exists(expression: str) -> None:
    assert complaints(expression) == []


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("rate(collector_run_total[5m])", "there is no metric collector_run_total"),
        ("sum(rate(collector_runs_total{state='x'}[5m]))", "collector_runs_total has no label state"),
        ("max by (account) (collector_lag_seconds)", "there is no label account to aggregate by"),
        ("collector_runs_total{outcome=~'failed|fallen'} > 1", "outcome is never 'fallen'"),
    ],
)
def test_what_does_not_exist_is_noticed(expression: str, complaint: str) -> None:
    """Or the test above could not fail."""
    assert complaints(expression) == [complaint]


def test_every_alert_says_what_it_means_and_has_a_place_where_it_says_what_to_do() -> None:
    text = (ROOT / "docs" / "operate.md").read_text("utf-8")
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.+)$", text)}
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor) == ("docs/operate.md", rule["alert"].lower())
        assert anchor in anchors, f"{rule['alert']} has no section in docs/operate.md"
    told = set(re.findall(r"(?m)^#### (Collector\w+)$", text))
    assert told == set(names), "docs/operate.md tells of alerts that are not there"


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = {selector.name for param in (*ALERTS, *TARGETS) for selector in _of(str(param.values[0]))}
    for name in EXPOSED:
        family = re.sub(r"_(total|created|bucket|count|sum)$", "", name)
        assert any(one.startswith(family) for one in asked) or name.startswith("collector_process_"), name


def test_the_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def _of(expression: str) -> list[Any]:
    return selectors(promql.parse(expression.replace("$marketplace", "ozon")))

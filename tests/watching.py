"""What watches the system: the expressions of alerts and dashboard, and the metrics that they name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

DEPLOY = Path(__file__).parents[1] / "deploy"
PROMETHEUS, ALERTS = DEPLOY / "prometheus" / "prometheus.yml", DEPLOY / "prometheus" / "alerts.yml"
GRAFANA = DEPLOY / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "clickproof.json"

Selector = tuple[str, frozenset[tuple[str, str]]]  # (metric, labels that it must have)


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(ALERTS)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Of all rules and panels; `$__rate_interval` is Grafana's."""
    shown = (target["expr"] for panel in panels() for target in panel["targets"])
    return [rule["expr"] for rule in rules()] + [expr.replace("$__rate_interval", "1m") for expr in shown]


def selectors() -> set[Selector]:
    """The metrics that somebody must report, with the labels asked for; the job's name is the deployment's."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    found = {selector for expr in expressions() for selector in _selectors(promql_parser.parse(expr))}
    return {(name, labels) for name, labels in found if name not in {*recorded, "up"}}


def _selectors(expr: Any) -> Iterator[Selector]:
    if isinstance(expr, promql_parser.VectorSelector):
        equal = promql_parser.MatchOp.Equal
        labels = {(each.name, each.value) for each in expr.matchers.matchers if each.op == equal}
        yield expr.name, frozenset(label for label in labels if label[0] != "job_name")
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if isinstance(child := getattr(expr, part, None), promql_parser.Expr):
            yield from _selectors(child)
    for argument in getattr(expr, "args", []):
        yield from _selectors(argument)


def missing(scraped: str, of: set[Selector]) -> set[Selector]:
    """The selectors that match nothing in what was scraped, in Prometheus' text format."""
    samples = [sample for family in text_string_to_metric_families(scraped) for sample in family.samples]
    reported = [(sample.name, sample.labels.items()) for sample in samples]
    return {(name, labels) for name, labels in of if not any(name == n and labels <= set(ls) for n, ls in reported)}

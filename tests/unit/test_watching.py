"""Alerts, dashboard and runbook agree with each other and with what is reported; promtool, where it is, says more."""

import re
import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
from fastapi.testclient import TestClient

from serving.answers import Answers
from serving.api import create_app
from serving.store import Store
from tests.served import StillLoader, a_reconciliation, put, put_closed_windows
from tests.watching import ALERTS, GRAFANA, PROMETHEUS, expressions, missing, panels, read_yaml, rules, selectors

RUNBOOK = Path(__file__).parents[2] / "docs" / "operations.md"
RULE_TESTS = Path(__file__).parents[1] / "prometheus" / "alerts_test.yml"
PROMTOOL = shutil.which("promtool")
ALERT_NAMES = [rule["alert"] for rule in rules() if "alert" in rule]
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool on PATH: Debian's package prometheus has it")


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_promql(expression: str) -> None:
    assert promql_parser.parse(expression)


def test_every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() -> None:
    section = RUNBOOK.read_text(encoding="utf-8").split("\n## Alerts\n")[1].split("\n## ")[0]
    assert re.findall(r"^\*\*(\w+)\*\*", section, re.MULTILINE) == ALERT_NAMES


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=ALERT_NAMES)
def test_an_alert_says_how_urgent_it_is_and_what_is_wrong(rule: dict) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")


def test_the_api_reports_every_metric_that_is_asked_of_it(store: Store) -> None:
    put_closed_windows(store, range(2), {"a": 2})
    put(store, "reconciliations", [a_reconciliation(0, 1, version=1)])
    with TestClient(create_app(Answers(store), StillLoader(), None), base_url="http://127.0.0.1") as client:
        client.get("/windows")
        asked = {(name, labels) for name, labels in selectors() if name.startswith("clickproof_")}
        assert len(asked) > 5
        assert missing(client.get("/metrics").text, asked) == set()


def test_every_panel_asks_the_data_source_that_is_provisioned() -> None:
    (source,) = read_yaml(GRAFANA / "datasources" / "prometheus.yml")["datasources"]
    asked = {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]}
    assert asked == {source["uid"]}


def test_no_two_panels_lie_on_each_other() -> None:
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels()
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@needs_promtool
@pytest.mark.parametrize(
    "check",
    [["check", "config", "--syntax-only", PROMETHEUS], ["check", "rules", ALERTS], ["test", "rules", RULE_TESTS]],
)
def test_promtool_finds_no_fault(check: list[str | Path]) -> None:
    answer = subprocess.run([PROMTOOL or "", *check], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr

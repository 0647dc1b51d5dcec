from pathlib import Path

import pytest

from local.processes import LocalError
from local.stack import HOME_VARIABLE, METRICS_PORTS_VARIABLE, Stack, default_stack


def flink_options(stack: Stack) -> dict[str, object]:
    """What is laid over the project's configuration."""
    stack.cluster._write_configuration()
    text = (stack.cluster.home / "conf" / "config.yaml").read_text()
    return dict(line.split(": ", 1) for line in text.splitlines() if line.startswith("metrics."))


def test_nothing_reports_to_prometheus_unless_asked_to(tmp_path: Path) -> None:
    """The reporter listens on all interfaces."""
    assert flink_options(Stack(tmp_path, 1, 2))["metrics.reporters"] == "none"


def test_the_metrics_ports_are_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv(METRICS_PORTS_VARIABLE, "9249-9250")
    options = flink_options(default_stack())
    assert options["metrics.reporter.prometheus.port"] == "9249-9250"
    assert "metrics.reporters" not in options


@pytest.mark.parametrize("ports", ["9249", "a-b", "9249-", "--"])
def test_metrics_ports_that_are_not_two_are_refused(tmp_path: Path, ports: str) -> None:
    with pytest.raises(LocalError, match=f"{METRICS_PORTS_VARIABLE} to two ports"):
        Stack(tmp_path, 1, 2, metrics_ports=ports)

"""Brokers and clusters that others run are used, and never started or stopped."""

import logging
from pathlib import Path

import pytest

from audit.reconcile_commands import reconcile
from local.external import ExternalBroker, ExternalCluster, client_options
from local.job_keeper import keep
from local.processes import LocalError


def test_an_external_broker_is_reached_with_its_security_and_never_started(tmp_path: Path) -> None:
    broker = ExternalBroker("kafka:9093", {"security_protocol": "SSL"}, tmp_path)
    broker.start()
    broker.stop()
    assert broker.alive()
    assert broker.connection == {"bootstrap_servers": "kafka:9093", "security_protocol": "SSL"}
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoints_of_an_external_cluster_are_found_in_its_folder(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / "checkpoints" / "abc" / f"chk-{number}").mkdir(parents=True)
        (tmp_path / "checkpoints" / "abc" / f"chk-{number}" / "_metadata").touch()
    cluster = ExternalCluster(tmp_path, "http://jobmanager:8081")
    assert cluster.rest_url == "http://jobmanager:8081"
    assert cluster.latest_checkpoint("abc") == (tmp_path / "checkpoints/abc/chk-10").as_uri()


def test_a_job_is_started_again_after_trouble_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = iter([LocalError("Flink is away"), LocalError("Flink is away"), None, LocalError("Flink is away"), None])
    waits = iter([False] * 5 + [True])

    def start() -> None:
        if trouble := next(attempts):
            raise trouble

    with caplog.at_level(logging.WARNING):
        keep(start, lambda: next(waits))
    assert next(attempts, "all made") == "all made"
    assert caplog.messages == ["Flink is away", "Flink is away"]


def test_options_that_are_no_json_object_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text("[1]")
    with pytest.raises(LocalError, match=r"Cannot read .*client\.json as JSON"):
        client_options(file)
    assert client_options(None) == {}


def test_a_reconciliation_beside_another_broker_must_know_where_its_files_are(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="--out and --archive, or --source kafka"):
        reconcile(bootstrap_servers="kafka:9093", out=tmp_path)

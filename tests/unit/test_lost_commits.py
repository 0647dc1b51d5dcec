"""A commit that was lost is said, whatever the log's other lines."""

import json
import sys
from pathlib import Path

import pytest

from local import cli
from local.lost_commits import LostCommit, lost_commits

COMMITTER = "ERROR org.apache.flink.connector.kafka.sink.internal.KafkaCommitter        [] -"
TRANSACTION = "KafkaCommittable{producerId=7, epoch=0, transactionalId=clickproof-counts-0-12}"
INVALID_STATE = (
    f"2026-01-01 12:00:00,000 {COMMITTER} Unable to commit transaction (Request{{state=RETRY, {TRANSACTION}}}) "
    "because it's in an invalid state. Most likely the transaction has been aborted for some reason."
)
UNKNOWN = (
    f"2026-01-01 12:00:01,000 {COMMITTER} Transaction ({TRANSACTION}) "
    "encountered error and data has been potentially lost."
)
HARMLESS = f"2026-01-01 12:00:02,000 INFO  {COMMITTER} Committing Kafka transaction {TRANSACTION}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "taskmanager.log"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["clickproof", "lost-commits", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_every_kind_of_lost_commit_is_found_with_its_time(log: Path) -> None:
    log.write_text("\n".join([HARMLESS, INVALID_STATE, "\tat java.base/java.lang.Thread", UNKNOWN]))
    assert list(lost_commits(log)) == [
        LostCommit("2026-01-01 12:00:00,000", f"Request{{state=RETRY, {TRANSACTION}}}"),
        LostCommit("2026-01-01 12:00:01,000", TRANSACTION),
    ]


def test_a_lost_commit_is_an_exit_code(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(INVALID_STATE)
    assert run(monkeypatch, str(log), "--json") == 2
    assert [each["time"] for each in json.loads(capsys.readouterr().out)] == ["2026-01-01 12:00:00,000"]
    assert run(monkeypatch, str(log)) == 2
    assert "1 commits lost: run clickproof reconcile" in capsys.readouterr().out


def test_a_log_without_lost_commits_is_fine(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(HARMLESS)
    assert run(monkeypatch, str(log)) == 0
    assert capsys.readouterr().out == "0 commits lost\n"


def test_a_log_that_cannot_be_read_is_one_sentence(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(log)) == 1
    assert capsys.readouterr().err == f"Cannot read {log}: No such file or directory.\n"

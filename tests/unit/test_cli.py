"""The commands' own part: what they refuse, in one sentence, before anything is started."""

import json
import sys
from pathlib import Path

import pytest

from local import cli
from local.stack import HOME_VARIABLE


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["clickproof", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture(autouse=True)
def nothing_is_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


@pytest.mark.parametrize("command", [("produce",), ("replay", "--out", "results")])
def test_a_missing_file_is_one_sentence(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = str(tmp_path / "none.jsonl")
    assert run(monkeypatch, *command, missing) == 1
    printed = capsys.readouterr()
    assert printed.err == f"Cannot read {missing}: No such file or directory.\n"
    assert printed.out == ""


def test_results_cannot_go_where_a_file_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "clicks.jsonl"
    file.touch()
    assert run(monkeypatch, "replay", str(file), "--out", str(file)) == 1
    assert "Cannot make the directory" in capsys.readouterr().err


def test_generate_prints_the_truth_it_wrote(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "clicks.jsonl"
    assert run(monkeypatch, "generate", "--clicks", "500", "--seed", "3", "--out", str(out), "--json") == 0
    truth = json.loads(capsys.readouterr().out)
    assert truth == json.loads((tmp_path / "clicks.jsonl.truth.json").read_text())
    assert truth["raw"] == out.read_bytes().count(b"\n") == 500


def test_rates_that_make_no_sense_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "clicks.jsonl"
    assert run(monkeypatch, "generate", "--clicks", "5", "--duplicates", "1.5", "--out", str(out)) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()

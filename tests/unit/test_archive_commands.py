"""What the commands over the archive print, and refuse in one sentence."""

import json
import sys
from pathlib import Path

import pytest

from local import cli
from tests.archives import Row, write_archive
from tests.builders import MINUTE, NOON, a_click, raw


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["clickproof", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def archive(tmp_path: Path) -> str:
    hidden = json.dumps(a_click(country="F\u202eR"), ensure_ascii=False).encode()
    values = [raw(country="DE"), hidden, raw(click_timestamp=NOON + MINUTE), raw(user_id="late")]
    write_archive(tmp_path, [Row(value, offset, timestamp=NOON + MINUTE) for offset, value in enumerate(values)])
    return str(tmp_path)


def test_lateness_is_told_to_programs(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "lateness", "--archive", archive, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clicks"], told["unique"], told["recommended_ms"]) == (4, 3, 1000)
    assert told["delay_ms"]["max"] == MINUTE
    assert [candidate["late"] for candidate in told["candidates"][:2]] == [1, 0]


def test_lateness_recommends(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "lateness", "--archive", archive) == 0
    assert "Recommended: out_of_orderness = 1 s" in capsys.readouterr().out


def test_no_candidate_may_be_good_enough(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "lateness", "--archive", archive, "--target", "0") == 0
    assert "No candidate" in capsys.readouterr().out


def test_the_identity_audit_is_told_to_programs(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "audit-identity", "--archive", archive, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["unique"], told["falsely_merged"], told["share"]) == (3, 1, 1 / 3)
    assert [copy["offset"] for copy in told["examples"][0]] == [0, 1]


def test_examples_do_a_terminal_no_harm(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "audit-identity", "--archive", archive) == 0
    printed = capsys.readouterr().out
    assert r"F\u202eR" in printed
    assert "0@1" in printed


@pytest.mark.parametrize("command", ["lateness", "audit-identity"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "yesterday"), "'yesterday' is no time such as"),
        (("--from", str(10**18)), f"'{10**18}' is no time such as"),
        (("--from", "2026-01-02", "--to", "2026-01-01T23:00"), "--from is not before --to"),
        (("--archive", "/nowhere"), "/nowhere has no Parquet file of that span"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(command, arguments, sentence, monkeypatch, capsys) -> None:
    assert run(monkeypatch, command, *arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.strip().startswith(sentence)
    assert printed.err.strip().count("\n") == 0
    assert printed.out == ""


def test_a_span_without_clicks_is_one_sentence(archive: str, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "lateness", "--archive", archive, "--from", str(NOON + 2 * MINUTE)) == 1
    assert "has no valid click in that span" in capsys.readouterr().err

"""What the commands over the dead letters print, and refuse in one sentence, without a broker."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import dlq_commands
from audit.dead_letters import DeadLetter, Origin
from local import cli
from local.stack import TOPICS
from tests.builders import MINUTE, NOON, raw


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["clickproof", "dlq", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Thirty invalid clicks and a late one; returns with what they were asked for."""
    asked: list[dict[str, Any]] = []
    invalid = [DeadLetter(Origin("clicks", 0, n), NOON + n * MINUTE, "not_json", None, b"\x1b[2J") for n in range(30)]
    late = DeadLetter(Origin("clicks", 1, 7), NOON, "late", None, raw(ad_id="[red]"))
    letters = {TOPICS.invalid: invalid, TOPICS.late: [late]}

    def read(connection: dict[str, Any], topic: str):
        asked.append(connection)
        return iter(letters[topic])

    monkeypatch.setattr(dlq_commands, "read_dead_letters", read)
    return asked


def test_numbers_are_a_table_by_what_is_asked_for(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "list", "--by", "ad", "--to", str(NOON + 2 * MINUTE)) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip() and "─" not in line]
    assert rows == [["reason", "ad", "clicks"], ["late", "[red]", "1"], ["not_json", "(unreadable)", "2"]]


def test_minutes_are_those_of_the_record(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "list", "--by", "minute", "--json", "--from", str(NOON + 29 * MINUTE + 1 - MINUTE)) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"reason": "not_json", "minute": NOON + 29 * MINUTE, "ad_id": None, "clicks": 1}
    ]


def test_the_first_letters_are_shown_and_that_there_are_more(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", "--topic", "invalid") == 0
    printed = capsys.readouterr()
    assert printed.out.count("not_json") == dlq_commands.SHOWN
    assert "\x1b" not in printed.out
    assert "There are more" in printed.err


def test_programs_get_all_letters(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", "--json") == 0
    assert capsys.readouterr().out.count("\n") == 31
    assert run(monkeypatch, "show", "--json", "--limit", "2") == 0
    assert capsys.readouterr().out.count("\n") == 2


def test_security_options_come_from_a_file(monkeypatch, capsys, connections, tmp_path: Path) -> None:
    config = tmp_path / "client.json"
    options = ("list", "--bootstrap-servers", "broker:9092", "--client-config", str(config))
    assert run(monkeypatch, *options) == 1
    assert capsys.readouterr().err.startswith(f"Cannot read {config} as JSON")
    config.write_text('{"security_protocol": "SSL"}')
    assert run(monkeypatch, *options) == 0
    assert connections[-1] == {"bootstrap_servers": "broker:9092", "security_protocol": "SSL"}


def test_a_bad_blocklist_stops_a_replay_before_anything_is_read(monkeypatch, capsys, connections, tmp_path: Path):
    repaired, blocklist = tmp_path / "repaired.jsonl", tmp_path / "blocklist.csv"
    repaired.write_text("")
    blocklist.write_text("field,value\nip,10.0.0\n")
    assert run(monkeypatch, "replay", str(repaired), "--blocklist", str(blocklist)) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"The blocklist {blocklist}, line 2: '10.0.0' does not appear to be")
    assert error.count("\n") == 1
    assert connections == []

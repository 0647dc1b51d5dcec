"""`clickproof windows`: what it prints of a file of operations, and what it refuses in one sentence."""

import json
import sys
from pathlib import Path

import pytest

from local import cli

LINES = [
    {"op": "ingest", "partition": "a", "timestamp": 121, "data": None},
    {"op": "ingest", "partition": "a", "timestamp": 0, "data": {"é": [1, "\ud800"]}},
    {"op": "ingest", "partition": 7, "timestamp": 60},
    {"op": "advance", "partition": "a", "timestamp": 121},
    {"op": "emit"},
    {"op": "advance", "partition": 7, "timestamp": 130},
    {"op": "ingest", "partition": 7, "timestamp": 60, "data": "late"},
    {"op": "emit"},
]
FIRST = {"start": 0, "end": 60, "events": [{"partition": "a", "timestamp": 0, "data": {"é": [1, "\ud800"]}}]}
SECOND = {"start": 60, "end": 120, "events": [{"partition": 7, "timestamp": 60, "data": None}]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run the command on lines; returns the exit code, what was printed as JSON, and the words on stderr."""

    def run_command(lines: list[dict | str], *options: str) -> tuple[int, list[dict], str]:
        file = tmp_path / "events.jsonl"
        file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        monkeypatch.setattr(sys, "argv", ["clickproof", "windows", str(file), *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), [json.loads(line) for line in printed.out.splitlines()], printed.err

    return run_command


def test_windows_are_printed_as_they_are_emitted(run):
    assert run(LINES)[:2] == (0, [FIRST, SECOND])


def test_refused_events_are_counted_on_stderr_and_kept_with_line_and_reason(run, tmp_path):
    refused = tmp_path / "refused.jsonl"
    code, _, words = run(LINES, "--refused", str(refused))
    assert (code, words) == (0, "Refused events: 1 behind_watermark.\n")
    assert json.loads(refused.read_text()) == {
        "line": 7,
        "partition": 7,
        "timestamp": 60,
        "data": "late",
        "reason": "behind_watermark",
    }


def test_a_partition_of_the_options_holds_back_though_the_file_never_names_it(run):
    lines = [line for line in LINES if line.get("partition") != 7]
    assert run(lines, "--partition", "a")[1] == [FIRST]
    assert run(lines, "--partition", "a", "--partition", "silent")[1] == []


def test_a_partition_that_is_added_holds_back_only_from_there(run):
    late_member = [{"op": "add", "partition": "b"}, {"op": "advance", "partition": "a", "timestamp": 999}, LINES[4]]
    assert run([*LINES[:2], *LINES[3:5], *late_member])[1] == [FIRST]


def test_a_retired_partition_holds_nothing_back(run):
    assert run([*LINES[:4], {"op": "retire", "partition": 7}, LINES[4]])[1] == [FIRST, SECOND]


def test_windows_of_another_size_and_empty_ones_are_printed_on_request(run):
    _, printed, _ = run(LINES[:5], "--window", "30", "--empty", "--partition", "a")
    assert [window["start"] for window in printed] == [0, 30, 60, 90]


def test_events_beyond_the_limit_of_a_partition_are_refused(run):
    assert run(LINES[:2], "--max-pending", "1")[2] == "Refused events: 1 buffer_full.\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2 of {file} is not JSON: "),
        ('{"op": "emit", "data": NaN}', "Line 2 of {file} is not JSON: there is no NaN in JSON."),
        ("[]", "Line 2 of {file} is no operation: "),
        ('{"op": "eject"}', "Line 2 of {file} is no operation: Input tag 'eject'"),
        ('{"op": "ingest", "partition": "a"}', "Line 2 of {file} is no operation: timestamp: Field required."),
        ('{"op": "advance", "partition": "a", "timestamp": 1.5}', "Line 2 of {file} is no operation: timestamp: "),
        ('{"op": "advance", "partition": "a", "timestamp": true}', "Line 2 of {file} is no operation: timestamp: "),
    ],
)
def test_a_line_that_is_no_operation_is_one_sentence_that_names_it(run, tmp_path, line, sentence):
    code, _, words = run([LINES[0], line])
    assert code == 1
    assert words.startswith(sentence.replace("{file}", str(tmp_path / "events.jsonl")))
    assert words.count("\n") == 1


def test_a_statement_about_an_unknown_partition_is_one_sentence(run, tmp_path):
    code, _, words = run([{"op": "advance", "partition": "b", "timestamp": 1}], "--partition", "a")
    file = tmp_path / "events.jsonl"
    assert (code, words) == (1, f"Line 1 of {file} names an unknown partition 'b': add it first.\n")

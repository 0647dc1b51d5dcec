"""How a file becomes lines, and lines become Kafka's record format."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from ingest import producer
from ingest.producer import ProduceError, read_lines
from ingest.record_batches import encode_records


def lines_of(tmp_path: Path, content: bytes) -> list[bytes]:
    path = tmp_path / "clicks.jsonl"
    path.write_bytes(content)
    return list(read_lines(path))


def test_newline_is_the_only_separator(tmp_path: Path) -> None:
    assert lines_of(tmp_path, b"a\r\nb\rc\x0bd\x1ee\xc2\x85f\n\xff\n") == [b"a\r", b"b\rc\x0bd\x1ee\xc2\x85f", b"\xff"]


def test_last_line_without_newline_counts(tmp_path: Path) -> None:
    assert lines_of(tmp_path, b"a\nb") == [b"a", b"b"]


def test_empty_lines_are_lines(tmp_path: Path) -> None:
    assert lines_of(tmp_path, b"\na\n\n") == [b"", b"a", b""]


def test_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert lines_of(tmp_path, b"") == []


def test_longest_line_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "MAX_LINE_BYTES", 10)
    assert lines_of(tmp_path, b"x" * 10 + b"\ny\n" + b"z" * 10) == [b"x" * 10, b"y", b"z" * 10]


def test_longer_line_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "MAX_LINE_BYTES", 10)
    with pytest.raises(ProduceError, match="Line 2 "):
        lines_of(tmp_path, b"a\n" + b"x" * 11 + b"\nb\n")


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_records_are_encoded_as_kafka_python_does(values: list[bytes]) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, batch_size=1_000_000)
    for offset, value in enumerate(values):
        builder.append(offset, 1_767_268_800_000, None, value, [])
    assert encode_records(values) == bytes(builder._buffer[DefaultRecordBatchBuilder.HEADER_STRUCT.size :])

"""Which files of the archive hold a span, and what is in them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.archive_files import RecordSpan, archive_files, archive_rows, number_of_rows
from local.processes import LocalError
from tests.archives import Row, write_archive
from tests.builders import MINUTE, NOON

HOUR = 60 * MINUTE


def at(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def touched(directory: Path, *names: str) -> list[Path]:
    files = [directory / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def test_hours_from_the_first_to_the_last_are_found_and_flat_files_always(tmp_path: Path) -> None:
    folders = [f"hour=2026-01-01T{hour:02}/part.parquet" for hour in (9, 10, 11, 12)]
    files = touched(tmp_path, *folders, "flat.parquet")
    assert archive_files(tmp_path) == sorted(files)
    assert archive_files(tmp_path, at(10), at(11)) == sorted([*files[1:3], files[4]])


def test_what_is_not_finished_or_no_parquet_does_not_count(tmp_path: Path) -> None:
    touched(tmp_path, ".part.parquet", "_part.parquet", "part.csv", "hour=2026-01-01T09/.part.parquet", "x/p.parquet")
    assert archive_files(tmp_path) == []
    assert archive_files(tmp_path / "none") == []


def test_a_folder_that_is_no_hour_is_an_error(tmp_path: Path) -> None:
    touched(tmp_path, "hour=yesterday/part.parquet")
    with pytest.raises(LocalError, match="hour=yesterday is no hour"):
        archive_files(tmp_path)


def test_only_the_rows_of_the_span_are_read(tmp_path: Path) -> None:
    rows = [Row(b"%d" % hour, hour, timestamp=NOON + hour * HOUR) for hour in range(3)]
    files = write_archive(tmp_path, rows)
    read = [
        value
        for batch in archive_rows(files, ["value"], RecordSpan(NOON + 1, NOON + 2 * HOUR))
        for value in batch["value"]
    ]
    assert read == [b"1"]
    assert number_of_rows(files) == 3


def test_a_file_of_other_columns_is_named(tmp_path: Path) -> None:
    (file,) = write_archive(tmp_path, [Row(b"", 0)])
    with pytest.raises(LocalError, match=r"part-0\.parquet cannot be read"):
        list(archive_rows([file], ["no such column"], RecordSpan()))

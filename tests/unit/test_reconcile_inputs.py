import csv
from urllib.parse import urlparse

import polars as pl
import pytest

from audit.inputs import expected_offsets, write_counts, write_late
from local.processes import LocalError
from tests.builders import MINUTE, NOON

ODD_ADS = ["ad", " ", "", '"a","b"\r\nc\x00\x1e😀', "a\rb", "a\nb", "1"]


def rows(url: str) -> pl.DataFrame:
    return pl.read_parquet(f"{urlparse(url).path}/*")


def counts_file(path, counts):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("window_start", "ad_id", "clicks"), *counts])
    return path


def test_counts_come_through_whatever_the_ads_are_called(tmp_path):
    file = counts_file(tmp_path / "counts.csv", [(NOON, ad, number) for number, ad in enumerate(ODD_ADS, start=1)])
    read = rows(write_counts(file, tmp_path / "counts"))
    assert dict(read.select("ad_id", "clicks").rows()) == {ad: number for number, ad in enumerate(ODD_ADS, start=1)}
    assert set(read["version"]) == {0}


def test_a_count_that_stands_twice_counts_twice(tmp_path):
    file = counts_file(tmp_path / "counts.csv", [(NOON, "ad", 2), (NOON, "ad", 2), (NOON + MINUTE, "ad", 1)])
    read = rows(write_counts(file, tmp_path / "counts"))
    assert sorted(read.select("window_start", "clicks").rows()) == [(NOON, 4), (NOON + MINUTE, 1)]


def test_a_table_of_something_else_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "counts.csv"
    file.write_text("window_start,ad_id,clicks\nnoon,ad,1\n")
    with pytest.raises(LocalError, match="is no table window_start,ad_id,clicks"):
        write_counts(file, tmp_path / "counts")


def test_late_lines_come_through_byte_for_byte(tmp_path):
    lines = [b"{}", b"", b"\xff\x00\r", b"last"]
    (tmp_path / "late.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert sorted(rows(write_late(tmp_path / "late.jsonl", tmp_path / "late"))["value"]) == sorted(lines)


def test_no_files_are_no_rows(tmp_path):
    assert rows(write_counts(None, tmp_path / "counts")).is_empty()
    assert rows(write_late(None, tmp_path / "late")).is_empty()


def test_an_archive_without_offsets_beside_it_expects_nothing(tmp_path):
    assert expected_offsets(tmp_path) == {}

"""What is published of the benchmarks: tables made of the measured rows, in their places of docs/performance.md."""

import json
from pathlib import Path

import pytest

from bench.curve_plot import CurveRow, curve_table
from bench.publish import CURVES, DOCS, PUBLISHED, place, section, with_published
from bench.results import Row
from bench.run_plot import run_table


def a_row(system: str, clicks_per_s: int, **overrides: object) -> Row:
    row = {"system": system, "parallelism": 2, "clicks_per_s": clicks_per_s, "cpu_s_per_million": 20.5, "wall_s": 60.0}
    return row | {"correct": True, "finished": True, "rounds": [clicks_per_s]} | overrides  # type: ignore[return-value]


def a_point(value: float, clicks_per_s: int, **overrides: object) -> CurveRow:
    row = {"curve": "hot", "axis": "share of one ad", "value": value, "clicks": 1_000_000, "parallelism": 2}
    row |= {"clicks_per_s": clicks_per_s, "cpu_s_per_million": 20.5, "python_mb": 1_234, "correct": True}
    return row | {"finished": True, "rounds": [clicks_per_s]} | overrides  # type: ignore[return-value]


def test_the_table_says_how_many_times_as_fast_clickproof_is():
    rows = [a_row("clickproof", 90_000), a_row("flink-sql", 60_000), a_row("flink-sql", 50_000, parallelism=1)]
    assert "| 2 | flink-sql | 60,000 | 1.50 x | 20.5 | 60.0 | exact | 60,000 |" in run_table(rows)
    assert "| 1 | flink-sql | 50,000 |  | 20.5 | 60.0 | exact | 50,000 |" in run_table(rows)


@pytest.mark.parametrize(
    ("overrides", "verdict"),
    [({"correct": False}, "WRONG"), ({"correct": None}, "–"), ({"correct": None, "finished": False}, "not finished")],
)
def test_the_table_says_that_a_system_was_wrong_unchecked_or_cut_off(overrides, verdict):
    assert f"| {verdict} |" in run_table([a_row("bytewax", 1_000, **overrides)])


def test_the_table_of_curves_says_what_was_changed_and_whether_the_counts_were_right():
    table = curve_table([a_point(0.1, 90_000), a_point(0.5, 80_000, correct=False)])
    assert "| share of one ad | 0.1 | 90,000 | 20.5 | 1,234 | exact |" in table
    assert "| share of one ad | 0.5 | 80,000 | 20.5 | 1,234 | WRONG |" in table


def test_a_run_takes_the_place_of_the_one_before_and_of_nothing_else():
    page = the_page()
    once = with_published(page, "peak", [a_row("clickproof", 91_234)])
    twice = with_published(once, "peak", [a_row("clickproof", 80_001)])
    assert "91,234" in once
    assert "91,234" not in twice
    (begin, end), (new_begin, new_end) = place(page, "peak"), place(twice, "peak")
    assert (twice[:new_begin], twice[new_end:]) == (page[:begin], page[end:])


def test_curves_are_published_in_a_place_of_their_own():
    page = with_published(the_page(), CURVES, [a_point(0.1, 76_543)])
    begin, end = place(page, CURVES)
    assert "Runs of 1,000,000 clicks at parallelism 2." in page[begin:end]
    assert "76,543" in page[begin:end]


def test_a_page_without_a_place_for_a_run_is_refused():
    with pytest.raises(ValueError, match="no place for peak"):
        place("# Performance\n", "peak")


@pytest.mark.parametrize("file", sorted(PUBLISHED.glob("*.json")), ids=lambda file: file.stem)
def test_the_page_says_what_is_published(file: Path):
    page = the_page()
    begin, end = place(page, file.stem)
    assert page[begin:end] == section(file.stem, json.loads(file.read_text()))


def the_page() -> str:
    return (DOCS / "performance.md").read_text(encoding="utf-8")

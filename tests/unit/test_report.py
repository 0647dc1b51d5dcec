import csv
import io
import json

import polars as pl
import pytest
from rich.console import Console

from audit.proof import Gap
from audit.report import EXIT_CODES, page, report, write
from tests.builders import NOON

COLUMNS = ["window_start", "ad_id", "published", "version", "exact", "late", "expired_duplicate", "unexplained"]
EXACT = (NOON, "exact", 5, 0, 5, 0, 0, 0)
LATE = (NOON, "late, very", 5, 0, 7, 2, 0, 0)
LOST = (NOON, "lost", 0, -1, 3, 0, 0, 3)
INVENTED = (NOON, "invented", 4, 0, 0, 0, 0, -4)


def places(*rows):
    return pl.DataFrame([*rows], COLUMNS, orient="row")


@pytest.mark.parametrize(
    ("rows", "gaps", "late_missing", "verdict", "code"),
    [
        ([EXACT, LATE], [], {}, "explained", 0),
        ([EXACT, LOST], [], {}, "unexplained", 2),
        ([EXACT], [], {NOON: 1}, "unexplained", 2),
        ([LOST], [Gap("clicks", 0, 1, 2)], {}, "incomplete", 3),
        ([], [], {}, "explained", 0),
    ],
)
def test_the_verdict_is_as_bad_as_the_worst_that_was_found(rows, gaps, late_missing, verdict, code):
    found = report("a span", places(*rows) if rows else places(EXACT).clear(), gaps, 0, late_missing)
    assert (found.verdict, EXIT_CODES[found.verdict]) == (verdict, code)


def test_what_is_too_much_and_what_is_too_little_do_not_cancel_out():
    found = report("a span", places(EXACT, LATE, LOST, INVENTED), [], 0, {})
    assert (found.overcount, found.undercount, found.late, found.unexplained) == (4, 5, 2, 7)
    assert (found.ads, found.windows, found.published, found.exact) == (4, 1, 14, 15)


def test_the_files_have_the_exact_counts_and_the_differences(tmp_path):
    rows = places(LOST, EXACT, LATE, INVENTED)
    write(report("a span", rows, [], 0, {}), rows, tmp_path / "new" / "out")
    with (tmp_path / "new" / "out" / "corrected.csv").open(newline="") as file:
        assert [*csv.reader(file)][1:] == [
            [str(NOON), "exact", "5"],
            [str(NOON), "late, very", "7"],
            [str(NOON), "lost", "3"],
        ]
    with (tmp_path / "new" / "out" / "differences.csv").open(newline="") as file:
        assert [*csv.reader(file)] == [
            ["window_start", "ad_id", "streamed", "exact", "late", "expired_duplicate", "unexplained"],
            [str(NOON), "invented", "4", "0", "0", "0", "-4"],
            [str(NOON), "late, very", "5", "7", "2", "0", "0"],
            [str(NOON), "lost", "0", "3", "0", "0", "3"],
        ]
    assert json.loads((tmp_path / "new" / "out" / "report.json").read_text())["verdict"] == "unexplained"


def test_an_incomplete_archive_corrects_nothing_and_leaves_no_corrections_of_before(tmp_path):
    (tmp_path / "corrected.csv").write_text("of before")
    write(report("a span", places(LOST), [Gap("clicks", 3, 7, 9)], 0, {}), places(LOST), tmp_path)
    assert not (tmp_path / "corrected.csv").exists()
    assert json.loads((tmp_path / "report.json").read_text())["gaps"] == [
        {"topic": "clicks", "partition": 3, "first_offset": 7, "last_offset": 9, "twofold": False}
    ]


def test_the_page_names_what_is_missing():
    found = report("a span", places(LOST), [Gap("clicks", 3, 7, 9)], 0, {})
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(page(found, places(LOST)))
    assert "clicks partition 3, offsets 7 to 9" in console.export_text()

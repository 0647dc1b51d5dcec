"""What a replay writes, and what it refuses to write."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from local.processes import LocalError
from local.published import JobTopics, Published, topics_of
from local.recount import Rejected
from local.replay import drafted, write_results
from tests.builders import MINUTE, NOON

ODD_ADS = ['a"b', "a,b", "a\nb", "a\rb", "a\r\nb", "\x00", "\x1e", " ", "😀"]


@pytest.fixture
def published() -> Published:
    return Published(
        counts={(NOON + MINUTE, "b"): 2, (NOON, "z"): 1, (NOON + MINUTE, "a"): 3},
        late=[Rejected((1, 0), "late", b"second\r"), Rejected((0, 1), "late", b"third"), Rejected((0, 0), "late", b"")],
        invalid=[Rejected((0, 2), "not_json", b"\xff")],
        ledger={
            NOON: {"raw": 5, "counted": 1, "duplicate": 1, "late": 3, "invalid": 0},
            NOON + MINUTE: {"raw": 6, "counted": 5, "duplicate": 0, "late": 0, "invalid": 1},
        },
    )


def test_counts_are_sorted_by_window_and_ad(published: Published, tmp_path: Path) -> None:
    write_results(published, tmp_path)
    rows = (tmp_path / "counts.csv").read_bytes().split(b"\r\n")
    assert rows == [
        b"window_start,ad_id,clicks",
        f"{NOON},z,1".encode(),
        f"{NOON + MINUTE},a,3".encode(),
        f"{NOON + MINUTE},b,2".encode(),
        b"",
    ]


def test_counts_by_country_have_a_file_only_where_there_are_any(published: Published, tmp_path: Path) -> None:
    by_country = {(NOON, "z", country): 1 for country in ("DE", "", 'a",\r\n\x00')}
    with drafted(tmp_path) as draft:
        write_results(replace(published, by_country=by_country), draft)
    with (tmp_path / "counts-by-country.csv").open(encoding="utf-8", newline="") as file:
        rows = [(int(row["window_start"]), row["ad_id"], row["country"]) for row in csv.DictReader(file)]
    assert rows == sorted(by_country)
    with drafted(tmp_path) as draft:
        write_results(published, draft)
    assert not (tmp_path / "counts-by-country.csv").exists()


def test_ads_of_any_characters_are_read_back_unchanged(tmp_path: Path) -> None:
    write_results(Published(counts=dict.fromkeys([(NOON, ad) for ad in ODD_ADS], 1)), tmp_path)
    with (tmp_path / "counts.csv").open(encoding="utf-8", newline="") as file:
        assert {row["ad_id"] for row in csv.DictReader(file)} == set(ODD_ADS)


def test_original_lines_come_in_the_order_of_the_file(published: Published, tmp_path: Path) -> None:
    write_results(published, tmp_path)
    assert (tmp_path / "late.jsonl").read_bytes() == b"\nsecond\r\nthird\n"
    assert (tmp_path / "invalid.jsonl").read_bytes() == b"\xff\n"


def test_the_ledger_is_summed_over_the_minutes(published: Published, tmp_path: Path) -> None:
    write_results(published, tmp_path)
    terms = {"raw": 11, "counted": 6, "duplicate": 1, "late": 3, "invalid": 1}
    assert json.loads((tmp_path / "ledger.json").read_text()) == terms


def test_results_replace_those_of_an_earlier_run_and_other_files_stay(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    for part in ("1.parquet", "2.parquet"):
        with drafted(out) as draft:
            (draft / "archive").mkdir()
            (draft / "archive" / part).touch()
            write_results(published, draft)
        (out / "notes.txt").touch()
    names = ["archive", "counts.csv", "invalid.jsonl", "late.jsonl", "ledger.json", "notes.txt"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert [path.name for path in (out / "archive").iterdir()] == ["2.parquet"]


def test_a_run_that_fails_leaves_the_results_of_an_earlier_one_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("earlier")

    def fail() -> None:
        with drafted(tmp_path) as draft:
            (draft / "ledger.json").touch()
            raise LocalError("the archive failed")

    with pytest.raises(LocalError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]
    assert (tmp_path / "ledger.json").read_text() == "earlier"


def test_results_that_add_up_have_no_contradictions(published: Published) -> None:
    assert list(published.contradictions()) == []


def test_every_contradiction_is_named(published: Published) -> None:
    wrong = replace(published, counts={(NOON, "z"): 9}, twice=[(NOON, "z")], late=[], invalid=[], by_country={})
    wrong.ledger[NOON]["duplicate"] = 7
    assert [contradiction.partition(":")[0] for contradiction in wrong.contradictions()] == [
        f"The count of ad 'z' in window {NOON} was published more than once.",
        "The ledger does not balance",
        "The ledger has 6 clicks counted, the counts add up to 9.",
        "The counts add up to 9, those by country to 0.",
        "The ledger has 3 late clicks, their topic has 0.",
        "The ledger has 1 invalid clicks, their topic has 0.",
    ]


def test_topics_become_arguments_of_the_job() -> None:
    arguments = JobTopics().prefixed("x").arguments()
    assert arguments[:4] == ["--clicks-topic", "x-clicks", "--counts-topic", "x-clicks-per-minute"]
    assert len(arguments) == 12


def test_only_a_job_that_counts_by_country_has_a_topic_for_that() -> None:
    assert topics_of([], {}).country is None
    topics = topics_of(["--dimensions", "country"], {}).prefixed("x")
    assert topics == topics_of([], {"CLICKPROOF_DIMENSIONS": "country"}).prefixed("x")
    assert topics.arguments()[-2:] == ["--country-topic", "x-clicks-per-minute-country"]
    assert topics.partitions(4) == dict.fromkeys(topics, 1) | {topics.clicks: 4}
    assert None not in topics_of([], {}).partitions(4)
    with pytest.raises(LocalError, match=r"^dimensions: [^\n]+'browser'\.$"):
        topics_of(["--dimensions", "browser"], {})

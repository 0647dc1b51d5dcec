"""The oracle accepts exact results, and finds every kind of error that is put into them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.judge import judge
from local.recount import Rejected, recount, recount_files, rejected
from local.topics import Record
from tests.builders import NOON, raw

LATER = NOON + 180_000
PRODUCED = NOON + 600_000
WINDOW = NOON, "ad-1"


@dataclass
class Run:
    """A run with one click of each fate, and its exact results: the tests spoil one of them each."""

    clicks: list[bytes | None]
    counts: dict[tuple[int, str], int]
    late: list[Rejected]
    invalid: list[Rejected]
    ledger: dict[int, dict[str, int]]
    heartbeats: list[Record] = field(default_factory=list)
    by_country: dict[tuple[int, str, str], int] | None = None

    def problems(self) -> list[str]:
        records = [Record(0, offset, PRODUCED, None, value, {}) for offset, value in enumerate(self.clicks)]
        results = (self.counts, self.late, self.invalid, self.ledger)
        return recount(records + self.heartbeats, *results, by_country=self.by_country)


@pytest.fixture
def run() -> Run:
    late = raw(user_id="u-late")
    return Run(
        clicks=[raw(), raw(country="DE"), raw(click_timestamp=LATER), late, b"{}", raw(ad_id="ad-2")],
        counts={WINDOW: 1, (NOON, "ad-2"): 1, (LATER, "ad-1"): 1},
        late=[Rejected((0, 3), "late", late)],
        invalid=[Rejected((0, 4), "missing_field", b"{}")],
        ledger={
            NOON: {"raw": 4, "counted": 2, "duplicate": 1, "late": 1, "invalid": 0},
            LATER: {"raw": 1, "counted": 1, "duplicate": 0, "late": 0, "invalid": 0},
            PRODUCED: {"raw": 1, "counted": 0, "duplicate": 0, "late": 0, "invalid": 1},
        },
    )


def test_exact_results_have_no_problems(run: Run) -> None:
    assert run.problems() == []


BY_COUNTRY = {(NOON, "ad-1", ""): 1, (NOON, "ad-2", ""): 1, (LATER, "ad-1", ""): 1}


@pytest.mark.parametrize("first", ["", "DE"])
def test_a_click_counts_for_the_country_of_any_copy_as_any_may_have_been_the_first(run: Run, first: str) -> None:
    run.by_country = {(NOON, "ad-1", first): 1, (NOON, "ad-2", ""): 1, (LATER, "ad-1", ""): 1}
    assert run.problems() == []


@pytest.mark.parametrize(
    ("spoiled", "problem"),
    [
        ({(NOON, "ad-1", "DE"): 1}, "2 published by country, 1 recounted"),
        ({(NOON, "ad-2", ""): 0}, "0 published by country, 1 recounted"),
        ({(NOON, "ad-2", ""): 0, (NOON, "ad-2", "DE"): 1}, "country 'DE': 1 published, 0 to 0 recounted"),
        ({(NOON, "ad-2", "DE"): 0}, "country 'DE': 0 published, 0 to 0 recounted"),
        ({(NOON, "ad-3", ""): 1}, "1 published by country, 0 recounted"),
    ],
)
def test_a_wrong_count_by_country_is_found(run: Run, spoiled: dict[tuple[int, str, str], int], problem: str) -> None:
    run.by_country = BY_COUNTRY | spoiled
    assert any(problem in found for found in run.problems())


def test_lost_click_is_found(run: Run) -> None:
    del run.counts[NOON, "ad-2"]
    assert run.problems() == [f"Ad 'ad-2' in window {NOON}: 0 published, 1 recounted."]


def test_click_counted_twice_is_found(run: Run) -> None:
    run.counts[WINDOW] = 2
    assert run.problems() == [f"Ad 'ad-1' in window {NOON}: 2 published, 1 recounted."]


def test_count_of_an_ad_nobody_clicked_is_found(run: Run) -> None:
    run.counts[NOON, "ad-3"] = 1
    assert run.problems() == [f"Ad 'ad-3' in window {NOON}: 1 published, 0 recounted."]


def test_published_zero_is_found(run: Run) -> None:
    run.counts[NOON, "ad-3"] = 0
    assert len(run.problems()) == 1


def test_click_in_the_wrong_window_is_found(run: Run) -> None:
    run.counts[LATER + 60_000, "ad-1"] = run.counts.pop((LATER, "ad-1"))
    assert len(run.problems()) == 2


def test_swapped_reason_is_found(run: Run) -> None:
    run.invalid = [Rejected((0, 4), "wrong_type", b"{}")]
    assert run.problems() == ["Click 0@4 is missing_field, but was called wrong_type."]


def test_unreported_invalid_click_is_found(run: Run) -> None:
    run.invalid = []
    assert run.problems() == ["Click 0@4 is missing_field, but was not reported."]


def test_valid_click_reported_invalid_is_found(run: Run) -> None:
    run.invalid.append(Rejected((0, 0), "not_json", raw()))
    assert run.problems() == ["Click 0@0 is valid, but was called not_json."]


@pytest.mark.parametrize("topic", ["late", "invalid"])
def test_altered_bytes_are_found(run: Run, topic: str) -> None:
    reported = getattr(run, topic)
    reported[0] = reported[0]._replace(value=reported[0].value + b" ")
    assert len(run.problems()) == 1
    assert "other bytes" in run.problems()[0]


@pytest.mark.parametrize("topic", ["late", "invalid"])
def test_click_reported_twice_is_found(run: Run, topic: str) -> None:
    getattr(run, topic).append(getattr(run, topic)[0])
    assert len(run.problems()) == 1
    assert f"reported {topic} more than once" in run.problems()[0]


@pytest.mark.parametrize("topic", ["late", "invalid"])
def test_reported_click_that_never_came_is_found(run: Run, topic: str) -> None:
    getattr(run, topic).append(Rejected((7, 7), "late", b"{}"))
    assert run.problems() == [f"Click 7@7 was reported {topic}, but there is no such click."]


def test_invalid_click_reported_late_is_found(run: Run) -> None:
    run.late.append(Rejected((0, 4), "late", b"{}"))
    assert run.problems() == ["Click 0@4 is not counted (missing_field), but was reported late."]


def test_late_click_that_was_counted_too_is_found(run: Run) -> None:
    run.counts[WINDOW] += 1
    assert len(run.problems()) == 1


def test_click_reported_late_before_its_window_can_have_been_over_is_found(run: Run) -> None:
    run.clicks[2] = raw(click_timestamp=NOON + 64_998)
    run.counts = {WINDOW: 1, (NOON, "ad-2"): 1, (NOON + 60_000, "ad-1"): 1}
    run.ledger[NOON + 60_000] = run.ledger.pop(LATER)
    assert run.problems() == [f"Click 0@3 was reported late, but its window {NOON} cannot have been over."]


def test_click_is_late_from_its_windows_last_millisecond_on(run: Run) -> None:
    run.clicks[2] = raw(click_timestamp=NOON + 64_999)
    run.counts = {WINDOW: 1, (NOON, "ad-2"): 1, (NOON + 60_000, "ad-1"): 1}
    run.ledger[NOON + 60_000] = run.ledger.pop(LATER)
    assert run.problems() == []


def test_heartbeat_is_no_click_but_moves_the_watermark(run: Run) -> None:
    run.clicks[2] = raw(click_timestamp=NOON + 1)
    run.counts = {WINDOW: 2, (NOON, "ad-2"): 1}
    run.ledger[NOON] = {"raw": 5, "counted": 3, "duplicate": 1, "late": 1, "invalid": 0}
    del run.ledger[LATER]
    run.heartbeats = [Record(1, 0, LATER, b"clickproof.heartbeat", None, {})]
    assert run.problems() == []


def test_other_null_value_is_an_invalid_click(run: Run) -> None:
    run.clicks.append(None)
    assert "Click 0@6 is not_json, but was not reported." in run.problems()


def test_ledger_that_does_not_balance_is_found(run: Run) -> None:
    run.ledger[NOON]["raw"] = 5
    assert any("does not balance" in problem for problem in run.problems())


def test_ledger_that_balances_on_wrong_terms_is_found(run: Run) -> None:
    run.ledger[NOON] |= {"duplicate": 2, "late": 0}
    assert f"The ledger of minute {NOON} has duplicate 2, recounted 1." in run.problems()


def test_missing_minute_of_the_ledger_is_found(run: Run) -> None:
    del run.ledger[PRODUCED]
    assert f"The ledger of minute {PRODUCED} has invalid 0, recounted 1." in run.problems()


def test_invalid_click_booked_on_the_wrong_minute_is_found(run: Run) -> None:
    run.ledger[PRODUCED + 60_000] = run.ledger.pop(PRODUCED)
    assert len(run.problems()) == 4


def test_one_identity_in_two_windows_cannot_be_recounted(run: Run) -> None:
    run.clicks += [raw(click_id="c"), raw(click_id="c", click_timestamp=LATER)]
    with pytest.raises(ValueError, match="cannot be recounted"):
        run.problems()


def test_origin_and_reason_are_read_from_the_headers() -> None:
    headers = {"clickproof.partition": b"3", "clickproof.offset": b"12", "clickproof.reason": b"late"}
    assert rejected(Record(0, 0, 0, None, b"{}", headers)) == Rejected((3, 12), "late", b"{}")


def test_rejected_record_without_origin_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say where it came from"):
        rejected(Record(0, 0, 0, None, b"{}", {}))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (raw(), None),
        (raw(extra="x" * 70_000)[:65_536], "not_json"),
        (raw() + b" " * (65_536 - len(raw())), None),
        (raw() + b" " * (65_537 - len(raw())), "too_large"),
        (b"\xef\xbb\xbf" + raw(), "not_json"),
        (raw() + b"x", "not_json"),
        (raw(extra=float("nan")), "not_json"),
        (raw(extra="\ud800"), "not_json"),
        (raw(extra=[["\ud800"]]), "not_json"),
        (raw(ad_id="\ud83d\ude00"), None),
        (raw()[:-1] + b',"ad_id":"\\udc00","ad_id":"ad"}', "not_json"),
        (raw()[:-1] + b',"extra":' + b"[" * 63 + b"]" * 63 + b"}", None),
        (raw()[:-1] + b',"extra":' + b"[" * 64 + b"]" * 64 + b"}", "not_json"),
        (raw(extra="[" * 100), None),
        (b"[]", "not_json"),
        (b"", "not_json"),
        (raw(ad_id="é" * 256), None),
        (raw(ad_id="é" * 257), "too_long"),
        (raw(ip="1" * 65), "too_long"),
        (raw(ad_id=""), "empty_field"),
        (raw(ad_id=None), "wrong_type"),
        (raw(user_id="", ad_id=7), "wrong_type"),
        (raw(user_id="", ip=7), "empty_field"),
        (b'{"user_id":"","ip":7}', "missing_field"),
        (raw(click_timestamp="1"), "wrong_type"),
        (raw(click_timestamp=1.0), "wrong_type"),
        (raw(click_timestamp=True), "wrong_type"),
        (raw().replace(str(NOON).encode(), b"1e3"), "wrong_type"),
        (raw(click_timestamp=-1), "timestamp_out_of_range"),
        (raw(click_timestamp=2**63), "timestamp_out_of_range"),
        (raw().replace(str(NOON).encode(), b"9" * 5_000), "timestamp_out_of_range"),
        (raw(click_timestamp=2**63 - 1), "future_timestamp"),
        (raw(click_timestamp=PRODUCED + 300_000), None),
        (raw(click_timestamp=PRODUCED + 300_001), "future_timestamp"),
        (raw(click_id=None, country=None), None),
        (raw(click_id=""), "empty_field"),
        (raw(click_id="c" * 257), "too_long"),
        (raw(country=7), "wrong_type"),
        (raw(country=""), None),
        (raw()[:-1] + b',"ad_id":7}', "wrong_type"),
    ],
)
def test_judgement_follows_the_contract(value: bytes, reason: str | None) -> None:
    assert judge(value, PRODUCED, 300_000).reason == reason


def test_identity_is_the_click_id_or_else_time_user_ad_and_ip() -> None:
    def identity(**overrides: Any) -> bytes:
        click = judge(raw(**overrides), PRODUCED, 300_000).click
        assert click is not None
        return click.identity

    assert identity(country="DE") == identity()
    assert identity(click_id="c", user_id="u-2") == identity(click_id="c")
    changes = ({"click_timestamp": NOON + 1}, {"user_id": "u-2"}, {"ad_id": "ad-2"}, {"ip": "::1"}, {"click_id": "c"})
    assert len({identity(), *(identity(**change) for change in changes)}) == 6


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    """A folder with `clicks.jsonl` and a replay's exact results; one of two equal lines came late."""
    lines = [raw(), raw(), raw(click_timestamp=LATER), b"", b'{"ad_id":"a,\\"b\\""}']
    (tmp_path / "clicks.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "late.jsonl").write_bytes(lines[0] + b"\n")
    (tmp_path / "invalid.jsonl").write_bytes(lines[4] + b"\n\n")
    (tmp_path / "counts.csv").write_text(f"window_start,ad_id,clicks\n{NOON},ad-1,1\n{LATER},ad-1,1\n")
    (tmp_path / "ledger.json").write_text('{"raw":5,"counted":2,"duplicate":0,"late":1,"invalid":2}')
    return tmp_path


def test_counts_by_country_are_recounted_where_there_is_a_file_of_them(replay: Path) -> None:
    by_country = replay / "counts-by-country.csv"
    by_country.write_text(f"window_start,ad_id,country,clicks\n{NOON},ad-1,,1\n{LATER},ad-1,,1\n")
    assert recount_files(replay / "clicks.jsonl", replay, PRODUCED) == []
    by_country.write_text(f"window_start,ad_id,country,clicks\n{NOON},ad-1,,1\n{LATER},ad-1,DE,1\n")
    assert len(recount_files(replay / "clicks.jsonl", replay, PRODUCED)) == 2
    by_country.write_text(f"window_start,ad_id,country,clicks\n{NOON},ad-1,,1\n{LATER},ad-1,,1\n{LATER},ad-1,,1\n")
    assert len(recount_files(replay / "clicks.jsonl", replay, PRODUCED)) == 1


def test_exact_files_have_no_problems(replay: Path) -> None:
    assert recount_files(replay / "clicks.jsonl", replay, PRODUCED) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("counts.csv", f"{NOON},ad-1,1", f"{NOON},ad-1,2", "2 published, 1 recounted"),
        ("counts.csv", f"{NOON},ad-1,1\n", "", "0 published, 1 recounted"),
        ("counts.csv", f"{NOON},ad-1,1", f"{NOON},ad-1,1\n{NOON},ad-1,1", "two rows"),
        ("late.jsonl", "user-1", "user-2", "late.jsonl has 1 too many"),
        ("late.jsonl", "\n", "\n\n", "late.jsonl has 1 too many of b''"),
        ("invalid.jsonl", "a,", "a;", "Line 5 is missing_field, but is not in invalid.jsonl"),
        ("ledger.json", '"raw":5', '"raw":6', "does not balance"),
        ("ledger.json", '"late":1', '"late":0', "has late 0, recounted 1"),
    ],
)
def test_spoiled_file_is_found(replay: Path, name: str, old: str, new: str, problem: str) -> None:
    path = replay / name
    path.write_text(path.read_text().replace(old, new))
    assert any(problem in found for found in recount_files(replay / "clicks.jsonl", replay, PRODUCED))


def test_a_click_on_the_blocklist_that_was_not_filtered_is_found(run: Run, tmp_path: Path) -> None:
    blocklist = tmp_path / "blocklist.csv"
    blocklist.write_text("field,value\ncountry,DE\n")
    records = [Record(0, offset, PRODUCED, None, value, {}) for offset, value in enumerate(run.clicks)]
    problems = recount(records, run.counts, run.late, run.invalid, run.ledger, blocklist=blocklist)
    assert "Click 0@1 is filtered, but was not reported." in problems
    run.invalid.append(Rejected((0, 1), "filtered", run.clicks[1]))
    run.ledger[NOON] |= {"raw": 3, "duplicate": 0}
    run.ledger[PRODUCED] |= {"raw": 2, "invalid": 2}
    assert recount(records, run.counts, run.late, run.invalid, run.ledger, blocklist=blocklist) == []

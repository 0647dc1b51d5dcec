"""The measured lateness, against a plain loop over the same clicks."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import archive_files, histogram, lateness, spill
from audit.archive_files import RecordSpan
from audit.lateness import CANDIDATES, JobRules, Lateness, measure
from local.judge import judge
from tests.archives import Row, write_archive
from tests.builders import MINUTE, NOON, SECOND, raw
from udfs.heartbeats import HEARTBEAT_KEY

EVERYTHING = RecordSpan()
RULES = JobRules(dedupe_horizon=2 * MINUTE)


def measured(directory: Path, rows: list[Row], span: RecordSpan = EVERYTHING, rules: JobRules = RULES) -> Lateness:
    return measure(write_archive(directory, rows, files=2), span, rules)


def event_time(row: Row) -> int | None:
    """What moves the watermark of a record's partition, as the job's SQL has it."""
    if row.value is None and row.key == HEARTBEAT_KEY:
        return row.timestamp
    try:
        time = int(json.loads(row.value or b"")["click_timestamp"])
    except (ValueError, KeyError, TypeError):
        return None
    return time if 0 <= time <= row.timestamp + RULES.max_clock_skew else None


def percentile(values: list[int], per_mille: int) -> int:
    return sorted(values)[-(-len(values) * per_mille // 1000) - 1]


def oracle(rows: list[Row]) -> dict[str, object]:
    """The same measures, one click at a time; late clicks and the undercount by candidate."""
    highest: dict[int, int] = {}
    delays, behind, late = [], [], Counter()
    on_time: dict[int, set[bytes]] = {seconds: set() for seconds in CANDIDATES}
    first: dict[bytes, int] = {}
    for row in sorted(set(rows), key=lambda row: row.offset):
        before = highest.get(row.partition, -1)
        click = judge(row.value, row.timestamp, RULES.max_clock_skew).click if row.value is not None else None
        if click:
            delays.append(row.timestamp - click.timestamp)
            behind.append(max(before - click.timestamp, 0))
            first[click.identity] = min(first.get(click.identity, click.timestamp), click.timestamp)
            for seconds in CANDIDATES:
                if click.timestamp - click.timestamp % MINUTE + MINUTE - 1 <= before - seconds * SECOND:
                    late[seconds] += 1
                else:
                    on_time[seconds].add(click.identity)
        highest[row.partition] = max(before, -1 if (time := event_time(row)) is None else time)
    return {
        "clicks": len(delays),
        "unique": len(first),
        "percentiles": [
            [percentile(values, share) for share in (500, 900, 990, 999, 1000)] for values in (delays, behind) if values
        ],
        "late": [late[seconds] for seconds in CANDIDATES],
        "undercount": [len(first) - len(on_time[seconds]) for seconds in CANDIDATES],
        "state": [16 * peak(on_time[seconds], first, seconds) for seconds in CANDIDATES],
    }


def peak(identities: set[bytes], first: dict[bytes, int], seconds: int) -> int:
    """The most identities in any stretch of seconds as long as the state is held."""
    times = [first[identity] // SECOND for identity in identities]
    reach = (RULES.dedupe_horizon + RULES.window) // SECOND + seconds
    return max((sum(0 <= end - time < reach for time in times) for end in times), default=0)


def in_the_oracles_words(result: Lateness) -> dict[str, object]:
    percentiles = [list(measure.values()) for measure in (result.delay_ms, result.behind_ms) if result.clicks]
    return {
        "clicks": result.clicks,
        "unique": result.unique,
        "percentiles": percentiles,
        "late": [candidate.late for candidate in result.candidates],
        "undercount": [candidate.undercount for candidate in result.candidates],
        "state": [candidate.state_bytes for candidate in result.candidates],
    }


times = st.integers(-6 * MINUTE, 6 * MINUTE) | st.sampled_from([-1, 0, MINUTE - 1, MINUTE, MINUTE + 5 * SECOND - 1])


@st.composite
def records(draw) -> Row:
    """Clicks near each other in time, with few identities, and the odd things that may lie between them."""
    time, partition = NOON + draw(times), draw(st.integers(0, 1))
    kind = draw(st.sampled_from(["click", "click", "click", "heartbeat", "invalid", "text time", "garbage"]))
    if kind == "heartbeat":
        return Row(None, 0, partition, time, HEARTBEAT_KEY)
    values = {
        "click": raw(click_timestamp=time, user_id=draw(st.sampled_from("ab")), click_id=draw(st.sampled_from("cd"))),
        "invalid": raw(click_timestamp=time, ad_id=...),
        "text time": raw(click_timestamp=str(time)),
        "garbage": draw(st.sampled_from([b"", b"\xff", b"[]", b'{"click_timestamp":'])),
    }
    return Row(values[kind], 0, partition, NOON + draw(st.integers(-2 * MINUTE, 6 * MINUTE)))


@settings(max_examples=150, deadline=None)
@given(st.lists(records(), max_size=30), st.randoms(use_true_random=False))
def test_the_measures_are_those_of_a_plain_loop(drawn: list[Row], random) -> None:
    rows = [row._replace(offset=3 * number) for number, row in enumerate(drawn)]
    shuffled = rows + rows[:3]  # the archive may hold a row twice
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        for module in (spill, lateness):
            patch.setattr(module, "ROWS_OF_BUCKET", 5)
        patch.setattr(archive_files, "ROWS_AT_ONCE", 4)
        patch.setattr(histogram, "SIGNIFICANT_BITS", 40)
        assert in_the_oracles_words(measured(Path(directory), shuffled)) == oracle(rows)


def test_a_click_cannot_make_itself_late(tmp_path: Path) -> None:
    last_millisecond = NOON + MINUTE - 1
    result = measured(tmp_path, [Row(raw(click_timestamp=last_millisecond), 0)])
    assert result.candidates[0].late == 0


def test_a_copy_on_time_leaves_no_undercount(tmp_path: Path) -> None:
    rows = [Row(raw(), 0), Row(raw(click_timestamp=NOON + 2 * MINUTE), 1), Row(raw(), 2), Row(raw(user_id="u"), 3)]
    none = measured(tmp_path, rows).candidates[0]
    assert (none.late, none.undercount) == (2, 1)


def test_partitions_do_not_make_each_others_clicks_late(tmp_path: Path) -> None:
    rows = [Row(raw(click_timestamp=NOON + 4 * MINUTE), 0, partition=1), Row(raw(), 5, partition=0)]
    assert measured(tmp_path, rows).candidates[0].late == 0


def test_only_the_span_is_measured(tmp_path: Path) -> None:
    rows = [Row(raw(user_id=str(hour)), hour, timestamp=NOON + hour * 60 * MINUTE) for hour in range(4)]
    span = RecordSpan(NOON + 60 * MINUTE, NOON + 3 * 60 * MINUTE)
    assert measured(tmp_path, rows, span).clicks == 2


def test_the_smallest_candidate_below_the_target_is_recommended(tmp_path: Path) -> None:
    in_order = [Row(raw(click_timestamp=NOON + second * SECOND), second) for second in range(70)]
    behind = Row(raw(click_timestamp=NOON + 50 * SECOND, user_id="u"), 70)  # 9 s after its window's end
    result = measured(tmp_path, [*in_order, behind])
    assert [candidate.late for candidate in result.candidates[:5]] == [1, 1, 1, 1, 0]
    best = result.recommended(target=0.01)
    assert best
    assert best.out_of_orderness_ms == 10 * SECOND
    assert result.recommended(target=0.0) is None


def test_an_archive_without_clicks_has_no_percentiles(tmp_path: Path) -> None:
    result = measured(tmp_path, [Row(None, 0, key=HEARTBEAT_KEY)])
    assert (result.clicks, result.delay_ms["p50"], result.behind_ms["max"]) == (0, None, None)


@given(st.lists(st.integers(-(2**42), 2**42), min_size=1))
def test_percentiles_are_cut_by_a_thousandth_of_a_percent_at_most(durations: list[int]) -> None:
    found = histogram.Histogram()
    found.add(pl.Series(durations))
    for name, share in (("p50", 500), ("p99.9", 999)):
        exact, measured = percentile(durations, share), found.percentiles()[name]
        assert measured is not None
        assert abs(measured - exact) <= abs(exact) / 2**16
        assert measured == exact or abs(exact) >= 2**17

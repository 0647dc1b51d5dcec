"""Every difference has its cause, and what is left over is found: against a stream and a recount in plain Python."""

from collections import Counter
from itertools import groupby

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.differences import differing, explain
from jobs.files import RESULTS
from tests.builders import MINUTE, NOON

HORIZON = 3 * MINUTE
ALL = range(0, 2**53)
_TYPES = {"STRING": pl.String, "INT": pl.Int32, "BIGINT": pl.Int64}

# A copy of a click: its identity, its place, whether it came late.
copies = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.tuples(st.integers(0, 8).map(lambda minute: NOON + minute * MINUTE), st.sampled_from(["a", "b"])),
        st.booleans(),
    ),
    max_size=25,
)

_A, _A_AGAIN, _B = (NOON, "a"), (NOON + MINUTE, "a"), (NOON + 4 * MINUTE, "b")
TWO_TO_MOVE = [
    (0, _A, False),
    (0, _A_AGAIN, False),
    (0, _B, False),
    (1, _B, True),
    (1, _A_AGAIN, False),
    (1, _B, False),
]
"""The nearest better fit moves the first click, and is not the best: only the second must be moved."""


def stream(read):
    """Count as the streaming job does: what is read first of each identity, again beyond the horizon."""
    counted, counts = {}, Counter()
    for identity, place, late in read:
        before = counted.setdefault(identity, [])
        if not late and all(abs(place[0] - start) > HORIZON for start in before):
            before.append(place[0])
            counts[place] += 1
    return counts


def exact(arrived):
    """Count each identity once, where it arrived first."""
    return Counter({identity: place for identity, place, _ in reversed(arrived)}.values())


def results(arrived, published, version=0):
    """What the reconciliation's job finds: cells of clicks in one place, and rows of those in several."""
    places = {}
    for nth, (identity, place, late) in enumerate(arrived):
        seen = places.setdefault((identity, place), {"copies": 0, "late": 0, "arrived": nth})
        seen["copies"] += 1
        seen["late"] += late
    cells = {place: {"published": clicks, "version": version} for place, clicks in published.items()}
    spread = []
    for identity, same in groupby(sorted(places, key=lambda key: (key[0], places[key]["arrived"])), lambda key: key[0]):
        same = list(same)
        for nth, (_, place) in enumerate(same, start=1):
            seen = places[identity, place]
            if len(same) > 1:
                row = {"high": 0, "low": identity, "position": 0, "nth": nth, "places": len(same), **seen}
                spread.append({**row, "window_start": place[0], "ad_id": place[1]})
            else:
                cell = cells.setdefault(place, {})
                cell["exact"] = cell.get("exact", 0) + 1
                cell["late"] = cell.get("late", 0) + (seen["late"] >= seen["copies"])
    rows = [{"window_start": start, "ad_id": ad, **cell} for (start, ad), cell in cells.items()]
    return _table("cells", rows).with_columns(pl.col("version").fill_null(-1)).fill_null(0), _table("spread", spread)


def _table(name, rows):
    schema = {column: _TYPES[type_] for column, type_ in RESULTS[name].items()}
    return pl.DataFrame([{column: row.get(column) for column in schema} for row in rows], schema)


def explained(arrived, published, **options):
    found = explain(*results(arrived, published, **options), ALL, HORIZON)
    return {(row["window_start"], row["ad_id"]): row for row in found.iter_rows(named=True)}


@settings(max_examples=1000)
@given(copies)
@example(TWO_TO_MOVE)
def test_counts_and_corrections_give_the_exact_recount_and_every_difference_has_a_cause(arrived):
    counts = stream(arrived)
    places = explained(arrived, counts)
    assert {place: row["exact"] for place, row in places.items() if row["exact"]} == exact(arrived)
    assert all(row["unexplained"] == 0 for row in places.values())


@settings(max_examples=500)
@given(copies, st.randoms(use_true_random=False))
def test_the_recount_is_exact_in_whatever_order_the_stream_read(arrived, random):
    read = random.sample(arrived, len(arrived))
    places = explained(arrived, stream(read))
    assert {place: row["exact"] for place, row in places.items() if row["exact"]} == exact(arrived)
    assert all(row["unexplained"] == 0 for row in places.values())


@settings(max_examples=500)
@given(copies, st.integers(0, 8), st.integers(-3, 3).filter(bool))
def test_a_count_that_was_altered_is_unexplained_by_as_much(arrived, minute, change):
    one_place = [copy for copy in arrived if copy[1] == arrived[0][1]]
    counts = stream(one_place)
    altered = (NOON + minute * MINUTE, "c")
    places = explained(one_place, counts + Counter({altered: 5}) if change > 0 else counts | Counter({altered: 2}))
    assert places[altered]["unexplained"] == (-5 if change > 0 else -2)


def test_a_unique_click_that_came_late_is_late():
    place = (NOON, "ad")
    places = explained([(1, place, True), (1, place, True), (2, place, False)], {place: 1})
    assert places[place]["exact"] == 2
    assert causes(places[place]) == (1, 0, 0)


def test_a_duplicate_beyond_the_horizon_is_an_expired_duplicate():
    first, again = (NOON, "ad"), (NOON + HORIZON + MINUTE, "ad")
    arrived = [(1, first, False), (1, again, False)]
    places = explained(arrived, stream(arrived))
    assert causes(places[first]) == (0, 0, 0)
    assert (places[again]["exact"], causes(places[again])) == (0, (0, 1, 0))


def test_a_copy_that_was_read_before_the_first_to_arrive_moves_the_click_without_a_fault():
    first, other = (NOON, "ad"), (NOON + MINUTE, "ad")
    arrived = [(1, first, False), (1, other, False)]
    places = explained(arrived, stream(arrived[::-1]))
    assert causes(places[first]) == (0, -1, 0)
    assert causes(places[other]) == (0, 1, 0)


def test_a_copy_on_time_of_a_click_that_came_late_elsewhere_is_counted_in_the_first_place():
    first, other = (NOON, "ad"), (NOON + MINUTE, "ad")
    places = explained([(1, first, True), (1, other, False)], {other: 1})
    assert (places[first]["exact"], causes(places[first])) == (1, (1, 0, 0))
    assert (places[other]["exact"], causes(places[other])) == (0, (0, 1, 0))


def test_what_was_lost_or_invented_is_unexplained():
    lost, invented = (NOON, "lost"), (NOON, "invented")
    places = explained([(1, lost, False)], {invented: 3})
    assert causes(places[lost]) == (0, 0, 1)
    assert causes(places[invented]) == (0, 0, -3)


def test_a_late_click_that_a_correction_already_has_is_no_difference():
    place = (NOON, "ad")
    arrived = [(1, place, True), (2, place, False)]
    assert differing(explain(*results(arrived, {place: 2}, version=1), ALL, HORIZON)).is_empty()


def test_a_late_click_that_arrived_after_a_correction_is_late():
    place = (NOON, "ad")
    arrived = [(1, place, True), (2, place, False), (3, place, True)]
    assert causes(explained(arrived, {place: 2}, version=1)[place]) == (1, 0, 0)


def test_a_correction_that_is_too_high_is_unexplained():
    place = (NOON, "ad")
    assert causes(explained([(1, place, True)], {place: 4}, version=7)[place]) == (0, 0, -3)


def test_clicks_that_count_outside_the_span_are_not_counted_in_it():
    before, within = (NOON - MINUTE, "ad"), (NOON, "ad")
    arrived = [(1, before, False), (1, within, False)]
    cells, spread = results(arrived, {})
    found = explain(cells, spread, range(NOON, NOON + MINUTE), HORIZON)
    assert found["exact"].sum() == 0


def causes(row):
    return row["late"], row["expired_duplicate"], row["unexplained"]

import polars as pl

from audit.proof import Gap, gaps, late_missing

COVERAGE = {"topic": ["clicks", "clicks"], "partition": [0, 1], "first_offset": [10, 0], "last_offset": [99, 49]}
COLUMNS = ["topic", "partition", "first_offset", "last_offset"]
NONE = pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.Int64))
ONE_EACH = {"first_twofold": [None, None], "last_twofold": [None, None]}


def missing(expected, between=NONE, twofold=ONE_EACH):
    return gaps(pl.DataFrame(COVERAGE | twofold), between, expected)


def test_an_archive_with_all_that_must_be_there_is_complete_whatever_else_it_has():
    assert missing({("clicks", 0): (20, 100), ("clicks", 1): (0, 30)}) == []


def test_offsets_missing_before_and_after_those_that_are_there_are_gaps():
    assert missing({("clicks", 0): (5, 120)}) == [Gap("clicks", 0, 5, 9), Gap("clicks", 0, 100, 119)]


def test_a_partition_that_is_missing_as_a_whole_is_a_gap():
    assert missing({("clicks", 2): (0, 7)}) == [Gap("clicks", 2, 0, 6)]


def test_a_partition_that_must_hold_nothing_may_be_missing():
    assert missing({("clicks", 2): (7, 7)}) == []


def test_offsets_missing_between_others_are_gaps_even_where_nothing_is_expected():
    between = pl.DataFrame([("clicks", 0, 30, 31)], COLUMNS, orient="row")
    assert missing({}, between) == [Gap("clicks", 0, 30, 31)]


def test_offsets_of_two_records_are_in_doubt():
    twofold = {"first_twofold": [None, 7], "last_twofold": [None, 9]}
    (gap,) = missing({}, twofold=twofold)
    assert gap == Gap("clicks", 1, 7, 9, twofold=True)
    assert str(gap) == "clicks partition 1, offsets 7 to 9, some with two records"


def test_a_late_click_that_the_ledger_booked_and_its_topic_lost_is_missing():
    assert late_missing({0: 2, 60_000: 1, 120_000: 0}, {0: 1, 60_000: 1}) == {0: 1}


def test_late_clicks_that_the_ledger_has_not_booked_yet_are_not_missing():
    assert late_missing({}, {0: 1}) == {}

"""The answers, against rows whose sums are plain to see."""

import pytest

from serving.answers import Answers
from serving.store import Store
from serving.windows import Span
from tests.builders import MINUTE
from tests.served import (
    a_count,
    a_late_click,
    a_ledger_row,
    a_reconciliation,
    minute,
    put,
    put_closed_windows,
)

HOUR = Span(minute(0), minute(60))


def span(first: int, last: int) -> Span:
    """The minutes from `first` to `last` inclusive."""
    return Span(minute(first), minute(last + 1))


def verdict(store: Store, number: int) -> str:
    return Answers(store).window(minute(number)).verdict


def test_an_empty_store_answers_with_nothing(store: Store) -> None:
    answers = Answers(store)
    assert answers.last(5) is None
    assert (answers.clicks("a", None).clicks, answers.clicks("a", None).windows) == (0, [])
    assert (answers.top(5, None).ads, answers.top(5, None).verdict) == ([], "provisional")
    assert (answers.windows(None).windows, answers.windows(None).published_until) == ([], None)
    assert answers.reconciliations(5).reconciliations == []


def test_the_last_minutes_end_with_the_newest_window_that_has_counts(store: Store) -> None:
    put(store, "counts", [a_count(7, "a", 1), a_count(3, "b", 1)])
    assert Answers(store).last(5) == span(3, 7)


def test_a_window_is_closed_when_it_is_ranked_and_the_ledger_holds(store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5, "b": 3})
    assert verdict(store, 0) == "closed"


def test_a_window_that_is_not_ranked_is_provisional(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 5)])
    put(store, "ledger", [a_ledger_row(0, counted=5)])
    assert verdict(store, 0) == "provisional"


def test_a_window_whose_later_one_is_ranked_is_provisional_until_it_is_itself(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 5)])
    put(store, "ledger", [a_ledger_row(0, counted=5)])
    put_closed_windows(store, [1], {"a": 1})
    assert (verdict(store, 0), verdict(store, 1)) == ("provisional", "closed")


def test_a_ledger_that_does_not_balance_closes_no_window(store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    put(store, "ledger", [a_ledger_row(0, counted=5, raw=6) | {"version": 99}])
    assert verdict(store, 0) == "provisional"


@pytest.mark.parametrize("clicks", [4, 6])
def test_counts_that_are_not_what_was_counted_close_no_window(store: Store, clicks: int) -> None:
    put_closed_windows(store, [0], {"a": 5})
    put(store, "counts", [a_count(0, "a", clicks)])
    assert verdict(store, 0) == "provisional"


def test_a_count_that_came_since_the_sum_makes_the_window_provisional(store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    store.insert("counts", b'{"window_start":%d,"window_end":%d,"ad_id":"b","clicks":1}' % (minute(0), minute(1)))
    assert verdict(store, 0) == "provisional"


def test_a_minute_in_which_nothing_was_counted_is_closed_when_a_later_one_is(store: Store) -> None:
    put(store, "ledger", [a_ledger_row(0, late=3, invalid=1)])
    assert (verdict(store, 0), verdict(store, 1)) == ("provisional", "provisional")
    put_closed_windows(store, [2], {"a": 1})
    assert [verdict(store, number) for number in range(4)] == ["closed", "closed", "closed", "provisional"]


def test_a_reconciliation_reconciles_the_windows_it_covers_alone(store: Store) -> None:
    put_closed_windows(store, range(4), {"a": 5})
    put(store, "reconciliations", [a_reconciliation(1, 2, version=5)])
    assert [verdict(store, number) for number in range(4)] == ["closed", "reconciled", "reconciled", "closed"]


def test_the_newest_reconciliation_that_covers_a_window_is_the_one_shown(store: Store) -> None:
    old, new = a_reconciliation(0, 9, version=5, unexplained=7), a_reconciliation(5, 6, version=8, unexplained=0)
    put(store, "reconciliations", [new, old])
    answers = Answers(store)
    assert [answers.window(minute(number)).unexplained for number in (4, 5, 6, 7)] == [7, 0, 0, 7]
    assert [each.version for each in answers.reconciliations(5).reconciliations] == [8, 5]


def test_an_answer_has_the_weakest_verdict_of_its_windows(store: Store) -> None:
    put_closed_windows(store, range(3), {"a": 5})
    put(store, "reconciliations", [a_reconciliation(0, 1, version=5)])
    answers = Answers(store)
    assert [answers.top(1, span(*some)).verdict for some in ((0, 1), (0, 2), (0, 3))] == [
        "reconciled",
        "closed",
        "provisional",
    ]


def test_a_correction_to_nothing_takes_the_ad_out(store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5, "b": 3})
    put(store, "counts", [a_count(0, "a", 0, version=5)])
    assert [(ad.ad_id, ad.clicks) for ad in Answers(store).top(5, span(0, 0)).ads] == [("b", 3)]
    assert Answers(store).window(minute(0)).window.ads == 1


def test_an_ad_has_the_clicks_of_the_highest_version_whatever_comes_last(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 5, version=1)])
    put(store, "counts", [a_count(0, "a", 9)])
    assert Answers(store).clicks("a", span(0, 0)).clicks == 5


def test_of_equal_ads_the_first_by_name_ranks_first(store: Store) -> None:
    put_closed_windows(store, range(2), {"é": 3, "b": 3, "a": 3, "Z": 3})
    for several in (span(0, 0), span(0, 1)):
        assert [ad.ad_id for ad in Answers(store).top(3, several).ads] == ["Z", "a", "b"]


def test_hopping_windows_end_every_minute(store: Store) -> None:
    put(store, "counts", [a_count(number, "a", 10**number) for number in range(5)])
    windows = Answers(store).clicks("a", span(2, 4), width=3).windows
    assert [(each.start, each.end, each.clicks) for each in windows] == [
        (minute(0), minute(3), 111),
        (minute(1), minute(4), 1110),
        (minute(2), minute(5), 11100),
    ]


def test_a_hopping_window_does_not_begin_before_time(store: Store) -> None:
    (window,) = Answers(store).clicks("a", Span(0, MINUTE), width=5).windows
    assert (window.start, window.end) == (0, MINUTE)


@pytest.mark.parametrize(
    ("late", "n", "changeable"),
    [
        ({"c": 1}, 2, False),  # 2 + 1 ties with b, which is first by name
        ({"c": 2}, 2, True),
        ({"aa": 3}, 2, True),  # ties with b, and comes before it
        ({"ba": 3}, 2, False),
        ({"a": 9, "b": 9}, 2, False),  # they are in the list
        ({"new": 1}, 3, False),
        ({"new": 1}, 4, True),  # the list is not full
        ({}, 4, False),
    ],
)
def test_known_late_clicks_tell_whether_the_last_place_could_change(
    store: Store, late: dict[str, int], n: int, changeable: bool
) -> None:
    put_closed_windows(store, [0], {"a": 5, "b": 3, "c": 2})
    rows = [a_late_click(0, ad, offset) for ad, more in late.items() for offset in range(more)]
    put(store, "late", rows)
    assert Answers(store).top(n, span(0, 0)).late_could_change_cut is changeable


def test_late_clicks_that_a_reconciliation_has_judged_change_nothing_more(store: Store) -> None:
    put_closed_windows(store, range(2), {"a": 5, "b": 3})
    put(store, "late", [a_late_click(0, "b", offset, published=10) for offset in range(9)])
    answers = Answers(store)
    assert answers.top(1, span(0, 1)).late_could_change_cut
    put(store, "reconciliations", [a_reconciliation(0, 0, version=5, published=11)])
    assert not answers.top(1, span(0, 1)).late_could_change_cut
    put(store, "late", [a_late_click(0, "b", offset, published=12) for offset in range(20, 29)])
    assert answers.top(1, span(0, 1)).late_could_change_cut


def test_a_late_click_that_is_loaded_twice_is_one(store: Store) -> None:
    for _ in range(2):
        put(store, "late", [a_late_click(0, "a", 7)])
    assert Answers(store).clicks("a", span(0, 0)).late == 1


def test_idle_partitions_are_in_every_answer(store: Store) -> None:
    answers = Answers(store, lambda: [3])
    given = [answers.clicks("a", HOUR), answers.top(1, HOUR), answers.windows(HOUR), answers.window(minute(0))]
    assert [each.idle_partitions for each in given] == [[3]] * 4

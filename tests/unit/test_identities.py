from hypothesis import given
from hypothesis import strategies as st

from udfs.identities import CountedIdentities, joined, split

WINDOW, HORIZON = 60, 180


def test_an_identity_is_new_once():
    counted = CountedIdentities(HORIZON)
    assert counted.count(0, [b"a", b"b", b"a"]) == {b"a", b"b"}
    assert counted.count(0, [b"a", b"c"]) == {b"c"}


def test_an_identity_counted_within_the_horizon_is_no_more_new_on_either_side():
    counted = CountedIdentities(HORIZON)
    counted.count(600, [b"a"])
    assert counted.count(600 + HORIZON, [b"a"]) == set()
    assert counted.count(600 - HORIZON, [b"a"]) == set()


def test_an_identity_beyond_the_horizon_is_new_again():
    counted = CountedIdentities(HORIZON)
    counted.count(600, [b"a"])
    assert counted.count(600 + HORIZON + WINDOW, [b"a"]) == {b"a"}


def test_a_forgotten_window_holds_nothing():
    counted = CountedIdentities(HORIZON)
    counted.count(0, [b"a"])
    counted.forget(0)
    assert len(counted) == 0
    assert counted.count(0, [b"a"]) == {b"a"}


def test_restored_identities_are_counted_ones():
    counted = CountedIdentities(HORIZON)
    counted.restore(0, split(joined([bytes(16), b"x" * 16])))
    assert counted.count(0, [bytes(16), b"x" * 16]) == set()


events = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n * WINDOW), st.sets(st.sampled_from("abcd"), min_size=1)))


@given(events)
def test_counts_as_a_list_of_all_that_was_counted(batches):
    counted, model = CountedIdentities(HORIZON), []
    for start, names in batches:
        new = {name for name in names if not any(n == name and abs(s - start) <= HORIZON for s, n in model)}
        model += [(start, name) for name in new]
        assert counted.count(start, [name.encode() for name in names]) == {name.encode() for name in new}

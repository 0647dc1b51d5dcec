from hypothesis import given
from hypothesis import strategies as st

from udfs.identities import CountedIdentities, joined, split

WINDOW, HORIZON = 60, 180


def in_memory() -> CountedIdentities:
    return CountedIdentities(HORIZON, read=lambda window_start: [])


def known(name: str) -> bytes:
    """An identity; those of one letter and its capital end alike."""
    return name.encode().rjust(14, b"\0") + name.lower().encode().rjust(2, b"\0")


def test_an_identity_is_new_once():
    counted = in_memory()
    assert counted.count(0, [b"a", b"b", b"a"]) == {b"a", b"b"}
    assert counted.count(0, [b"a", b"c"]) == {b"c"}


def test_an_identity_counted_within_the_horizon_is_no_more_new_on_either_side():
    counted = in_memory()
    counted.count(600, [b"a"])
    assert counted.count(600 + HORIZON, [b"a"]) == set()
    assert counted.count(600 - HORIZON, [b"a"]) == set()


def test_an_identity_beyond_the_horizon_is_new_again():
    counted = in_memory()
    counted.count(600, [b"a"])
    assert counted.count(600 + HORIZON + WINDOW, [b"a"]) == {b"a"}


def test_a_forgotten_window_holds_nothing():
    counted = in_memory()
    counted.count(0, [b"a"])
    counted.forget(0)
    assert counted.held == 0
    assert counted.count(0, [b"a"]) == {b"a"}


def test_restored_identities_are_counted_ones():
    counted = in_memory()
    counted.restore(0, set(split(joined([bytes(16), b"x" * 16]))))
    assert counted.count(0, [bytes(16), b"x" * 16]) == set()


names = st.sets(st.sampled_from("abcdABCD"), min_size=1)
batches = st.tuples(st.integers(0, 8).map(lambda n: n * WINDOW), names, st.booleans())


@given(st.lists(batches))
def test_counts_as_a_list_of_all_that_was_counted_in_memory_or_not(events):
    slices: dict[int, list[bytes]] = {}
    counted, model = CountedIdentities(HORIZON, lambda start: slices.get(start, [])), []
    for start, some, drop_oldest in events:
        new = {name for name in some if not any(n == name and abs(s - start) <= HORIZON for s, n in model)}
        model += [(start, name) for name in new]
        assert counted.count(start, map(known, some)) == set(map(known, new))
        slices.setdefault(start, []).append(joined(map(known, new)))
        if drop_oldest and counted.windows:
            counted.drop(min(counted.windows))
        assert counted.held == sum(start not in counted.dropped for start, _ in model)

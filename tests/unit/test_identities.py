from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.identities import CountedIdentities
from udfs.identity_table import halves

WINDOW, HORIZON = 60, 180


def in_memory() -> CountedIdentities:
    return CountedIdentities(HORIZON, read=lambda window_start: [])


def known(names: str) -> bytes:
    """Identities, those of a letter and its capital with one half in common."""
    return b"".join(name.encode().rjust(8, b"\0") + name.lower().encode().rjust(8, b"\0") for name in names)


def count(counted: CountedIdentities, start: int, names: str) -> str:
    """The new ones, in their order."""
    new = counted.count(start, halves(known(names)))
    return "".join(name for name, is_new in zip(names, new, strict=True) if is_new)


def test_an_identity_is_new_once():
    counted = in_memory()
    assert count(counted, 0, "aba") == "ab"
    assert count(counted, 0, "acC") == "cC"


def test_an_identity_counted_within_the_horizon_is_no_more_new_on_either_side():
    counted = in_memory()
    count(counted, 600, "a")
    assert count(counted, 600 + HORIZON, "a") == ""
    assert count(counted, 600 - HORIZON, "a") == ""


def test_an_identity_beyond_the_horizon_is_new_again():
    counted = in_memory()
    count(counted, 600, "a")
    assert count(counted, 600 + HORIZON + WINDOW, "a") == "a"
    assert count(counted, 600, "a") == ""


def test_a_forgotten_window_holds_nothing():
    counted = in_memory()
    count(counted, 0, "ab")
    count(counted, WINDOW, "c")
    counted.forget(0)
    assert counted.held == 1
    assert count(counted, 0, "abc") == "ab"


def test_restored_identities_are_counted_ones():
    counted = in_memory()
    counted.restore(0, halves(known("ab")))
    assert count(counted, 0, "abc") == "c"
    assert counted.windows == {0}


names = st.text("abcdABCD", min_size=1)
batches = st.tuples(st.integers(0, 8).map(lambda n: n * WINDOW), names, st.booleans())


@settings(deadline=None)  # the first one compiles
@given(st.lists(batches))
def test_counts_as_a_list_of_all_that_was_counted_in_memory_or_not(events):
    slices: dict[int, list[bytes]] = {}
    counted, model = CountedIdentities(HORIZON, lambda start: slices.get(start, [])), []
    for start, some, drop_oldest in events:
        known_before = {name for s, name in model if abs(s - start) <= HORIZON}
        new = "".join(name for name in dict.fromkeys(some) if name not in known_before)
        model += [(start, name) for name in new]
        assert count(counted, start, some) == new
        slices.setdefault(start, []).append(known(new))
        if drop_oldest and counted.windows:
            counted.drop(min(counted.windows))
        assert counted.held == sum(start not in counted.dropped for start, _ in model)

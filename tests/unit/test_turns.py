"""The turns of clicks beside a plain reading of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.identity_table import halves
from udfs.turns import turns_of

CLICKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)))


def turns(clicks: list[tuple[int, int]]) -> list[int]:
    """The turns of clicks (identity, window); the identities share halves."""
    identities = halves(b"".join(half.to_bytes(8, "little") for number, _ in clicks for half in divmod(number, 3)))
    return turns_of(identities, np.array([window for _, window in clicks], np.int64)).tolist()


@settings(deadline=None)
@given(CLICKS)
def test_a_turn_ends_where_an_identity_changes_its_window(clicks):
    latest, expected = {}, []
    for identity, window in clicks:
        turn, before = latest.get(identity, (0, window))
        latest[identity] = turn + (window != before), window
        expected.append(latest[identity][0])
    assert turns(clicks) == expected


def test_many_clicks_of_one_identity_have_turns_of_their_own():
    assert turns([(7, n % 2) for n in range(5_000)]) == list(range(5_000))

"""The slices on a state that is a plain map."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import MINUTE, NOON
from udfs import slices
from udfs.slices import Slices


class FakeState(dict):
    put = dict.__setitem__
    remove = dict.pop


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A slice is full with three identities, and two small ones are too many."""
    monkeypatch.setattr(slices, "FULL", 3 * 16)
    monkeypatch.setattr(slices, "MOST_SMALL", 1)


def identities(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(16, "big") for number in numbers)


def filled(*sizes: int) -> SimpleNamespace:
    """Slices of these sizes in the window at noon, with identities from 0 on, and one in the next window."""
    state = FakeState()
    of = Slices(state, MINUTE)
    for number, size in enumerate(sizes):
        of.append(NOON, identities(range(sum(sizes[:number]), sum(sizes[:number]) + size)))
    of.append(NOON + MINUTE, identities([99]))
    return SimpleNamespace(of=of, state=state, all=identities(range(sum(sizes))))


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [((1, 1), [2]), ((1, 1, 1), [3]), ((2, 2, 1), [4, 1]), ((3, 5, 1, 1), [3, 5, 2]), ((1, 4, 1), [5, 1])],
)
def test_small_slices_become_full_ones_in_their_order_and_full_ones_stay(sizes, merged):
    window = filled(*sizes)
    window.of.merge([NOON])
    assert [len(slice_) // 16 for slice_ in window.of.read(NOON)] == merged
    assert b"".join(window.of.read(NOON)) == window.all
    assert len(window.state) == len(window.of) == len(merged) + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 5), min_size=1), st.lists(st.integers(1, 5)))
def test_merging_again_and_again_keeps_every_identity_and_few_small_slices(before, after):
    window = filled(*before)
    window.of.merge([NOON])
    window.of.append(NOON, identities([1_000]))
    for number, size in enumerate(after):
        window.of.append(NOON, identities([2_000 + number] * size))
        window.of.merge([NOON])
    added = identities([1_000, *(2_000 + number for number, size in enumerate(after) for _ in range(size))])
    kept = list(window.of.read(NOON))
    assert b"".join(kept) == window.all + added
    assert len(window.state) == len(window.of) == len(kept) + 1
    small = [slice_ for slice_ in kept if len(slice_) < slices.FULL]
    assert len(small) <= 2 + (after == [])


def test_the_window_with_the_most_small_slices_is_merged():
    window = filled(1, 1, 1)
    window.of.append(NOON + MINUTE, identities([98]))
    window.of.merge([NOON, NOON + MINUTE])
    assert window.of.numbers == {NOON: 1, NOON + MINUTE: 2}


def test_what_was_merged_is_no_more_small():
    window = filled(1, 1)
    window.of.merge([NOON])
    before = window.of.read_back
    window.of.merge([NOON])
    assert window.of.read_back == before


def test_merged_slices_are_restored_and_go_with_their_window():
    window = filled(2, 2, 2, 2)
    window.of.merge([NOON])
    restored = Slices(window.state, MINUTE)
    assert {start for start, _ in restored.restore()} == {NOON, NOON + MINUTE}
    assert restored.numbers == window.of.numbers
    restored.remove(NOON)
    assert [start for start, _ in restored.restore()] == [NOON + MINUTE]

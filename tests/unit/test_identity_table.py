"""The table of identities beside a plain list of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.identity_table import IdentityTable, halves

MANY = 20_000


def some(numbers) -> np.ndarray:
    """Identities of these numbers that share halves; all with one second half begin at one place of the table."""
    return halves(b"".join(half.to_bytes(8, "little") for number in numbers for half in divmod(number, 3)))


def test_halves_keep_the_bytes():
    assert halves(bytes(range(64))).tobytes() == bytes(range(64))


def test_a_growing_table_knows_each_of_its_identities_and_no_other():
    table = IdentityTable()
    identities = halves(np.random.default_rng(1).bytes(2 * MANY * 16))
    for start in range(0, MANY, 1_000):
        assert table.count(0, 0, identities[start : start + 1_000]).all()
    assert len(table) == MANY
    assert table.holds(0, 0, identities[:MANY]).all()
    assert not table.holds(0, 0, identities[MANY:]).any()
    assert table.forget(0) == MANY
    assert not table.holds(0, 0, identities).any()


numbers = st.lists(st.integers(0, 60), max_size=40)
steps = st.tuples(st.integers(0, 5), st.integers(0, 2), numbers, st.sampled_from(["count", "move", "forget"]))


@settings(max_examples=300, deadline=None)  # the first one compiles
@given(st.lists(steps, max_size=12))
def test_any_steps_leave_what_they_leave_of_a_list(steps):
    table, model = IdentityTable(), []
    for start, horizon, wanted, step in steps:
        if step == "count":
            new = table.count(start, horizon, some(wanted))
            for number, is_new in zip(wanted, new, strict=True):
                assert is_new == all(n != number or abs(s - start) > horizon for n, s in model)
                model += [(number, start)] if is_new else []
        elif step == "forget":
            assert table.forget(start) == sum(s == start for _, s in model)
            model = [(n, s) for n, s in model if s != start]
        elif len({n for n, _ in model}) == len(model):
            table.move(start, some(wanted))
            model = [(n, start if n in wanted else s) for n, s in model]
        held = table.holds(start, horizon, some(range(61)))
        assert list(held) == [any(n == number and abs(s - start) <= horizon for n, s in model) for number in range(61)]
        assert len(table) == len(model)

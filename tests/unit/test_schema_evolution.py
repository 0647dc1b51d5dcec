"""A field that is added to clicks changes nothing: no verdict, no identity, no count, no term of the ledger."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from local.judge import judge as recount_judge
from tests.builders import MINUTE, NOON, SECOND, a_click
from tests.unit.test_batches import SKEW, as_a_batch, one_by_one
from tests.unit.test_dedupe import FakeFlink, terms
from udfs.plain_clicks import KNOWN_FIELDS

new_names = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: name not in KNOWN_FIELDS)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ä\\"{x')
)
new_values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text("ax", max_size=2), leaves, max_size=3)
added_fields = st.dictionaries(new_names, new_values, min_size=1, max_size=3)
clicks = st.builds(
    a_click,
    ad_id=st.sampled_from(["ad-1", "ad-2", "ä", 5]),
    click_id=st.sampled_from([..., None, "c-1"]),
    country=st.sampled_from([..., "DE"]),
    click_timestamp=st.sampled_from([NOON, NOON + 1, NOON + MINUTE]),
)


@st.composite
def versions(draw) -> tuple[bytes, bytes]:
    """A click as producers of two releases send it, the later one with more fields, at any place among the others."""
    click, added = draw(clicks), draw(added_fields)
    members = [*click.items(), *added.items()]
    later = dict(draw(st.permutations(members)))
    return json.dumps(click).encode(), json.dumps(later, ensure_ascii=draw(st.booleans())).encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(versions(), min_size=1, max_size=5))
def test_added_fields_change_no_verdict_and_no_identity(pairs: list[tuple[bytes, bytes]]) -> None:
    before, after = ([*values] for values in zip(*pairs, strict=True))
    assert as_a_batch(after) == as_a_batch(before)
    assert [one_by_one(value) for value in after] == [one_by_one(value) for value in before]


@given(versions())
def test_added_fields_change_nothing_for_the_recount(pair: tuple[bytes, bytes]) -> None:
    before, after = (recount_judge(value, NOON, SKEW) for value in pair)
    assert after == before


@settings(max_examples=50, deadline=None)
@given(st.lists(versions(), min_size=1, max_size=10))
def test_added_fields_change_no_count_and_no_term_of_the_ledger(pairs: list[tuple[bytes, bytes]]) -> None:
    before, after = FakeFlink(), FakeFlink()
    for flink, values in zip((before, after), zip(*pairs, strict=True), strict=True):
        flink.advance(NOON - SECOND)
        flink.results = [[*row] for row in flink.send(*values) if not isinstance(row, tuple)]
    assert after.results == before.results
    assert after.state == before.state


def test_an_old_click_and_its_repetition_by_a_newer_producer_are_one() -> None:
    newer = a_click(campaign={"id": 7, "tags": ["a", None]}, schema="v2")
    (row,) = terms(FakeFlink().send(json.dumps(a_click()).encode(), json.dumps(newer).encode()))
    assert row == (NOON, 2, 1, 1, 0)

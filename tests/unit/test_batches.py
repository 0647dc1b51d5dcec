import json

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.builders import MINUTE, NOON, a_click, raw
from udfs.batches import judge_batch
from udfs.clicks import Invalid, judge
from udfs.plain_columns import PlainColumns

SKEW = 5 * MINUTE

any_text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.sampled_from(
    b'1e3 1.0 true "1" -0 0 -1 01 1 NaN null 1E400 - 1.5e-3 9223372036854775807 9223372036854775808'.split()
    + [b"9" * digits for digits in (18, 19, 400)]
    + [str(NOON + late).encode() for late in (0, SKEW, SKEW + 1)]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["ad_id", "user_id", "ip", "click_timestamp", "click_id", "country", "referrer", "ad_id2", "c"])
spaces = st.sampled_from([b"", b" ", b"\n\t", b"\r", b"\x0b", b"\xc2\xa0"])


@st.composite
def members(draw) -> bytes:
    name = json.dumps(draw(names | any_text), ensure_ascii=draw(st.booleans())).encode()
    value = draw(numbers | json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode()))
    return name + draw(spaces) + b":" + draw(spaces) + value


@st.composite
def near_clicks(draw) -> bytes:
    """Objects that are almost clicks: members added, repeated, reordered and overwritten."""
    plain = [json.dumps({name: value})[1:-1].encode() for name, value in a_click(country="DE").items()]
    parts = draw(st.permutations(plain + draw(st.lists(members(), max_size=3))))
    return draw(spaces) + b"{" + b",".join(part + draw(spaces) for part in parts) + b"}" + draw(spaces)


ODD_BYTES = [b"\\ud800", b"\x1e", b'"', b"\\", b"\xed\xa0\x80", b"\xef\xbb\xbf"]


@st.composite
def mutated(draw) -> bytes:
    """A click with some of its bytes changed, cut or inserted."""
    value = bytearray(draw(st.sampled_from([raw(), raw(click_id="ü"), raw(extra={"a": [1, "]"]}), raw(ad_id='"\\')])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3) | st.sampled_from(ODD_BYTES))
    return bytes(value)


values = near_clicks() | mutated() | st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode())


def one_by_one(value: bytes | None) -> tuple[object, ...]:
    try:
        click = judge(value, NOON + SKEW)
    except Invalid as invalid:
        return None, None, None, None, invalid.reason
    return click.country or "", click.click_timestamp, click.ad_id, click.identity(), None


def as_a_batch(values: list[bytes | None], by_country: bool = True) -> list[tuple[object, ...]]:
    records = pl.DataFrame({"value": pl.Series(values, dtype=pl.Binary), "timestamp": [NOON] * len(values)})
    judged = judge_batch(records.cast({"timestamp": pl.Int64}), SKEW, by_country=by_country)
    return judged.rows()


@settings(max_examples=2_000, deadline=None)
@given(st.lists(values, min_size=1, max_size=4))
@example([raw(), None, b"", raw(ad_id="ü" * 256), raw(ad_id="ü" * 257), raw(extra={"ad_id": 5}), b" " * 70_000])
@example([raw() + b" " * (65_536 - len(raw())), raw() + b" " * (65_537 - len(raw()))])
@example([raw(), raw()[:-1] + b', "ad_id": "again"}', b"\xef\xbb\xbf" + raw()])
@example([raw(click_id="c", country="DE")[:-1] + more for more in (b', "click_id": null}', b', "country": null}')])
def test_a_batch_is_judged_as_its_values_one_by_one(batch: list[bytes]):
    assert as_a_batch(batch) == [one_by_one(value) for value in batch]


def test_an_empty_batch_has_no_verdicts():
    assert as_a_batch([]) == []


def test_a_click_without_a_country_has_an_empty_one_however_it_is_written():
    values = [raw(), raw(country=""), raw(country=None), raw(country="DE"), raw(country="ü", extra=[]), raw(extra=[])]
    assert [row[0] for row in as_a_batch(values)] == ["", "", "", "DE", "ü", ""]


def test_a_verdict_has_no_country_unless_it_is_asked_for():
    values = [raw(country="DE"), raw(country="DE", extra=[]), b"{}"]
    assert as_a_batch(values, by_country=False) == [row[1:] for row in as_a_batch(values)]


USUAL = [raw(), raw(country="DE", click_id="c-1"), json.dumps(a_click(), separators=(",", ":")).encode()]
UNUSUAL = [
    raw(referrer="https://x.org/?q=1", price=1.25, bid=-3, mobile=True, campaign=None, ad_idx="not ad_id"),
    raw(country=None, click_id=None, price=1e-7),
    json.dumps(a_click(ad_id="ä€😀", user_id="\u0080\uffff\U0010ffff"), ensure_ascii=False).encode(),
    raw(referrer='"\\/\b\f\n\r\t'),
]


def test_what_producers_send_is_read_as_columns() -> None:
    values = pl.Series([*USUAL, *UNUSUAL], dtype=pl.Binary)
    assert PlainColumns(values, np.full(len(values), NOON)).valid.all()


def test_what_a_series_was_cut_from_is_not_read() -> None:
    values = pl.concat([pl.Series(USUAL, dtype=pl.Binary), pl.Series(UNUSUAL, dtype=pl.Binary)])[2:6]
    read = PlainColumns(values, np.full(4, NOON))
    assert read.column("identity").to_list() == [judge(value, NOON).identity() for value in values]
    assert [read.column(name).to_list() for name in ("country", "ip")] == [[""] * 4, ["10.0.0.1"] * 4]

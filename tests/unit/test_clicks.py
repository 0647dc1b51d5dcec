import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import FAR_FUTURE, NOON, raw
from udfs.clicks import MAX_TIMESTAMP, Click, Invalid, judge


def reason(value: bytes | None, latest: int = FAR_FUTURE) -> str | None:
    try:
        judge(value, latest)
    except Invalid as invalid:
        return invalid.reason
    return None


def with_timestamp(literal: str) -> bytes:
    return raw().replace(str(NOON).encode(), literal.encode())


def with_extra(json_text: str) -> bytes:
    return raw()[:-1] + f', "extra": {json_text}}}'.encode()


def test_a_click_is_read_as_its_fields():
    assert judge(raw(country="DE", referrer="x"), FAR_FUTURE) == Click(NOON, "ad-1", "user-1", "10.0.0.1", country="DE")


def test_json_whitespace_around_a_click_is_fine():
    assert reason(b" \t\r\n" + raw() + b"\r\n ") is None


def test_of_a_repeated_key_the_last_counts():
    value = b'{"ad_id": 5, "ad_id": "first", ' + raw()[1:]
    assert judge(value, FAR_FUTURE).ad_id == "ad-1"
    assert reason(raw()[:-1] + b', "ad_id": 5}') == "wrong_type"


def test_null_in_an_optional_field_means_absent():
    assert judge(raw(click_id=None, country=None), FAR_FUTURE).click_id is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b'"click"',
        b"{",
        raw()[:-1],
        raw() + b"x",
        raw() + raw(),
        b"\xef\xbb\xbf" + raw(),
        raw().replace(b"ad-1", b"ad-\xff"),
        raw().replace(b"ad-1", b"ad-\xed\xa0\x80"),  # a surrogate, encoded as if it were a character
        raw().replace(b"ad-1", b"ad-\x1e"),
        raw().replace(b"ad-1", b"ad-\\ud800"),
        with_extra('"\\udc00\\ud800"'),
        b'{"extra": "\\ud800", "extra": 1, ' + raw()[1:],
        with_extra("NaN"),
        with_extra("-Infinity"),
        with_extra("01"),
        with_extra("[" * 64 + "]" * 64),
        with_extra("[" * 20_000 + "]" * 20_000),
    ],
)
def test_what_is_no_json_object_is_not_json(value):
    assert reason(value) == "not_json"


def test_nesting_of_64_levels_is_fine():
    assert reason(with_extra("[" * 63 + "]" * 63)) is None


def test_brackets_in_a_string_do_not_nest():
    assert reason(with_extra('"' + "[" * 100 + '\\""')) is None


def test_an_escaped_pair_of_surrogates_is_one_character():
    assert judge(raw(ad_id="😀"), FAR_FUTURE).ad_id == "😀"


def test_a_value_of_64_kib_is_fine_and_one_byte_more_is_too_large():
    fits = raw() + b" " * (65_536 - len(raw()))
    assert reason(fits) is None
    assert reason(fits + b" ") == "too_large"
    assert reason(b"\xff" * 65_537) == "too_large"


@pytest.mark.parametrize("field", ["ad_id", "user_id", "ip", "click_timestamp"])
def test_a_required_field_must_be_there_and_not_null(field):
    assert reason(raw(**{field: ...})) == "missing_field"
    assert reason(raw(**{field: None})) == "wrong_type"


@pytest.mark.parametrize("field", ["ad_id", "user_id", "ip", "click_id", "country"])
def test_a_text_field_must_be_a_string(field):
    for wrong in (5, True, [], {}):
        assert reason(raw(**{field: wrong})) == "wrong_type"


@pytest.mark.parametrize(("field", "longest"), [("ad_id", 256), ("user_id", 256), ("ip", 64), ("click_id", 256)])
def test_lengths_count_code_points(field, longest):
    assert reason(raw(**{field: ""})) == "empty_field"
    assert reason(raw(**{field: "😀" * longest})) is None
    assert reason(raw(**{field: "x" * (longest + 1)})) == "too_long"


@pytest.mark.parametrize("literal", ["1e3", "1.0", '"1"', "true", "null", "[]"])
def test_a_timestamp_is_a_json_integer(literal):
    assert reason(with_timestamp(literal)) == "wrong_type"


@pytest.mark.parametrize("literal", ["-1", str(2**63), "9" * 5_000, "-" + "9" * 5_000])
def test_a_timestamp_lies_within_63_bits(literal):
    assert reason(with_timestamp(literal)) == "timestamp_out_of_range"


def test_minus_zero_is_the_integer_zero():
    assert judge(with_timestamp("-0"), FAR_FUTURE).click_timestamp == 0


def test_a_timestamp_may_not_lie_beyond_the_latest():
    assert reason(raw(), latest=NOON) is None
    assert reason(raw(), latest=NOON - 1) == "future_timestamp"
    assert reason(with_timestamp(str(MAX_TIMESTAMP))) == "future_timestamp"


def test_the_first_bad_field_in_table_order_gives_the_reason():
    assert reason(raw(user_id="", ip=..., click_timestamp="x")) == "empty_field"
    assert reason(raw(click_timestamp=-5, click_id=7)) == "timestamp_out_of_range"


def test_the_digest_never_changes():
    assert judge(raw(), FAR_FUTURE).identity().hex() == "b6f6496b684ba2fd8a0238ea247cca00"
    assert judge(raw(click_id="c-1"), FAR_FUTURE).identity().hex() == "f5c9bba2e1d7791cd391d8228d99ca8b"


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | st.text("0123456789:tc", min_size=1)
clicks = st.builds(Click, st.integers(0, 200), texts, texts, texts, st.none() | texts)


def defining(click: Click) -> tuple[object, ...]:
    if click.click_id is not None:
        return (click.click_id,)
    return (click.click_timestamp, click.user_id, click.ad_id, click.ip)


@given(clicks, clicks)
def test_only_equal_tuples_encode_alike(one: Click, other: Click):
    assert (one.identity_text() == other.identity_text()) == (defining(one) == defining(other))
